//! Spans as OTLP encodes them: `ExportTraceServiceRequest` of opentelemetry/proto, version 1, as protocol buffers.
//!
//! The exporter makes of a span the SDK's, of that a message of the protocol with a string for every name of an attribute,
//! and encodes it then, which was most of what a trace cost. Here bytes are written right from the span. A test compares
//! what arrives with what the exporter sends, field by field.

use bytes::Bytes;
use opentelemetry::{InstrumentationScope, Key, Value};
use opentelemetry_sdk::Resource;

use super::{Span, SpanEvent, SpanKind, TraceContext};

/// Wire types (<https://protobuf.dev/programming-guides/encoding/>).
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Numbers of fields, by message.
mod field {
    pub const REQUEST_RESOURCE_SPANS: u8 = 1;
    pub const RESOURCE_SPANS_RESOURCE: u8 = 1;
    pub const RESOURCE_SPANS_SCOPE_SPANS: u8 = 2;
    pub const RESOURCE_ATTRIBUTES: u8 = 1;
    pub const SCOPE_SPANS_SCOPE: u8 = 1;
    pub const SCOPE_SPANS_SPANS: u8 = 2;
    pub const SCOPE_NAME: u8 = 1;
    pub const SCOPE_VERSION: u8 = 2;
    pub const SPAN_TRACE_ID: u8 = 1;
    pub const SPAN_SPAN_ID: u8 = 2;
    pub const SPAN_PARENT_SPAN_ID: u8 = 4;
    pub const SPAN_NAME: u8 = 5;
    pub const SPAN_KIND: u8 = 6;
    pub const SPAN_START: u8 = 7;
    pub const SPAN_END: u8 = 8;
    pub const SPAN_ATTRIBUTES: u8 = 9;
    pub const SPAN_EVENTS: u8 = 11;
    pub const SPAN_LINKS: u8 = 13;
    pub const SPAN_STATUS: u8 = 15;
    pub const SPAN_FLAGS: u8 = 16;
    pub const EVENT_TIME: u8 = 1;
    pub const EVENT_NAME: u8 = 2;
    pub const EVENT_ATTRIBUTES: u8 = 3;
    pub const LINK_TRACE_ID: u8 = 1;
    pub const LINK_SPAN_ID: u8 = 2;
    pub const LINK_FLAGS: u8 = 6;
    pub const STATUS_MESSAGE: u8 = 2;
    pub const STATUS_CODE: u8 = 3;
    pub const KEY_VALUE_KEY: u8 = 1;
    pub const KEY_VALUE_VALUE: u8 = 2;
    pub const VALUE_STRING: u8 = 1;
    pub const VALUE_BOOL: u8 = 2;
    pub const VALUE_INT: u8 = 3;
    pub const VALUE_DOUBLE: u8 = 4;
}

const STATUS_CODE_ERROR: u64 = 2;
/// The trace is kept (W3C), it is known whether the parent is in another process, and it is.
const FLAG_SAMPLED: u32 = 0x1;
const FLAG_REMOTE_IS_KNOWN: u32 = 0x100;
const FLAG_REMOTE: u32 = 0x200;

/// Encodes the spans of one node.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The fields of the node's resource and scope, which all requests have.
    resource: Vec<u8>,
    scope: Vec<u8>,
    /// One span, and all of a request, while they are made.
    span: Vec<u8>,
    spans: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(resource: &Resource, scope: &InstrumentationScope) -> Self {
        let mut attributes = Vec::new();
        for (key, value) in resource {
            put_attribute(&mut attributes, field::RESOURCE_ATTRIBUTES, key, value);
        }
        let mut named = Vec::new();
        put_bytes(&mut named, field::SCOPE_NAME, scope.name().as_bytes());
        put_bytes(&mut named, field::SCOPE_VERSION, scope.version().unwrap_or_default().as_bytes());
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        put_bytes(&mut resource, field::RESOURCE_SPANS_RESOURCE, &attributes);
        put_bytes(&mut scope, field::SCOPE_SPANS_SCOPE, &named);
        Self { resource, scope, span: Vec::new(), spans: Vec::new() }
    }

    /// A request with these spans.
    pub(super) fn request(&mut self, spans: &[Span]) -> Bytes {
        self.spans.clear();
        for span in spans {
            self.span.clear();
            put_span(&mut self.span, span);
            put_bytes(&mut self.spans, field::SCOPE_SPANS_SPANS, &self.span);
        }
        let of_scope = self.scope.len() + self.spans.len();
        let of_resource = self.resource.len() + bytes_field_len(of_scope);
        let mut request = Vec::with_capacity(bytes_field_len(of_resource));
        put_head(&mut request, field::REQUEST_RESOURCE_SPANS, of_resource);
        request.extend_from_slice(&self.resource);
        put_head(&mut request, field::RESOURCE_SPANS_SCOPE_SPANS, of_scope);
        request.extend_from_slice(&self.scope);
        request.extend_from_slice(&self.spans);
        Bytes::from(request)
    }
}

