//! Several concurrent versions in one reply: JSON, or `multipart/mixed` where the client asks for it.

use actix_web::http::header::{ACCEPT, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xxhash_rust::xxh3::xxh3_128;

use super::{dto, headers, time};
use crate::protocol::causality::{Body, Version};

/// Whether the client prefers `multipart/mixed` (RFC 2046, section 5.1) to JSON.
#[must_use]
pub fn wants_multipart(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(',')).map(|range| {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        (kind.trim().to_ascii_lowercase(), !parameters.replace(' ', "").contains("q=0,"))
    });
    ranges.any(|(kind, wanted)| wanted && (kind == "multipart/mixed" || kind == "multipart/*"))
}

/// The JSON document.
#[must_use]
pub fn json(shown: &[&Version], context: &str) -> dto::Siblings {
    let siblings = shown.iter().map(|version| {
        let version_time = time::rfc3339(version.hlc);
        match &version.body {
            Body::Value(value) => dto::Sibling {
                value: Some(STANDARD.encode(&value.bytes)),
                content_type: value.content_type.clone(),
                version_time,
                deleted: false,
            },
            Body::Tombstone => dto::Sibling { value: None, content_type: None, version_time, deleted: true },
        }
    });
    dto::Siblings { siblings: siblings.collect(), context: context.to_owned() }
}

/// The parts, and the `Content-Type` that names their boundary.
#[must_use]
pub fn multipart(shown: &[&Version]) -> (String, Vec<u8>) {
    let boundary = boundary(shown);
    let mut body = Vec::new();
    for version in shown {
        let mut part =
            format!("--{boundary}\r\n{}: {}\r\n", headers::NEAP_VERSION_TIME, time::rfc3339(version.hlc));
        let bytes: &[u8] = match &version.body {
            Body::Value(value) => {
                let content_type = value.content_type.as_deref().unwrap_or(headers::OCTET_STREAM);
                part.push_str(&format!("content-type: {content_type}\r\n"));
                &value.bytes
            }
            Body::Tombstone => {
                part.push_str(&format!("{}: true\r\n", headers::NEAP_DELETED));
                &[]
            }
        };
        body.extend_from_slice(part.as_bytes());
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed; boundary={boundary}"), body)
}

/// A boundary that no value holds.
fn boundary(shown: &[&Version]) -> String {
    let mut seed = 0u32;
    loop {
        let boundary = format!("neap-{:032x}", xxh3_128(&seed.to_be_bytes()));
        let held = shown.iter().any(|version| match &version.body {
            Body::Value(value) => holds(&value.bytes, boundary.as_bytes()),
            Body::Tombstone => false,
        });
        if !held {
            return boundary;
        }
        seed += 1;
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
