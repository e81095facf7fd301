//! Callers that are allowed: requests that name this node by a known host, and pages of its own origin or a listed one.
//!
//! A browser sends requests for any page that it shows, also to nodes that only its own machine reaches, and a page can
//! give its own name the address of a node (DNS rebinding). `Host` tells the second, `Origin` the first.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderValue, ORIGIN};

use super::error::Problem;
use super::headers;

/// The hosts that a node is known by, the origins that may call it, and what was refused.
#[derive(Debug, Default)]
pub struct AllowedCallers {
    /// In lower case. IP addresses and `localhost` are known beside these.
    hosts: HashSet<Box<str>>,
    /// As browsers write them.
    origins: Vec<Box<str>>,
    unknown_hosts: AtomicU64,
    foreign_origins: AtomicU64,
}

impl AllowedCallers {
    /// Callers that name one of `hosts`, and pages of `origins`.
    #[must_use]
    pub fn new<'a>(
        hosts: impl IntoIterator<Item = &'a str>,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase().into()).collect(),
            origins: origins.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Requests refused so far, by name.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 2] {
        [
            ("http_hosts_unknown", self.unknown_hosts.load(Ordering::Relaxed)),
            ("http_origins_refused", self.foreign_origins.load(Ordering::Relaxed)),
        ]
    }

    /// Lets a request pass; the origin of its page where that is another than the node's own, and listed.
    ///
    /// # Errors
    ///
    /// The host is unknown, or the origin is foreign and not listed.
    pub fn admit<'r>(&self, request: &'r HttpRequest) -> Result<Option<&'r HeaderValue>, Problem> {
        let host = headers::single(request.headers(), &HOST)?;
        // A target in absolute form has a host of its own, which goes before the header's (RFC 9112, section 3.2.2).
        let target = request.uri().authority().map(|authority| authority.as_str());
        for given in [host, target].into_iter().flatten() {
            if !self.knows(given) {
                self.unknown_hosts.fetch_add(1, Ordering::Relaxed);
                return Err(Problem::unknown_host(given));
            }
        }
        let Some(origin) = headers::single(request.headers(), &ORIGIN)? else { return Ok(None) };
        if target.or(host).is_some_and(|host| is_own(origin, host)) {
            return Ok(None);
        }
        if self.origins.iter().any(|listed| **listed == *origin) {
            return Ok(request.headers().get(&ORIGIN));
        }
        self.foreign_origins.fetch_add(1, Ordering::Relaxed);
        Err(Problem::foreign_origin(origin))
    }

    /// Tells whether clients call this node so. A client of HTTP/1.0 may name nothing.
    fn knows(&self, authority: &str) -> bool {
        let Some(Authority { host, .. }) = Authority::parse(authority) else { return false };
        let is_address = match host.as_bytes().first() {
            None => true,
            Some(b'[') => {
                let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
            }
            Some(first) => first.is_ascii_digit() && host.parse::<Ipv4Addr>().is_ok(),
        };
        is_address || host.eq_ignore_ascii_case("localhost") || self.lists(host)
    }

    fn lists(&self, host: &str) -> bool {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.hosts.contains(host.to_ascii_lowercase().as_str());
        }
        self.hosts.contains(host)
    }
}

/// `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Authority<'a> {
    /// With brackets, if it has them.
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let after_host = match text.find(']') {
            Some(bracket) => bracket + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at_checked(after_host)?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some("") => None,
            Some(digits) => Some(digits.parse().ok()?),
            None => return None,
        };
        Some(Self { host, port })
    }
}

/// Tells whether a page of `origin` was served at `host`, as far as host and port tell: a proxy may have changed the scheme.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    if authority.eq_ignore_ascii_case(host) {
        return true;
    }
    let usual_port = if scheme == "https" { 443 } else { 80 };
    let (Some(page), Some(own)) = (Authority::parse(authority), Authority::parse(host)) else { return false };
    let port = |of: Authority<'_>| of.port.unwrap_or(usual_port);
    page.host.eq_ignore_ascii_case(own.host) && port(page) == port(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_addresses_and_by_the_names_it_was_given() {
        let callers = AllowedCallers::new(["N1", "db.example"], []);
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:8101",
            "10.1.2.3:1",
            "[::1]",
            "[::1]:8101",
            "localhost",
            "LOCALHOST:8101",
            "n1:8101",
            "n1:",
            "DB.Example",
        ] {
            assert!(callers.knows(host), "{host}");
        }
        for host in [
            "n2:8101",
            "evil.example:8101",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "127.1",
            "[::1",
            "[::1].evil.example",
            "[n1]",
            "[]",
            "n1:8101:1",
            "n1:port",
            "n1.",
        ] {
            assert!(!callers.knows(host), "{host}");
        }
    }

    #[test]
    fn a_page_is_the_node_s_own_if_host_and_port_are() {
        for (origin, host) in [
            ("http://127.0.0.1:8101", "127.0.0.1:8101"),
            ("http://LocalHost:8101", "localhost:8101"),
            ("http://n1", "n1"),
            ("http://n1", "n1:80"),
            ("https://n1", "n1:443"),
            ("https://n1:443", "n1"),
            ("http://[::1]:8101", "[::1]:8101"),
        ] {
            assert!(is_own(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("null", "n1"),
            ("", ""),
            ("http://evil.example", "n1"),
            ("http://127.0.0.1:3000", "127.0.0.1:8101"),
            ("http://127.0.0.1", "127.0.0.1:8101"),
            ("https://n1", "n1:80"),
            ("http://localhost:8101", "127.0.0.1:8101"),
        ] {
            assert!(!is_own(origin, host), "{origin} at {host}");
        }
    }
}
