//! The clocks of a node: a wall clock that may be wrong, drift and jump, and a monotonic one that only drifts.

use super::queue::{MICROS, Time};
use neap_protocol::time::{Moment, WallMicros};

/// What wall clocks show when the world begins, in microseconds since the Unix epoch: some day in 2023.
const EPOCH_US: u64 = 1_700_000_000_000_000;

/// The monotonic clock of a node that has just begun, in microseconds: "earlier than now" is always a moment.
const FIRST_MOMENT_US: u64 = 1_000_000;

const BILLION: i128 = 1_000_000_000;

/// A node's clocks. They run on while its process is down.
#[derive(Debug, Clone)]
pub struct NodeClock {
    /// How much faster than true time both clocks run, in parts per billion.
    drift_ppb: i64,
    /// When the drift last changed.
    since: Time,
    /// What had passed by then on the node's clocks, in nanoseconds.
    passed_ns: u64,
    /// How far the wall clock is off, beside the drift, in microseconds.
    offset_us: i64,
}

impl NodeClock {
    /// Clocks that are off by `offset_us` and drift by `drift_ppb`.
    #[must_use]
    pub fn new(offset_us: i64, drift_ppb: i64) -> Self {
        Self { drift_ppb, since: 0, passed_ns: 0, offset_us }
    }

    fn passed(&self, now: Time) -> u64 {
        let true_ns = i128::from(now.saturating_sub(self.since));
        let drifted = true_ns + true_ns * i128::from(self.drift_ppb) / BILLION;
        self.passed_ns.saturating_add(u64::try_from(drifted).unwrap_or(0))
    }

    /// The monotonic clock.
    #[must_use]
    pub fn moment(&self, now: Time) -> Moment {
        Moment(FIRST_MOMENT_US + self.passed(now) / MICROS)
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self, now: Time) -> WallMicros {
        WallMicros((EPOCH_US + self.passed(now) / MICROS).saturating_add_signed(self.offset_us))
    }

    /// The first true time at which the monotonic clock shows `moment`, or later. Not before `now`.
    #[must_use]
    pub fn time_of(&self, moment: Moment, now: Time) -> Time {
        let wanted_ns = i128::from(moment.0.saturating_sub(FIRST_MOMENT_US)) * i128::from(MICROS);
        let left_ns = wanted_ns - i128::from(self.passed_ns);
        let rate = BILLION + i128::from(self.drift_ppb);
        // Rounded up, and one more for what the rounding down in `passed` takes.
        let true_ns = left_ns * BILLION / rate + 2;
        now.max(self.since.saturating_add(u64::try_from(true_ns).unwrap_or(0)))
    }

    /// How far the wall clock is from true time, in microseconds.
    #[must_use]
    pub fn off_by_us(&self, now: Time) -> i64 {
        let wall = i128::from(self.wall(now).0);
        let truth = i128::from(EPOCH_US + now / MICROS);
        i64::try_from(wall - truth).unwrap_or(i64::MAX)
    }

    /// The wall clock jumps.
    pub fn step(&mut self, by_us: i64) {
        self.offset_us = self.offset_us.saturating_add(by_us);
    }

    /// Both clocks run at another rate from now on.
    pub fn set_drift(&mut self, now: Time, drift_ppb: i64) {
        self.passed_ns = self.passed(now);
        self.since = now;
        self.drift_ppb = drift_ppb;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::SECONDS;

    #[test]
    fn a_moment_is_reached_at_the_time_that_is_named_for_it_and_not_before() {
        let mut clock = NodeClock::new(0, 300_000);
        clock.set_drift(7 * SECONDS, -450_000);
        for ahead_us in [0, 1, 999, 1_000_003, 77_777_777] {
            let now = 9 * SECONDS;
            let wanted = clock.moment(now).plus_micros(ahead_us);
            let time = clock.time_of(wanted, now);
            assert!(clock.moment(time) >= wanted, "{ahead_us}");
            assert!(time <= now + 3 || clock.moment(time - 3_000) < wanted, "{ahead_us}");
        }
    }

    #[test]
    fn a_step_moves_the_wall_clock_alone_and_drift_moves_both() {
        let mut clock = NodeClock::new(5, 0);
        let (moment, wall) = (clock.moment(SECONDS), clock.wall(SECONDS));
        clock.step(-3);
        assert_eq!((clock.moment(SECONDS), clock.wall(SECONDS).0), (moment, wall.0 - 3));
        clock.set_drift(SECONDS, 1_000_000);
        assert_eq!(clock.moment(2 * SECONDS).micros_since(moment), 1_001_000);
        assert_eq!(clock.off_by_us(2 * SECONDS), 1_002);
    }
}
