//! Parameters and headers, each as it is published.

use actix_web::http::header::{HeaderName, IF_NONE_MATCH};
use utoipa::openapi::path::{Parameter as Published, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{Header, Required};

use crate::http::headers;
use crate::http::params::Parameter;
use crate::protocol::quorum::N_MAX;

/// A header that a call reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestHeader {
    /// `Neap-Context`.
    Context,
    /// `Neap-Write-Id`.
    WriteId,
    /// `If-None-Match` of a PUT.
    CreateOnly,
    /// `If-None-Match` of a read.
    KnownTags,
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn number(least: u16, most: u16) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
}

fn pattern(pattern: &str) -> Object {
    text().pattern(Some(pattern)).build()
}

const DURATION: &str = "^[1-9][0-9]{0,2}(ms|s)$";
const BASE64URL: &str = "^[A-Za-z0-9_-]+={0,2}$";

/// A query parameter.
pub(super) fn query(parameter: Parameter, required: bool) -> Published {
    let (description, schema) = match parameter {
        Parameter::R => ("Homes that must answer, 1 to the bucket's n; else the bucket's r", count()),
        Parameter::W => {
            ("Homes that must acknowledge, the bucket's w_min to its n; else the bucket's w", count())
        }
        Parameter::Ttl => (
            "How long the value is shown, 1ms to 3650d; else the bucket's ttl",
            pattern("^[1-9][0-9]{0,2}(ms|s|m|h|d)$"),
        ),
        Parameter::Timeout => ("How long the call may take, 1ms to limits.timeout", pattern(DURATION)),
        Parameter::Key64 => {
            ("The key as base64url (RFC 4648, section 5), with or without padding", pattern(BASE64URL))
        }
        Parameter::Scope => ("Of whom: this node, or the cluster", pattern("^(node|cluster)$")),
        Parameter::Prefix => ("Only keys that start with these bytes, percent-encoded", text().build()),
        Parameter::Start => ("Only this key, percent-encoded, and those after it", text().build()),
        Parameter::Limit => (
            "The most keys of the page; 1,000 if it is not given",
            number(1, crate::http::keys::LIMIT_MAX).build(),
        ),
        Parameter::Token => {
            ("Where to go on: the continuation of a page of the same bucket and prefix", pattern(BASE64URL))
        }
        Parameter::OnLeftOut => (
            "Whether replicas that lack what was too large to be sent to them answer with what they hold (`serve`): the \
             reply may miss acknowledged writes, and gets no verdict",
            pattern("^(fail|serve)$"),
        ),
        Parameter::MaxStaleness => ("Not built: answers 501", pattern(DURATION)),
        Parameter::OnStale => ("Not built: answers 501", pattern("^(fail|serve)$")),
    };
    published(parameter.name(), ParameterIn::Query, description, schema, required)
}

fn count() -> Object {
    number(1, N_MAX.into()).build()
}

/// A part of a path.
pub(super) fn in_path(name: &str) -> Published {
    let (description, schema) = match name {
        "bucket" => ("The bucket", pattern("^[A-Za-z0-9_-]{1,64}$")),
        "key" => (
            "The key: any bytes, 1 to 1,024 of them, percent-encoded; `/` may stand plain. One with a `.` or `..` \
             segment goes as key64 on the bucket's path",
            text().min_length(Some(1)).max_length(Some(1_024)).build(),
        ),
        "target" => ("The node that the hints are for", text().min_length(Some(1)).build()),
        "type" => ("The last part of a problem's `type`", text().min_length(Some(1)).build()),
        _ => ("The id of a change or run", text().min_length(Some(1)).build()),
    };
    published(name, ParameterIn::Path, description, schema, true)
}

/// A header that a call reads.
pub(super) fn header(header: RequestHeader) -> Published {
    let (name, description, schema) = match header {
        RequestHeader::Context => (
            headers::NEAP_CONTEXT,
            "The context of a read or write of this key: what it covers is replaced",
            pattern(BASE64URL),
        ),
        RequestHeader::WriteId => (
            headers::NEAP_WRITE_ID,
            "The name of this write, which makes it safe to send it again",
            pattern("^[0-9a-fA-F]{32}$"),
        ),
        RequestHeader::CreateOnly => (
            IF_NONE_MATCH,
            "`*` creates only (advisory: concurrent creators may both succeed)",
            pattern("^[*]$"),
        ),
        RequestHeader::KnownTags => (
            IF_NONE_MATCH,
            "`*`, or entity tags that the client knows: if what is there is among them, the reply is a 304",
            text().build(),
        ),
    };
    published(&spelled(&name), ParameterIn::Header, description, schema, false)
}

/// The W3C trace context that every call reads.
pub(super) fn traceparent() -> Published {
    let description =
        "The client's trace (W3C Trace Context), which goes on; what is no such thing is not looked at";
    published("traceparent", ParameterIn::Header, description, text().build(), false)
}

fn published(name: &str, place: ParameterIn, description: &str, schema: Object, required: bool) -> Published {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(description))
        .required(if required { Required::True } else { Required::False })
        .schema(Some(schema))
        .build()
}

/// The headers of replies of reads and writes.
pub(super) fn reply_headers() -> impl Iterator<Item = (String, Header)> {
    let whole = || number(0, N_MAX.into()).build();
    let rows = [
        (
            headers::NEAP_CONTEXT,
            "The context of what is there: what a later write gives back to replace it",
            pattern(BASE64URL),
        ),
        (
            headers::NEAP_REPLICAS,
            "Homes that answered, had to, and are",
            pattern("^acked=[0-9]+ required=[0-9]+ total=[0-9]+$"),
        ),
        (headers::NEAP_ACKED_BY, "The homes that answered, in preference order", text().build()),
        (headers::NEAP_LAGGING_REPLICAS, "Homes that had not answered yet", whole()),
        (
            headers::NEAP_STALENESS_BOUND,
            "The proven bound on staleness, in milliseconds, or `unproven`",
            pattern("^([0-9]+|unproven)$"),
        ),
        (headers::NEAP_VERSION_TIME, "When the newest version was written (RFC 3339)", text().build()),
        (
            headers::NEAP_WRITE_ID,
            "The name of the write that the version came from",
            pattern("^[0-9a-f]{32}$"),
        ),
    ];
    rows.into_iter().map(|(name, description, schema)| (spelled(&name), described(description, schema)))
}

/// A header of replies.
pub(super) fn described(description: &str, schema: Object) -> Header {
    let mut header = Header::new(schema);
    header.description = Some(description.to_owned());
    header
}

/// The entity tag of reads.
pub(super) fn etag() -> Header {
    described("Depends on the causal state alone: equal on all nodes", text().build())
}

/// Where a retry is safe.
pub(super) fn retry_after() -> Header {
    described("Seconds after which a retry is safe; absent where none is", number(1, 3_600).build())
}

/// The span of the request.
pub(super) fn traceparent_of_reply() -> Header {
    described("The request's trace, if it is part of one", text().build())
}

fn spelled(name: &HeaderName) -> String {
    headers::spelled(name)
}
