//! The trace of one request.

use super::{SpanSink, TraceContext};
use crate::config::SpanKeys;

/// What a client, or another node, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A read of a key.
    Get,
    /// A write of a value.
    Put,
    /// A delete.
    Delete,
    /// A write that another node hands on.
    Forwarded,
}

/// The span under which a request is served here, which is told of when all is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTrace {
    /// Its own ids.
    pub context: TraceContext,
    /// The span of whoever asked, in another process; none if the trace begins here.
    pub parent: Option<u64>,
    /// What is asked for.
    pub call: Call,
    /// When it came, in nanoseconds since 1970.
    pub began_ns: u64,
}

/// Whether requests are traced, and which traces are kept from the start.
#[derive(Debug, Clone, Default)]
pub struct Tracing {
    spans: SpanSink,
    sample: f64,
    keys: SpanKeys,
}

impl Tracing {
    /// Traces go to `spans`; of those that begin here the share `sample` is kept from the start. Spans show keys as `keys`
    /// says.
    #[must_use]
    pub fn new(spans: SpanSink, sample: f64, keys: SpanKeys) -> Self {
        Self { spans, sample, keys }
    }

    /// How spans show keys.
    #[must_use]
    pub fn keys(&self) -> SpanKeys {
        self.keys
    }

    /// Where spans go.
    #[must_use]
    pub fn spans(&self) -> &SpanSink {
        &self.spans
    }

    /// The trace of a request that comes now, which goes on that of `caller`; none where nothing is traced.
    #[must_use]
    pub fn begin(&self, caller: Option<TraceContext>, call: Call, now_ns: u64) -> Option<RequestTrace> {
        if !self.spans.is_on() {
            return None;
        }
        let context = match caller {
            Some(caller) => caller.child(span_id()),
            None => TraceContext::fresh(trace_id(), span_id(), self.sample),
        };
        Some(RequestTrace { context, parent: caller.map(|caller| caller.span), call, began_ns: now_ns })
    }
}

/// A span id that was not drawn before; never 0.
#[must_use]
pub fn span_id() -> u64 {
    rand::random::<u64>().max(1)
}

fn trace_id() -> u128 {
    rand::random::<u128>().max(1)
}