fn put_span(into: &mut Vec<u8>, span: &Span) {
    put_bytes(into, field::SPAN_TRACE_ID, &span.context.trace.to_be_bytes());
    put_bytes(into, field::SPAN_SPAN_ID, &span.context.span.to_be_bytes());
    if let Some(parent) = span.parent {
        put_bytes(into, field::SPAN_PARENT_SPAN_ID, &parent.to_be_bytes());
    }
    put_bytes(into, field::SPAN_NAME, span.name.as_bytes());
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    put_number(into, field::SPAN_KIND, kind);
    put_fixed64(into, field::SPAN_START, span.began_ns);
    put_fixed64(into, field::SPAN_END, span.ended_ns);
    for attribute in &span.attributes {
        put_attribute(into, field::SPAN_ATTRIBUTES, &attribute.key, &attribute.value);
    }
    for event in &span.events {
        put_event(into, event);
    }
    for link in &span.links {
        put_link(into, link);
    }
    if let Some(error) = &span.error {
        let of_message = bytes_field_len(error.len());
        put_head(into, field::SPAN_STATUS, of_message + 2);
        put_bytes(into, field::STATUS_MESSAGE, error.as_bytes());
        put_number(into, field::STATUS_CODE, STATUS_CODE_ERROR);
    }
    let remote = if span.parent_is_remote { FLAG_REMOTE } else { 0 };
    // Whoever hands a span over has decided that it is kept, whatever was decided at its trace's start.
    put_fixed32(into, field::SPAN_FLAGS, FLAG_SAMPLED | FLAG_REMOTE_IS_KNOWN | remote);
}

fn put_event(into: &mut Vec<u8>, event: &SpanEvent) {
    let mut fields = Vec::new();
    put_fixed64(&mut fields, field::EVENT_TIME, event.at_ns);
    put_bytes(&mut fields, field::EVENT_NAME, event.name.as_bytes());
    for attribute in &event.attributes {
        put_attribute(&mut fields, field::EVENT_ATTRIBUTES, &attribute.key, &attribute.value);
    }
    put_bytes(into, field::SPAN_EVENTS, &fields);
}

fn put_link(into: &mut Vec<u8>, link: &TraceContext) {
    let mut fields = Vec::new();
    put_bytes(&mut fields, field::LINK_TRACE_ID, &link.trace.to_be_bytes());
    put_bytes(&mut fields, field::LINK_SPAN_ID, &link.span.to_be_bytes());
    let sampled = if link.sampled { FLAG_SAMPLED } else { 0 };
    put_fixed32(&mut fields, field::LINK_FLAGS, sampled | FLAG_REMOTE_IS_KNOWN);
    put_bytes(into, field::SPAN_LINKS, &fields);
}

fn put_attribute(into: &mut Vec<u8>, field: u8, key: &Key, value: &Value) {
    let text;
    let value = match value {
        Value::Bool(value) => Plain::Bool(*value),
        Value::I64(value) => Plain::Int(*value),
        Value::F64(value) => Plain::Double(*value),
        Value::String(value) => Plain::Text(value.as_str()),
        // Nothing here has lists.
        other => {
            text = other.to_string();
            Plain::Text(&text)
        }
    };
    let (key, of_value) = (key.as_str(), value.len());
    put_head(into, field, bytes_field_len(key.len()) + bytes_field_len(of_value));
    put_bytes(into, field::KEY_VALUE_KEY, key.as_bytes());
    put_head(into, field::KEY_VALUE_VALUE, of_value);
    value.put(into);
}

/// What an attribute holds.
#[derive(Clone, Copy)]
enum Plain<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
}

impl Plain<'_> {
    fn len(self) -> usize {
        match self {
            Self::Bool(_) => 2,
            Self::Int(number) => 1 + varint_len(number.cast_unsigned()),
            Self::Double(_) => 9,
            Self::Text(text) => bytes_field_len(text.len()),
        }
    }

    fn put(self, into: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => put_number(into, field::VALUE_BOOL, value.into()),
            Self::Int(number) => put_number(into, field::VALUE_INT, number.cast_unsigned()),
            Self::Double(number) => put_fixed64(into, field::VALUE_DOUBLE, number.to_bits()),
            Self::Text(text) => put_bytes(into, field::VALUE_STRING, text.as_bytes()),
        }
    }
}

fn put_key(into: &mut Vec<u8>, field: u8, wire_type: u8) {
    put_varint(into, u64::from(field) << 3 | u64::from(wire_type));
}

fn put_number(into: &mut Vec<u8>, field: u8, number: u64) {
    put_key(into, field, VARINT);
    put_varint(into, number);
}

fn put_fixed64(into: &mut Vec<u8>, field: u8, number: u64) {
    put_key(into, field, FIXED64);
    into.extend_from_slice(&number.to_le_bytes());
}

fn put_fixed32(into: &mut Vec<u8>, field: u8, number: u32) {
    put_key(into, field, FIXED32);
    into.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(into: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_head(into, field, bytes.len());
    into.extend_from_slice(bytes);
}

/// What comes before so many bytes.
fn put_head(into: &mut Vec<u8>, field: u8, len: usize) {
    put_key(into, field, BYTES);
    put_varint(into, len as u64);
}

/// How long a field of so many bytes is. Those of fields from 16 on, which have a key of two bytes, are not asked for.
fn bytes_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}
