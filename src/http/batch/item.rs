//! One operation of a batch, as it comes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Context;
use crate::http::Edge;
use crate::http::backend::Operation;
use crate::http::error::Problem;
use crate::http::headers;
use crate::http::params::{TTL_MAX_US, span};
use crate::http::properties::Given;
use crate::http::target::{self, BUCKET, KEY, KEY64};
use crate::protocol::ids::{BucketName, Key, WriteId};
use crate::protocol::operation::{Read, Write, WriteBody};

const GET: &[&str] = &["op", BUCKET, KEY, KEY64, "r", "max_staleness", "on_stale"];
const PUT: &[&str] = &[
    "op",
    BUCKET,
    KEY,
    KEY64,
    "value",
    "text",
    "content_type",
    "context",
    "write_id",
    "w",
    "ttl",
    "if_none_match",
];
const DELETE: &[&str] = &["op", BUCKET, KEY, KEY64, "context", "write_id", "w"];

/// What a text is where its writer did not say.
const TEXT: &str = "text/plain; charset=utf-8";

/// Reads an operation.
///
/// # Errors
///
/// It is not what its call would accept. An error of a write says that nothing was applied.
pub fn parse(edge: &Edge, json: &[u8]) -> Result<Operation, Problem> {
    let mut given = Given::parse("operation", json)?;
    let op = given.text("op")?.unwrap_or_default();
    match op.as_str() {
        "get" => read(edge, given).map(Operation::Read),
        "put" | "delete" => {
            let write_id = write_id(&mut given).map_err(|problem| problem.of_write(None))?;
            let write = write(edge, given, write_id, op == "delete");
            write.map(Operation::Write).map_err(|problem| problem.of_write(write_id))
        }
        _ => Err(Problem::invalid("op", &op, "\"get\", \"put\" or \"delete\"")),
    }
}

fn read(edge: &Edge, mut given: Given) -> Result<Read, Problem> {
    given.check_names(GET)?;
    for name in ["max_staleness", "on_stale"] {
        if given.take(name).is_some() {
            return Err(Problem::not_built(name));
        }
    }
    let (bucket, key) = place(edge, &mut given)?;
    Ok(Read { bucket, key, r: given.count("r")?, as_is: false })
}

fn write(edge: &Edge, mut given: Given, write_id: Option<WriteId>, deletes: bool) -> Result<Write, Problem> {
    given.check_names(if deletes { DELETE } else { PUT })?;
    let (bucket, key) = place(edge, &mut given)?;
    let body = if deletes { WriteBody::Delete } else { value(edge, &mut given)? };
    let context = context(edge, &bucket, &key, &mut given)?;
    let only_if_absent = match given.text("if_none_match")?.as_deref() {
        None => false,
        Some("*") => true,
        Some(other) => return Err(Problem::invalid("if_none_match", other, "\"*\" (create only)")),
    };
    let ttl = given.text("ttl")?;
    let ttl_us = ttl.map(|text| span("ttl", &text, TTL_MAX_US)).transpose()?;
    Ok(Write { bucket, key, body, context, write_id, w: given.count("w")?, ttl_us, only_if_absent })
}

fn place(edge: &Edge, given: &mut Given) -> Result<(BucketName, Key), Problem> {
    let bucket = target::bucket_name(&given.text(BUCKET)?.unwrap_or_default())?;
    let limit = edge.limits.key;
    let key = match (given.text(KEY)?, given.text(KEY64)?) {
        (Some(text), None) => target::within(KEY, &text, Bytes::copy_from_slice(text.as_bytes()), limit)?,
        (None, Some(text)) => target::key64(&text, limit)?,
        (None, None) => return Err(Problem::invalid(KEY, "", "the key as text, or as base64url in key64")),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(KEY64, "a key besides key", "one of key and key64"));
        }
    };
    Ok((bucket, key))
}

fn value(edge: &Edge, given: &mut Given) -> Result<WriteBody, Problem> {
    let (bytes, default) = match (given.text("value")?, given.text("text")?) {
        (Some(value), None) => {
            let bytes = STANDARD.decode(&value);
            (bytes.map_err(|_| Problem::invalid("value", &value, "base64 (RFC 4648, section 4)"))?, None)
        }
        (None, Some(text)) => (text.into_bytes(), Some(TEXT)),
        (None, None) => {
            return Err(Problem::invalid("value", "", "the value as base64, or as it is in text"));
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("text", "a value besides value", "one of value and text"));
        }
    };
    if bytes.len() > edge.limits.value {
        return Err(Problem::too_large("value", Some(bytes.len() as u64), edge.limits.value));
    }
    let content_type = given.text("content_type")?.or_else(|| default.map(str::to_owned));
    if let Some(text) = content_type.as_deref().filter(|text| !headers::is_content_type(text)) {
        return Err(Problem::invalid("content_type", text, headers::content_types()));
    }
    Ok(WriteBody::Put { content_type, bytes: bytes.into() })
}

fn context(edge: &Edge, bucket: &BucketName, key: &Key, given: &mut Given) -> Result<Context, Problem> {
    let Some(text) = given.text("context")? else { return Ok(None) };
    edge.tokens.open(bucket, key, &text).map(Some).map_err(|error| Problem::context("context", error, &text))
}

fn write_id(given: &mut Given) -> Result<Option<WriteId>, Problem> {
    let Some(text) = given.text("write_id")? else { return Ok(None) };
    let id = WriteId::parse(&text);
    id.map(Some).ok_or_else(|| Problem::invalid("write_id", &text, "32 hexadecimal digits"))
}
