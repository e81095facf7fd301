//! Refusals of callers: hosts, origins and media types that are not accepted. Nothing changed.

use actix_web::http::header::{CONTENT_TYPE, HOST, ORIGIN};

use super::kind::Kind;
use super::{Problem, headers, shortened};

impl Problem {
    /// A `Host` by which this node is not known.
    #[must_use]
    pub fn unknown_host(given: &str) -> Self {
        let detail =
            format!("this node is not known as {:?}; http.hosts names further hosts", shortened(given));
        let accepted =
            "an IP address, localhost, the host of a member or of peer.advertise, or one of http.hosts";
        Self::about(Kind::UnknownHost, detail, headers::spelled(&HOST), given, accepted)
    }

    /// A page of another origin than this node's own, which is not listed.
    #[must_use]
    pub fn foreign_origin(given: &str) -> Self {
        let detail = format!(
            "pages of {:?} may not call this node; http.cors lists origins that may",
            shortened(given)
        );
        let accepted = "no Origin, one with the host and port of Host, or one of http.cors";
        Self::about(Kind::ForeignOrigin, detail, headers::spelled(&ORIGIN), given, accepted)
    }

    /// A body that is not called JSON, where JSON alone is taken.
    #[must_use]
    pub fn unsupported_media_type(given: &str) -> Self {
        let name = if given.is_empty() { "without a Content-Type" } else { "of this Content-Type" };
        let detail = format!("a body {name} is not taken here; accepted is {}", headers::JSON);
        Self::about(Kind::UnsupportedMediaType, detail, headers::spelled(&CONTENT_TYPE), given, headers::JSON)
    }
}
