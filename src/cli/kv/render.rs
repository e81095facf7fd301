//! Replies as people and as programs read them.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Reply, StalenessBound};

/// The body of a reply with siblings.
#[derive(Deserialize)]
struct Siblings {
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    version_time: Option<String>,
    #[serde(default)]
    deleted: bool,
}

/// The headers of a read or a write as fields.
fn header_fields(reply: &Reply) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("status".to_owned(), json!(reply.status.as_u16()));
    fields.insert("context".to_owned(), json!(reply.context()));
    fields.insert("replicas".to_owned(), json!(reply.replicas()));
    fields.insert("acked_by".to_owned(), json!(reply.acked_by()));
    fields.insert("lagging_replicas".to_owned(), json!(reply.lagging_replicas()));
    let bound = match reply.staleness_bound() {
        Some(StalenessBound::Milliseconds(milliseconds)) => json!(milliseconds),
        Some(StalenessBound::Unproven) => json!("unproven"),
        None => Value::Null,
    };
    fields.insert("staleness_bound".to_owned(), bound);
    fields.insert("version_time".to_owned(), json!(reply.header("neap-version-time")));
    fields.insert("write_id".to_owned(), json!(reply.header("neap-write-id")));
    fields.insert("traceparent".to_owned(), json!(reply.header("traceparent")));
    fields
}

/// A write's reply as a document.
pub(super) fn written(reply: &Reply) -> Value {
    let mut fields = header_fields(reply);
    fields.insert("created".to_owned(), json!(reply.status == hyper::StatusCode::CREATED));
    Value::Object(fields)
}

/// A write's reply as a sentence, with the context for the next write.
pub(super) fn written_sentence(reply: &Reply, done: &str) -> String {
    let mut text = done.to_owned();
    if let Some(count) = reply.replicas() {
        let _ = write!(text, " on {} of {} replicas", count.acked, count.total);
    }
    let names = reply.acked_by();
    if !names.is_empty() {
        let _ = write!(text, " ({})", names.join(", "));
    }
    text.push('\n');
    if let Some(context) = reply.context() {
        let _ = writeln!(text, "context: {context}");
    }
    text
}

/// A read's reply as a document: one value in base64, or siblings.
pub(super) fn value(reply: &Reply) -> Result<Value, serde_json::Error> {
    let mut fields = header_fields(reply);
    fields.insert("etag".to_owned(), json!(reply.header("etag")));
    if reply.status == hyper::StatusCode::MULTIPLE_CHOICES {
        let mut body: Map<String, Value> = serde_json::from_slice(&reply.body)?;
        fields.insert("value".to_owned(), Value::Null);
        fields.insert("content_type".to_owned(), Value::Null);
        fields.insert("siblings".to_owned(), body.remove("siblings").unwrap_or_else(|| json!([])));
    } else {
        fields.insert("value".to_owned(), json!(STANDARD.encode(&reply.body)));
        fields.insert("content_type".to_owned(), json!(reply.header("content-type")));
        fields.insert("siblings".to_owned(), json!([]));
    }
    Ok(Value::Object(fields))
}

/// Siblings for people: each with its time and type, values that are no text by their length.
pub(super) fn siblings_for_people(reply: &Reply) -> Result<String, serde_json::Error> {
    let Siblings { siblings } = serde_json::from_slice(&reply.body)?;
    let mut text = format!(
        "{} concurrent values; a put with the context below replaces them all\n",
        siblings.iter().filter(|sibling| !sibling.deleted).count()
    );
    for (number, sibling) in siblings.iter().enumerate() {
        let time = sibling.version_time.as_deref().unwrap_or("time unknown");
        let _ = write!(text, "\n[{}] {time}", number + 1);
        if sibling.deleted {
            text.push_str("  deleted\n");
            continue;
        }
        let content_type = sibling.content_type.as_deref().unwrap_or("application/octet-stream");
        let _ = writeln!(text, "  {content_type}");
        let bytes = STANDARD.decode(sibling.value.as_deref().unwrap_or_default()).unwrap_or_default();
        match std::str::from_utf8(&bytes) {
            Ok(value) if !value.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)) => {
                text.push_str(value);
                text.push('\n');
            }
            _ => {
                let _ = writeln!(text, "({} bytes that are not text; --json shows them)", bytes.len());
            }
        }
    }
    if let Some(context) = reply.context() {
        let _ = writeln!(text, "\ncontext: {context}");
    }
    Ok(text)
}
