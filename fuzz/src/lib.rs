//! What must hold for any bytes from outside. The fuzzer runs these, and the tests run them over seeds and random
//! bytes (`tests/fuzzing`). A property fails by a panic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use neap::fuzzing;
use neap::http::tokens::TokenKey;
use neap::protocol::ids::{BucketName, Key};
use neap::protocol::message::{PeerAnswer, PeerRequest};
use neap::protocol::replica::Held;
use neap::storage::{record, seal};
use neap::telemetry::TraceContext;
use neap::transport::wire::{WireAnswer, WireRequest};
use neap::transport::{codec, frame};

/// Frames are read alike however their bytes trickle in, and a header is written as it was read.
pub fn frame(bytes: &[u8]) {
    let whole = frames(&[bytes]);
    let (first, rest) = bytes.split_at(bytes.first().map_or(0, |&at| usize::from(at).min(bytes.len())));
    assert_eq!(frames(&[first, rest]), whole);
    for read in whole {
        let mut written = Vec::new();
        frame::encode(&read.header, read.trace.as_deref(), &(), &mut written).unwrap();
        let again = frame::decode(&mut BytesMut::from(&written[..])).unwrap().unwrap();
        assert_eq!((again.header, again.trace), (read.header, read.trace));
    }
}

/// What a connection makes of pieces that come one after the other, up to its end.
fn frames(pieces: &[&[u8]]) -> Vec<frame::Frame> {
    let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match frame::decode(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(buffer.len() < before && frame.payload.len() < before);
                    read.push(frame);
                }
                Ok(None) => {
                    assert!(frame::lacking(&buffer) > 0, "nothing is lacking, and yet it is no frame");
                    break;
                }
                Err(_) => return read,
            }
        }
    }
    read
}

/// A message that can be read is written so that it is read alike.
pub fn message(bytes: &[u8]) {
    if let Ok(Ok(request)) = codec::decode::<WireRequest>(bytes).map(PeerRequest::try_from) {
        let mut written = Vec::new();
        codec::encode(&WireRequest::from(&request), &mut written).unwrap();
        let again = codec::decode::<WireRequest>(&written).unwrap();
        assert_eq!(PeerRequest::try_from(again).unwrap(), request);
    }
    if let Ok(Ok(answer)) = codec::decode::<WireAnswer>(bytes).map(PeerAnswer::try_from) {
        let mut written = Vec::new();
        codec::encode(&WireAnswer::from(&answer), &mut written).unwrap();
        let again = codec::decode::<WireAnswer>(&written).unwrap();
        assert_eq!(PeerAnswer::try_from(again).unwrap(), answer);
    }
}

/// No text is a token by accident, and the set inside a token is written as it was read.
pub fn context_token(bytes: &[u8]) {
    let tokens = TokenKey::derive(b"the secret of the seeds", "fuzz");
    let (bucket, key) = (BucketName::new("b").unwrap(), Key::new("k"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(tokens.open(&bucket, &key, text).is_err());
    }
    assert!(tokens.open(&bucket, &key, &URL_SAFE_NO_PAD.encode(bytes)).is_err());
    if let Some(context) = fuzzing::context_set(bytes) {
        let token = tokens.seal(&bucket, &key, &context);
        assert_eq!(tokens.open(&bucket, &key, &token.0), Ok(context));
    }
}

/// Whatever way a target names a key, the key can be named as `key64` too, and none has a dot segment in its path.
pub fn request_target(bytes: &[u8]) {
    let Ok(target) = std::str::from_utf8(bytes) else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Some((bucket, key)) = fuzzing::named_key(path, query) else { return };
    assert!((1..=fuzzing::KEY_MAX).contains(&key.as_bytes().len()));
    let query = format!("key64={}", URL_SAFE_NO_PAD.encode(key.as_bytes()));
    let named = (bucket.clone(), key.clone());
    assert_eq!(fuzzing::named_key(&format!("/v1/kv/{bucket}"), Some(&query)), Some(named.clone()));
    let encoded: String = key.as_bytes().iter().map(|byte| format!("%{byte:02X}")).collect();
    let in_path = fuzzing::named_key(&format!("/v1/kv/{bucket}/{encoded}"), None);
    let dots = key.as_bytes().split(|&byte| byte == b'/').any(|segment| matches!(segment, b"." | b".."));
    assert_eq!(in_path, (!dots).then_some(named));
}

/// Any record is an object or damage; what an object is read from is written so that it is read alike.
pub fn stored_record(bytes: &[u8]) {
    const KEY: &[u8] = b"\0\0\0\x07bucket\0key";
    let _ = record::decode(KEY, Bytes::copy_from_slice(bytes));
    // The checksum would keep nearly all of them from what is behind it.
    if let Ok(held) = record::decode(KEY, seal(KEY, bytes)) {
        let again = match &held {
            Held::Object(object) => record::encode(KEY, object),
            Held::Lacking(lacking) => record::encode_lacking(KEY, lacking),
            Held::Nothing | Held::Damaged => panic!("no record holds {held:?}"),
        };
        assert_eq!(record::decode(KEY, again).as_ref(), Ok(&held));
    }
}

/// A `traceparent` that is understood goes on as it was understood.
pub fn traceparent(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(context) = TraceContext::parse(text) {
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
    }
}
