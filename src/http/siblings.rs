//! Several versions in one body: as JSON or as `multipart/mixed`.

use std::fmt::Write as _;

use actix_web::http::header::{ACCEPT, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::dto::{SiblingBody, SiblingsBody};
use super::headers;
use super::time::rfc3339;
use crate::protocol::causality::{Body, Shown, Value, Version};

/// The body of a 300 in JSON.
#[must_use]
pub fn json(versions: &[&Version], context: &str) -> Vec<u8> {
    let siblings = versions.iter().copied().map(body).collect();
    // Strings and flags always have a JSON form, so this cannot fail.
    serde_json::to_vec(&SiblingsBody { siblings, context: context.to_owned() }).unwrap_or_default()
}

/// One of several versions in JSON.
#[must_use]
pub fn body(version: &Version) -> SiblingBody {
    let value = value_of(version);
    SiblingBody {
        value: value.map(|value| STANDARD.encode(&value.bytes)),
        content_type: value.map(|value| content_type(value).to_owned()),
        version_time: rfc3339(version.hlc),
        deleted: version.is_tombstone(),
    }
}

/// The body of a 300 in `multipart/mixed` (RFC 2046, section 5.1), with its `Content-Type`.
#[must_use]
pub fn multipart(versions: &[&Version]) -> (String, Bytes) {
    let boundary = boundary(versions);
    let size: usize = versions.iter().filter_map(|v| value_of(v)).map(|value| value.bytes.len()).sum();
    let mut body = Vec::with_capacity(size.saturating_add(versions.len().saturating_mul(320)));
    for version in versions {
        let value = value_of(version);
        let mut head = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = write!(
            head,
            "--{boundary}\r\ncontent-type: {}\r\n{}: {}\r\n{}: {}\r\n",
            value.map_or(headers::OCTET_STREAM, content_type),
            headers::NEAP_VERSION_TIME,
            rfc3339(version.hlc),
            headers::NEAP_WRITE_ID,
            version.write_id,
        );
        if version.is_tombstone() {
            let _ = write!(head, "{}: true\r\n", headers::NEAP_DELETED);
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(value.map_or(&[], |value| &value.bytes));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed; boundary={boundary}"), Bytes::from(body))
}

/// A boundary that none of the values holds. Each try that fails needs a place of its own in the values,
/// so the search ends.
fn boundary(versions: &[&Version]) -> String {
    let mut attempt = 0u64;
    loop {
        let mut seed = attempt.to_be_bytes().to_vec();
        for version in versions {
            seed.extend_from_slice(&version.dot.actor.0.to_be_bytes());
            seed.extend_from_slice(&version.dot.counter.to_be_bytes());
        }
        let boundary = format!("neap-{:032x}", xxh3_128(&seed));
        let taken = versions
            .iter()
            .filter_map(|version| value_of(version))
            .any(|value| value.bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes()));
        if !taken {
            return boundary;
        }
        attempt = attempt.wrapping_add(1);
    }
}

/// Bytes of the values shown.
#[must_use]
pub fn bytes_shown(shown: &Shown<'_>) -> usize {
    shown.versions().into_iter().filter_map(value_of).map(|value| value.bytes.len()).sum()
}

fn value_of(version: &Version) -> Option<&Value> {
    match &version.body {
        Body::Value(value) => Some(value),
        Body::Tombstone => None,
    }
}

/// The media type of a value; bytes, where the writer did not say.
#[must_use]
pub fn content_type(value: &Value) -> &str {
    value.content_type.as_deref().unwrap_or(headers::OCTET_STREAM)
}

/// Whether `Accept` asks for `multipart/mixed` rather than JSON: it is named, and JSON is not liked better
/// (RFC 9110, section 12.5.1). JSON wins where both are named alike.
#[must_use]
pub fn prefers_multipart(request: &HeaderMap) -> bool {
    let (mut multipart, mut json, mut any) = (None, None, None);
    for value in request.get_all(ACCEPT).filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(quality).unwrap_or(1000);
            match name.as_str() {
                "multipart/mixed" => multipart = Some(quality),
                "multipart/*" => multipart = multipart.or(Some(quality)),
                "application/json" => json = Some(quality),
                "application/*" => json = json.or(Some(quality)),
                "*/*" => any = Some(quality),
                _ => {}
            }
        }
    }
    let multipart: u16 = multipart.unwrap_or(0);
    multipart > 0 && json.map_or(multipart >= any.unwrap_or(0), |json| multipart > json)
}

/// The `q` of a media range, in thousandths.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let q: f32 = name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    // The clamp keeps the cast exact.
    Some((q.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::causality::{Body, CausalContext, Value};
    use crate::protocol::ids::{ActorId, Dot, WriteId};
    use crate::protocol::time::Hlc;
    use actix_web::http::header::HeaderValue;

    fn version(bytes: &[u8]) -> Version {
        Version {
            dot: Dot { actor: ActorId(1), counter: 1 },
            hlc: Hlc::ZERO,
            w: 1,
            write_id: WriteId(1),
            named: false,
            past: CausalContext::new(),
            gapless: true,
            created: false,
            body: Body::Value(Value { content_type: None, bytes: bytes.to_vec().into(), expires_at: None }),
        }
    }

    #[test]
    fn the_boundary_occurs_in_no_value() {
        let first = boundary(&[&version(b"")]);
        let text = format!("x\r\n--{first}\r\ny");
        let again = version(text.as_bytes());
        let second = boundary(&[&again]);
        assert_ne!(first, second);
        let (media_type, body) = multipart(&[&again]);
        assert_eq!(media_type, format!("multipart/mixed; boundary={second}"));
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(body.matches(&second).count(), 2, "{body}");
    }

    #[test]
    fn multipart_is_given_to_those_who_name_it() {
        for (accept, multipart) in [
            ("multipart/mixed", true),
            ("Multipart/Mixed; q=0.5", true),
            ("multipart/mixed, */*", true),
            ("multipart/mixed, */*;q=0.1", true),
            ("multipart/mixed;q=0.2, */*", false),
            ("multipart/mixed, application/json", false),
            ("multipart/mixed, application/json;q=0.9", true),
            ("multipart/mixed;q=0", false),
            ("application/json", false),
            ("*/*", false),
            ("text/plain", false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_multipart(&request), multipart, "{accept}");
        }
        assert!(!prefers_multipart(&HeaderMap::new()));
    }
}
