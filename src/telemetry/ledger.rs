//! What became of every span and point that was to be sent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::Counter;
use super::names::value;

/// Spans that may wait, or be on their way, at once.
pub(super) const SPANS_MAX: usize = 16_384;

/// The counts, and whether the end has come.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pending: AtomicU64,
    spans_delivered: Counter,
    spans_queue_full: Counter,
    spans_export_failed: Counter,
    spans_after_shutdown: Counter,
    points_export_failed: Counter,
    closed: AtomicBool,
    deadline: OnceLock<Instant>,
}

impl Ledger {
    /// Finds places for as many of `many` spans as there are, and counts the others.
    pub(super) fn admit(&self, many: usize) -> usize {
        let wanted = many as u64;
        if self.closed.load(Ordering::Acquire) {
            self.spans_after_shutdown.add_many(wanted);
            return 0;
        }
        let before = self.pending.fetch_add(wanted, Ordering::AcqRel);
        let refused = (before + wanted).saturating_sub(SPANS_MAX as u64).min(wanted);
        if refused > 0 {
            self.pending.fetch_sub(refused, Ordering::AcqRel);
            self.spans_queue_full.add_many(refused);
        }
        usize::try_from(wanted - refused).unwrap_or(many)
    }

    /// Spans have reached the collector, or never will.
    pub(super) fn spans_sent(&self, many: usize, delivered: bool) {
        let counter = if delivered { &self.spans_delivered } else { &self.spans_export_failed };
        counter.add_many(many as u64);
        self.pending.fetch_sub(many as u64, Ordering::AcqRel);
    }

    /// Points have not reached the collector.
    pub(super) fn points_lost(&self, many: usize) {
        self.points_export_failed.add_many(many as u64);
    }

    /// Spans that reached the collector.
    pub(super) fn spans_delivered(&self) -> u64 {
        self.spans_delivered.get()
    }

    /// Spans that did not, when their turn came.
    pub(super) fn spans_failed(&self) -> u64 {
        self.spans_export_failed.get()
    }

    /// Admitted spans that have not, or not yet, reached it.
    pub(super) fn spans_undelivered(&self) -> u64 {
        self.spans_export_failed.get() + self.pending.load(Ordering::Acquire)
    }

    /// What reached nobody, by reason.
    pub(super) fn dropped(&self) -> Vec<(&'static str, u64)> {
        vec![
            (value::SPANS_QUEUE_FULL, self.spans_queue_full.get()),
            (value::SPANS_EXPORT_FAILED, self.spans_export_failed.get()),
            (value::SPANS_AFTER_SHUTDOWN, self.spans_after_shutdown.get()),
            (value::POINTS_EXPORT_FAILED, self.points_export_failed.get()),
        ]
    }

    /// From now on no span is taken; after `deadline` nothing is sent.
    pub(super) fn close(&self, deadline: Instant) {
        self.closed.store(true, Ordering::Release);
        // Only the first end counts.
        let _ = self.deadline.set(deadline);
    }

    /// Whether spans are no more taken.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it is too late to send anything.
    pub(super) fn is_too_late(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_what_was_sent_makes_room() {
        let ledger = Ledger::default();
        assert_eq!(ledger.admit(SPANS_MAX - 1), SPANS_MAX - 1);
        assert_eq!(ledger.admit(3), 1);
        assert_eq!(ledger.admit(3), 0);
        assert_eq!(ledger.dropped()[0], (value::SPANS_QUEUE_FULL, 5));
        ledger.spans_sent(2, true);
        ledger.spans_sent(1, false);
        assert_eq!(ledger.admit(9), 3);
        assert_eq!(ledger.dropped()[0], (value::SPANS_QUEUE_FULL, 11));
        assert_eq!(ledger.dropped()[1], (value::SPANS_EXPORT_FAILED, 1));
        assert_eq!((ledger.spans_delivered(), ledger.spans_undelivered()), (2, SPANS_MAX as u64 + 1));
    }

    #[test]
    fn after_the_end_no_span_is_taken_and_each_is_counted() {
        let ledger = Ledger::default();
        ledger.close(Instant::now());
        assert_eq!(ledger.admit(4), 0);
        assert_eq!(ledger.dropped()[2], (value::SPANS_AFTER_SHUTDOWN, 4));
        assert!(ledger.is_too_late());
    }
}
