//! Spans as the collector wrote them down: OTLP in JSON, a document a line.

use std::collections::BTreeMap;

use serde_json::Value;

/// OTLP's numbers of the kinds of spans.
pub const INTERNAL: u64 = 1;
pub const SERVER: u64 = 2;
pub const CLIENT: u64 = 3;

/// A span.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.instance.id` of who made it.
    pub node: String,
    pub trace: String,
    pub span: String,
    pub parent: String,
    pub name: String,
    pub kind: u64,
    pub began_ns: u64,
    pub ended_ns: u64,
    attributes: BTreeMap<String, Value>,
}

impl Span {
    /// A truth value. A string is none.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.attributes.get(name)?.get("boolValue")?.as_bool()
    }

    /// A whole number, which OTLP writes as a string.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name)?.get("intValue")?.as_str()?.parse().ok()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.get("stringValue")?.as_str()
    }
}

/// The spans in a file of such documents, the last line of which may not be whole yet.
pub fn read_spans(file: &str) -> Vec<Span> {
    let documents = file.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    documents
        .flat_map(|document| list(&document, "resourceSpans").flat_map(of_resource).collect::<Vec<_>>())
        .collect()
}

fn of_resource(resource: Value) -> Vec<Span> {
    let of = attributes(&resource["resource"]);
    let node =
        of.get("service.instance.id").and_then(|id| id["stringValue"].as_str()).unwrap_or("").to_owned();
    let scopes = list(&resource, "scopeSpans");
    let spans = scopes.flat_map(|scope| list(&scope, "spans").collect::<Vec<_>>());
    spans
        .map(|span| {
            let text = |field: &str| span[field].as_str().unwrap_or("").to_owned();
            Span {
                node: node.clone(),
                trace: text("traceId"),
                span: text("spanId"),
                parent: text("parentSpanId"),
                name: text("name"),
                kind: span["kind"].as_u64().unwrap_or(0),
                began_ns: text("startTimeUnixNano").parse().unwrap_or(0),
                ended_ns: text("endTimeUnixNano").parse().unwrap_or(0),
                attributes: attributes(&span),
            }
        })
        .collect()
}

fn list(of: &Value, field: &str) -> impl Iterator<Item = Value> + use<> {
    of[field].as_array().cloned().unwrap_or_default().into_iter()
}

fn attributes(of: &Value) -> BTreeMap<String, Value> {
    list(of, "attributes")
        .filter_map(|attribute| Some((attribute["key"].as_str()?.to_owned(), attribute["value"].clone())))
        .collect()
}
