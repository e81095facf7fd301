//! Reads that were answered and whose verdict has not come yet.
//!
//! A verdict mostly comes within milliseconds of the reply, and within seconds where replicas are silent. A read that
//! waits for longer than a moment is counted as one of which nothing is known, so that the interval of the stale-read rate
//! holds the truth at every moment. With its verdict it is counted where it belongs.

use std::collections::VecDeque;

/// Reads that began within the same 100 ms are counted together.
const QUANTUM_US: u64 = 100_000;
/// Time after which a read counts as pending, in microseconds, beside a quantum. With the recorder's period of 250 ms
/// the document lags by half a second at most.
const PATIENCE_US: u64 = 150_000;
/// Quanta that are kept: seven minutes of them, more than any verdict takes.
const QUANTA_MAX: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Quantum {
    number: u64,
    /// Reads without a verdict.
    waiting: u64,
    /// Those of them that were counted as pending.
    pending: u64,
}

/// Reads that have become pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingReads {
    /// The time that they are counted at, in microseconds.
    pub at_us: u64,
    /// Reads.
    pub reads: u64,
}

/// The reads of one promise that wait for their verdicts.
#[derive(Debug, Clone, Default)]
pub struct ExpectedVerdicts {
    /// Ascending by number.
    quanta: VecDeque<Quantum>,
}

impl ExpectedVerdicts {
    /// Bytes that they take at the most.
    pub const BYTES_MAX: usize = 2 * QUANTA_MAX * size_of::<Quantum>();

    /// A read that began at `began_us` was answered, and its verdict is to come.
    pub fn answered(&mut self, began_us: u64) {
        let number = began_us / QUANTUM_US;
        let at = self.quanta.partition_point(|quantum| quantum.number < number);
        match self.quanta.get_mut(at).filter(|quantum| quantum.number == number) {
            Some(quantum) => quantum.waiting += 1,
            None => self.quanta.insert(at, Quantum { number, waiting: 1, pending: 0 }),
        }
        if self.quanta.len() > QUANTA_MAX {
            self.quanta.pop_front();
        }
    }

    /// The verdict on such a read has come. Returns the time at which it was counted as pending, if it was.
    pub fn judged(&mut self, began_us: u64) -> Option<u64> {
        let number = began_us / QUANTUM_US;
        let at = self.quanta.partition_point(|quantum| quantum.number < number);
        let quantum = self.quanta.get_mut(at).filter(|quantum| quantum.number == number)?;
        let was_pending = quantum.pending > 0;
        quantum.waiting = quantum.waiting.saturating_sub(1);
        quantum.pending = quantum.pending.saturating_sub(1);
        if quantum.waiting == 0 {
            self.quanta.remove(at);
        }
        was_pending.then_some(number * QUANTUM_US)
    }

    /// Reads that have waited for too long since this was last asked.
    pub fn overdue(&mut self, now_us: u64) -> Vec<PendingReads> {
        let overdue = |quantum: &Quantum| (quantum.number + 1) * QUANTUM_US + PATIENCE_US <= now_us;
        let quanta = self.quanta.iter_mut().take_while(|quantum| overdue(quantum));
        let fresh = quanta.filter(|quantum| quantum.waiting > quantum.pending);
        let pending = fresh.map(|quantum| {
            let reads = quantum.waiting - quantum.pending;
            quantum.pending = quantum.waiting;
            PendingReads { at_us: quantum.number * QUANTUM_US, reads }
        });
        pending.collect()
    }

    /// Bytes that they take now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.quanta.capacity() * size_of::<Quantum>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_pending_once_its_verdict_is_late_and_until_it_comes() {
        let mut expected = ExpectedVerdicts::default();
        [1_000_000, 1_099_999, 1_100_000].into_iter().for_each(|began| expected.answered(began));
        assert_eq!(expected.judged(1_000_000), None, "in time");
        assert_eq!(expected.overdue(1_249_999), []);
        assert_eq!(expected.overdue(1_250_000), [PendingReads { at_us: 1_000_000, reads: 1 }]);
        assert_eq!(expected.overdue(1_250_000), [], "it is counted once");
        assert_eq!(expected.judged(1_099_999), Some(1_000_000));
        assert_eq!(expected.overdue(9_000_000), [PendingReads { at_us: 1_100_000, reads: 1 }]);
        assert_eq!(expected.judged(1_150_000), Some(1_100_000));
        assert_eq!(expected.judged(1_150_000), None, "no read waits any more");
        assert!(expected.quanta.is_empty());
    }

    #[test]
    fn reads_whose_verdicts_never_come_are_bounded() {
        let mut expected = ExpectedVerdicts::default();
        (0..10_000).for_each(|quantum| expected.answered(quantum * QUANTUM_US));
        assert_eq!(expected.quanta.len(), QUANTA_MAX);
        assert!(expected.bytes() <= ExpectedVerdicts::BYTES_MAX);
    }
}
