//! Where finished spans are handed over.

use std::sync::Arc;

use super::batches::Queue;
use super::ledger::Ledger;
use super::{Finished, names};

/// Takes what is over. Cheap to clone; any thread may hand over, and none ever waits.
#[derive(Debug, Clone, Default)]
pub struct SpanSink(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    queue: Arc<Queue>,
    ledger: Arc<Ledger>,
}

impl SpanSink {
    pub(super) fn on(queue: Arc<Queue>, ledger: Arc<Ledger>) -> Self {
        Self(Some(Arc::new(On { queue, ledger })))
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

    /// Takes what is to be told of, whether or not its trace was sampled at its start. Of its spans those that do not fit
    /// into the queue are dropped and counted: the last first, as their trace has what came before.
    pub fn take(&self, finished: Box<dyn Finished>) {
        if let Some(on) = &self.0 {
            on.queue.take(finished);
        }
    }
}
