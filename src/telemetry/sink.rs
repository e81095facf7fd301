//! Where finished spans are handed over.

use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor as _};

use super::convert::span_data;
use super::ledger::Ledger;
use super::{Span, names};

/// Takes finished spans. Cheap to clone; any thread may hand over, and none ever waits.
#[derive(Debug, Clone, Default)]
pub struct SpanSink(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    processor: Arc<BatchSpanProcessor>,
    ledger: Arc<Ledger>,
    scope: InstrumentationScope,
}

impl SpanSink {
    pub(super) fn on(processor: Arc<BatchSpanProcessor>, ledger: Arc<Ledger>) -> Self {
        Self(Some(Arc::new(On { processor, ledger, scope: names::scope() })))
    }

    /// One that forgets what it is given, as where nothing is sent.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether spans go anywhere: if not, none need be made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_some_and(|on| !on.ledger.is_closed())
    }

    /// How many spans reached the collector, and how many never will.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let Some(on) = &self.0 else { return (0, 0) };
        let dropped = on.ledger.dropped();
        let dropped = dropped.iter().filter(|(reason, _)| *reason != names::value::POINTS_EXPORT_FAILED);
        (on.ledger.spans_delivered(), dropped.map(|(_, count)| count).sum())
    }

    /// Takes spans that are to be kept, whether or not their trace was sampled at its start. What does not fit into the
    /// queue is dropped and counted: the last first, as its trace has what came before.
    pub fn take(&self, spans: Vec<Span>) {
        let Some(on) = &self.0 else { return };
        let admitted = on.ledger.admit(spans.len());
        for span in spans.into_iter().take(admitted) {
            on.processor.on_end(span_data(span, &on.scope));
        }
    }
}
