//! Spans, as plain values made once an operation's outcome is known.
//!
//! A span is told of after the fact, with its times: so that an operation that is neither sampled nor worth keeping
//! costs a few moments noted down, and no span is ever begun and thrown away.

use opentelemetry::KeyValue;

use crate::protocol::ids::TraceContext;

/// Whose work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// What this process was asked by another.
    Server,
    /// What it asked of another.
    Client,
    /// Neither.
    Internal,
}

/// What is over, and will be told of in spans. They are made of it only where they are sent from, so that whoever hands it
/// over does not wait for that.
pub trait Finished: std::fmt::Debug + Send {
    /// How many spans it will be.
    fn spans(&self) -> usize;

    /// Makes them, and adds them to `made`.
    fn make(self: Box<Self>, made: &mut Vec<Span>);
}

impl Finished for Vec<Span> {
    fn spans(&self) -> usize {
        self.len()
    }

    fn make(mut self: Box<Self>, made: &mut Vec<Span>) {
        made.append(&mut self);
    }
}

/// Something that belongs to one moment of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// Its name.
    pub name: &'static str,
    /// The moment, in nanoseconds since 1970.
    pub at_ns: u64,
    /// Its details.
    pub attributes: Vec<KeyValue>,
}

/// A span that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: std::borrow::Cow<'static, str>,
    /// Whose work.
    pub kind: SpanKind,
    /// Its trace and its own id.
    pub context: TraceContext,
    /// The span it is part of; none at the root of a trace.
    pub parent: Option<u64>,
    /// Whether that parent is in another process.
    pub parent_is_remote: bool,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// When it ended, in nanoseconds since 1970.
    pub ended_ns: u64,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
    /// What failed, in a sentence; none if nothing did.
    pub error: Option<String>,
    /// What it belongs to beside its own trace.
    pub links: Vec<TraceContext>,
    /// Its events, in any order.
    pub events: Vec<SpanEvent>,
}
