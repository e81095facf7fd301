//! How many operations a shard works at.

use super::flood::{Hold, Suspicion};
use crate::protocol::time::Moment;

/// How often it is looked at, in microseconds.
pub(super) const WINDOW_US: u64 = 20_000;
/// How long an operation may lie in queues of this node, on the average over a window, in microseconds.
const TARGET_US: u64 = 500;
/// However long it is: so many keep a shard busy while the replies of others are on their way.
pub(super) const LEAST: u32 = 16;

/// How long operations lay in queues in a window: in the shard's mailbox, and their answers in their worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// How many were begun.
    pub begun: u64,
    /// How long they lay, in all, in microseconds.
    pub total_us: u64,
    /// How many of them had waited for their turn: what there is of a flood.
    pub admitted: u64,
    /// How long the writes among these lay before the sync began that made them durable, in all, in microseconds.
    pub for_syncs_us: u64,
    /// How many waited for their turn until their deadline had passed.
    pub expired: u64,
}

impl Waits {
    pub(super) fn add(&mut self, other: Self) {
        self.begun = self.begun.saturating_add(other.begun);
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.expired = self.expired.saturating_add(other.expired);
        self.admitted = self.admitted.saturating_add(other.admitted);
        self.for_syncs_us = self.for_syncs_us.saturating_add(other.for_syncs_us);
    }

    pub(super) fn are_beyond(self, target_us: u64) -> bool {
        self.total_us > self.begun.saturating_mul(target_us)
    }

    /// The same, with what those that had waited for their turn then lay for the disk. Where those are reads, it is no matter how
    /// busy the disk is.
    pub(super) fn with_syncs_are_beyond(self, target_us: u64) -> bool {
        let for_sync_us = self.for_syncs_us.checked_div(self.admitted).unwrap_or(0);
        for_sync_us >= target_us || self.are_beyond(target_us - for_sync_us)
    }
}

/// What is asked of a shard at the end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Operations that it works at, and turns that rest.
    pub running: u32,
    /// Operations that wait for their turn.
    pub waiting: u32,
    /// How many ran and waited at the most in the window.
    pub peak: u32,
    /// Whether some bucket has asked lately and has nothing waiting.
    pub quiet_beside: bool,
}

impl Demand {
    pub(super) fn asked(self) -> u32 {
        self.running.saturating_add(self.waiting)
    }
}

/// How many operations a shard works at: fewer by a quarter after each window in which they lay too long, more by a
/// quarter after each other one; and fewer while a flood is held down (see [`super::flood`]).
#[derive(Debug)]
pub struct Pace {
    most: u32,
    limit: u32,
    window_ends: Moment,
    /// None if floods are not held down.
    suspicion: Option<Suspicion>,
    held: Option<Hold>,
}

impl Pace {
    /// `limit` at first, and at the most; `hold_floods` says whether there are to be fewer for a flood.
    #[must_use]
    pub fn new(limit: u32, hold_floods: bool) -> Self {
        let limit = limit.max(1);
        let suspicion = hold_floods.then(Suspicion::default);
        Self { most: limit, limit, window_ends: Moment(0), suspicion, held: None }
    }

    /// How many it is to work at now.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.held.as_ref().map_or(self.most, Hold::most)
    }

    /// Whether a flood is held down.
    #[must_use]
    pub fn holds_down(&self) -> bool {
        self.held.is_some()
    }

    /// For how long a turn of a flood rests, in microseconds.
    #[must_use]
    pub fn rest_us(&self) -> u64 {
        self.held.as_ref().map_or(0, Hold::rest_us)
    }

    /// Whether a window has ended, so that [`Pace::look`] is wanted.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        now >= self.window_ends
    }

    /// Ends a window, in which operations lay in queues for `waits`.
    pub fn look(&mut self, now: Moment, waits: Waits, demand: Demand) {
        self.window_ends = now.plus_micros(WINDOW_US);
        if let Some(hold) = self.held.take() {
            self.held = hold.after(waits, demand);
            return;
        }
        let least = LEAST.min(self.limit);
        self.most = if waits.are_beyond(TARGET_US) {
            fewer(self.most, demand.running).max(least)
        } else {
            self.most.saturating_add((self.most / 4).max(1)).min(self.limit)
        };
        let flood = self.suspicion.as_mut().and_then(|suspicion| suspicion.confirmed_by(waits, demand));
        self.held = flood.map(|asked| Hold::new(asked, self.limit));
    }
}

/// Fewer by a quarter than may run, or than do.
pub(super) fn fewer(most: u32, running: u32) -> u32 {
    most.min(running) * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard that takes `cost_us` for each operation: with `most` in its mailbox each lies there for all others.
    fn settled(cost_us: u64, asked_for: u32) -> u32 {
        let mut pace = Pace::new(4_096, true);
        let mut now = Moment(1);
        for _ in 0..200 {
            let running = pace.most().min(asked_for);
            let begun = WINDOW_US / cost_us;
            let waits = Waits { begun, total_us: begun * cost_us * u64::from(running), ..Waits::default() };
            pace.look(now, waits, Demand { running, ..Demand::default() });
            now = now.plus_micros(WINDOW_US);
        }
        pace.most()
    }

    #[test]
    fn a_shard_that_is_busy_works_at_so_many_as_are_begun_in_time() {
        assert!((16..=24).contains(&settled(25, 512)), "{}", settled(25, 512));
        assert!((50..=130).contains(&settled(5, 4_096)), "{}", settled(5, 4_096));
    }

    #[test]
    fn a_shard_that_waits_for_others_works_at_all_that_is_asked_for() {
        let mut pace = Pace::new(4_096, true);
        // Slow homes: much is in flight, and the mailbox is empty.
        let demand = Demand { running: 4_000, waiting: 96, peak: 4_096, quiet_beside: true };
        for window in 1..200 {
            pace.look(
                Moment(window * WINDOW_US),
                Waits { begun: 100, total_us: 3_000, ..Waits::default() },
                demand,
            );
        }
        assert_eq!((pace.most(), pace.holds_down()), (4_096, false));
    }

    #[test]
    fn after_a_rush_it_is_back_within_two_seconds() {
        let mut pace = Pace::new(4_096, true);
        let mut now = Moment(1);
        let mut look = |waits| {
            pace.look(now, waits, Demand { running: 512, ..Demand::default() });
            now = now.plus_micros(WINDOW_US);
            pace.most()
        };
        while look(Waits { begun: 10, total_us: 1_000_000, ..Waits::default() }) > LEAST {}
        let windows = (1..).find(|_| look(Waits::default()) == 4_096).unwrap();
        assert!(windows * WINDOW_US < 2_000_000, "{windows} windows");
    }

    #[test]
    fn it_never_falls_below_what_keeps_a_shard_busy_nor_above_the_limit() {
        for limit in [1, 5, 100] {
            let mut pace = Pace::new(limit, true);
            for _ in 0..100 {
                let demand = Demand { running: limit, ..Demand::default() };
                pace.look(Moment(1), Waits { begun: 1, total_us: 1_000_000, ..Waits::default() }, demand);
                assert!((LEAST.min(limit)..=limit).contains(&pace.most()));
            }
        }
    }
}
