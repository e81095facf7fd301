//! Names by which web pages and clients are known to the REST edge: `http.cors` and `http.hosts`.

use std::fmt;

use super::members::{Address, is_host};
use super::reader::Reader;

const ACCEPTED_ORIGINS: &str = "a list of origins of web pages, each http or https, a host, and a port where it is not the usual one, such as \
     \"https://shop.example\" or \"http://localhost:3000\"; no path, no wildcard; at most 100";

const ACCEPTED_HOSTS: &str =
    "a list of host names without a port, such as \"db.example\"; no wildcard; at most 100";

/// The most entries of either list.
const ENTRIES_MAX: usize = 100;

/// The origin of a web page (RFC 6454), as browsers write it: lower case, without the port that its scheme has anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Reads an origin; none if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let usual_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let authority = authority.strip_suffix(usual_port).unwrap_or(authority);
        let known = is_host(authority) || Address::parse(authority).is_some();
        known.then(|| Self(format!("{scheme}://{authority}")))
    }

    /// The origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads `http.cors`.
pub(super) fn read_cors(r: &mut Reader) -> Vec<WebOrigin> {
    let origin = |text: &str| WebOrigin::parse(text).ok_or_else(|| format!("{text:?} is not an origin"));
    let origins = r.list("http.cors", ACCEPTED_ORIGINS, origin, WebOrigin::to_string);
    check_count("http.cors", origins.len(), ACCEPTED_ORIGINS, r);
    origins
}

/// Reads `http.hosts`.
pub(super) fn read_hosts(r: &mut Reader) -> Vec<String> {
    let host = |text: &str| {
        is_host(text).then(|| text.to_ascii_lowercase()).ok_or_else(|| format!("{text:?} is not a host name"))
    };
    let hosts = r.list("http.hosts", ACCEPTED_HOSTS, host, String::clone);
    check_count("http.hosts", hosts.len(), ACCEPTED_HOSTS, r);
    hosts
}

fn check_count(key: &'static str, count: usize, accepted: &str, r: &mut Reader) {
    if count > ENTRIES_MAX {
        r.contradiction(&[key], format!("{count} entries"), accepted.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (text, origin) in [
            ("https://Shop.Example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(WebOrigin::parse(text).unwrap().as_str(), origin, "{text}");
        }
    }

    #[test]
    fn what_no_browser_would_send_is_no_origin() {
        for text in [
            "",
            "*",
            "null",
            "shop.example",
            "https://",
            "https://a/",
            "https://a/b",
            "ftp://a",
            "http://*.a",
            "http://a:0",
        ] {
            assert_eq!(WebOrigin::parse(text), None, "{text}");
        }
    }
}
