//! Where a node is.

use std::fmt;

/// The address of one node's REST edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
}

/// A URL that no node can be reached at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not the URL of a node: {accepted}")]
pub struct InvalidUrl {
    /// What was given.
    pub given: String,
    /// What is accepted.
    pub accepted: &'static str,
}

const ACCEPTED: &str = "http://HOST:PORT is accepted, several separated by commas";

impl Endpoint {
    /// Reads `http://HOST[:PORT][/]` or `HOST:PORT`.
    pub fn parse(url: &str) -> Result<Self, InvalidUrl> {
        let invalid = |accepted| InvalidUrl { given: url.to_owned(), accepted };
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(invalid("only http:// is accepted; TLS ends at a proxy in front of neap")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: hyper::http::uri::Authority = authority.parse().map_err(|_| invalid(ACCEPTED))?;
        let after_host = authority.strip_prefix(parsed.host()).ok_or_else(|| invalid(ACCEPTED))?;
        if parsed.host().is_empty() {
            return Err(invalid(ACCEPTED));
        }
        if after_host.is_empty() {
            return Ok(Self { authority: format!("{authority}:80") });
        }
        let port = after_host.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
        port.ok_or_else(|| invalid(ACCEPTED))?;
        Ok(Self { authority: authority.to_owned() })
    }

    /// The endpoint at `port` of this machine.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self { authority: format!("127.0.0.1:{port}") }
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Reads the URLs of one or more nodes, separated by commas.
pub fn parse_urls(urls: &str) -> Result<Vec<Endpoint>, InvalidUrl> {
    let given = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
    let endpoints = given.map(Endpoint::parse).collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() {
        return Err(InvalidUrl { given: urls.to_owned(), accepted: ACCEPTED });
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_urls_are_kept_in_order() {
        let endpoints = parse_urls("http://a:1, http://b:2/,c:3").unwrap();
        let authorities: Vec<_> = endpoints.iter().map(Endpoint::authority).collect();
        assert_eq!(authorities, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn a_url_without_a_port_means_port_80() {
        assert_eq!(Endpoint::parse("http://host").unwrap().authority(), "host:80");
        assert_eq!(Endpoint::parse("http://[::1]").unwrap().authority(), "[::1]:80");
    }

    #[test]
    fn what_no_node_can_be_reached_at_is_refused() {
        for url in ["", ",", "https://a:1", "http://", "http://a:1/path", "http://a:x", "http://u@a:1", "a:"]
        {
            assert!(parse_urls(url).is_err(), "{url:?} was accepted");
        }
    }
}
