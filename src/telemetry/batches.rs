//! What is over, on its way to the collector: in batches, made and sent on a thread of its own.
//!
//! The SDK's batch processor wants its spans made by whoever hands them over, one by one, in allocations that another
//! thread then frees. Here requests hand over what they have noted down anyway, and spans are made of it where they are
//! encoded.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ledger::{Ledger, SPANS_MAX};
use super::outlet::SpanOutlet;
use super::{Finished, Span};

/// Spans of a batch at the most, unless the standard variable says otherwise: the standard's number. From 256 to 4,096 no
/// other was shown to cost less.
const BATCH: usize = 512;
/// The standard variable.
const BATCH_VARIABLE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
/// How long spans wait for their batch to fill, unless the standard variable says otherwise.
const DELAY: Duration = Duration::from_secs(5);
/// The standard variable, in milliseconds.
const DELAY_VARIABLE: &str = "OTEL_BSP_SCHEDULE_DELAY";

/// What waits, and the thread that sends it, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Batches {
    queue: Arc<Queue>,
    ended: Receiver<()>,
}

/// Where finished work waits. The ledger bounds it.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    ledger: Arc<Ledger>,
    batch: usize,
    delay: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    /// How many spans that will be.
    spans: usize,
    end: End,
}

#[derive(Debug)]
struct Waiting {
    finished: Box<dyn Finished>,
    /// For how many of its spans there was room.
    admitted: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    NotYet,
    /// Once what waits was sent.
    WhenSent,
    AtOnce,
}

impl Batches {
    /// Starts the thread. The way to the collector lives and dies on it.
    pub(super) fn start(outlet: SpanOutlet, ledger: Arc<Ledger>) -> std::io::Result<Self> {
        let batch = batch_size(given(BATCH_VARIABLE));
        let delay = given(DELAY_VARIABLE).map_or(DELAY, Duration::from_millis);
        let (state, changed) = (Mutex::default(), Condvar::new());
        let queue = Arc::new(Queue { state, changed, ledger, batch, delay });
        let (ends, ended) = sync_channel(1);
        let thread = std::thread::Builder::new().name("neap-otlp-spans".to_owned());
        let waiting = Arc::clone(&queue);
        thread.spawn(move || run(&waiting, outlet, &ends))?;
        Ok(Self { queue, ended })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Sends what waits, for so long and no longer.
    pub(super) fn end(self, timeout: Duration) {
        self.queue.end(End::WhenSent);
        if self.ended.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("spans were still on their way to the collector when the time was over");
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.queue.end(End::AtOnce);
    }
}

impl Queue {
    /// Every change under the lock leaves whole data.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is over. The spans that there is no room for are counted, and never made.
    pub(super) fn take(&self, finished: Box<dyn Finished>) {
        let mut state = self.state();
        // Under the lock, so that whatever is admitted is seen by a thread that is told to send the rest.
        let admitted = self.ledger.admit(finished.spans());
        if admitted == 0 {
            drop(state);
            return;
        }
        let before = state.spans;
        state.spans += admitted;
        state.waiting.push(Waiting { finished, admitted });
        let is_full = before < self.batch && state.spans >= self.batch;
        drop(state);
        if is_full {
            self.changed.notify_one();
        }
    }

    /// The first end that is said counts.
    fn end(&self, end: End) {
        let mut state = self.state();
        if state.end == End::NotYet {
            state.end = end;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What waits, once it is a batch or `due` has come; none at the end.
    fn next(&self, due: Instant) -> Option<Vec<Waiting>> {
        let left = due.saturating_duration_since(Instant::now());
        let early = |state: &mut State| state.end == End::NotYet && state.spans < self.batch;
        let waited = self.changed.wait_timeout_while(self.state(), left, early);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_over = state.end == End::AtOnce || state.end == End::WhenSent && state.waiting.is_empty();
        if is_over {
            return None;
        }
        state.spans = 0;
        // The next will likely be as many.
        let room = Vec::with_capacity(state.waiting.len());
        Some(std::mem::replace(&mut state.waiting, room))
    }
}

fn run(queue: &Queue, mut outlet: SpanOutlet, ends: &SyncSender<()>) {
    let mut batch: Vec<Span> = Vec::new();
    let mut due = Instant::now() + queue.delay;
    while let Some(waiting) = queue.next(due) {
        for Waiting { finished, admitted } in waiting {
            let (before, announced) = (batch.len(), finished.spans());
            finished.make(&mut batch);
            // The ledger goes by what was announced.
            debug_assert_eq!(batch.len() - before, announced);
            batch.truncate(before + admitted);
            while batch.len() >= queue.batch {
                let rest = batch.split_off(queue.batch);
                outlet.export(std::mem::replace(&mut batch, rest));
            }
        }
        if !batch.is_empty() {
            outlet.export(std::mem::take(&mut batch));
        }
        due = Instant::now() + queue.delay;
    }
    // Whoever waited may have given up.
    let _ = ends.try_send(());
}

/// No more than may wait at once: a batch that never fills would leave the queue full until the delay is over.
fn batch_size(given: Option<u64>) -> usize {
    given.map_or(BATCH, |spans| usize::try_from(spans).unwrap_or(usize::MAX)).min(SPANS_MAX)
}

fn given(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_never_larger_than_what_may_wait() {
        assert_eq!(batch_size(None), BATCH);
        assert_eq!(batch_size(Some(7)), 7);
        assert_eq!(batch_size(Some(1_000_000)), SPANS_MAX);
        assert_eq!(batch_size(Some(u64::MAX)), SPANS_MAX);
    }
}
