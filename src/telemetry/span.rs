//! Spans, as plain values made once an operation's outcome is known.
//!
//! A span is told of after the fact, with its times: so that an operation that is neither sampled nor worth keeping
//! costs a few moments noted down, and no span is ever begun and thrown away.

use opentelemetry::KeyValue;

/// Which trace an operation belongs to, and under which span its children hang (W3C Trace Context, level 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether the trace is kept from the start.
    pub sampled: bool,
}

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
}
