//! The machine's wall clock, as far as it is to be believed.
//!
//! A wall clock that jumps ahead for a moment would do harm for as long as it jumped: times that were issued meanwhile are
//! ahead of everybody's, and cannot be taken back. So a jump ahead is believed only once it has lasted; until then the
//! monotonic clock carries on from the last reading. A clock that was set back is believed at once: hybrid times never go
//! back, and peers are judged by the highest reading.

use super::time::{Moment, WallMicros};

/// A step ahead of the monotonic clock that counts as a jump, in microseconds. Clocks that are disciplined are slewed by
/// less than a thousandth; time daemons step them from about an eighth of a second on.
pub const JUMP_US: u64 = 50_000;
/// Time that a jump ahead must last before it is believed, in microseconds.
pub const JUMP_LASTS_US: u64 = 3_000_000;
/// A step back that is worth a word, in microseconds.
const SET_BACK_US: u64 = 1_000_000;

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readings {
    /// The monotonic one.
    pub moment: Moment,
    /// The wall clock.
    pub wall: WallMicros,
}

/// An event that an operator should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockEvent {
    /// The wall clock jumped ahead by so many microseconds. It is not believed yet.
    JumpedAhead(u64),
    /// A jump ahead by so many microseconds has lasted, and is believed.
    Believed(u64),
    /// A jump ahead was over before it was believed.
    CameBack,
    /// The wall clock was set back by so many microseconds.
    SetBack(u64),
}

/// The wall clock of one thread.
#[derive(Debug, Clone)]
pub struct WallClock {
    /// The last reading that was believed.
    last: Readings,
    /// When the clock was first seen to have jumped ahead; none while it has not.
    jumped: Option<Moment>,
}

impl WallClock {
    /// A clock whose first reading is believed.
    #[must_use]
    pub fn new(first: Readings) -> Self {
        Self { last: first, jumped: None }
    }

    /// The time to go by, where the clocks show `now`; with what is to be told.
    pub fn read(&mut self, now: Readings) -> (WallMicros, Option<ClockEvent>) {
        let expected = WallMicros(self.last.wall.0.saturating_add(now.moment.micros_since(self.last.moment)));
        let ahead_us = now.wall.0.saturating_sub(expected.0);
        let mut event = None;
        if ahead_us > JUMP_US {
            let since = *self.jumped.get_or_insert_with(|| {
                event = Some(ClockEvent::JumpedAhead(ahead_us));
                now.moment
            });
            if now.moment.micros_since(since) < JUMP_LASTS_US {
                return (expected, event);
            }
            event = Some(ClockEvent::Believed(ahead_us));
        } else if self.jumped.is_some() {
            event = Some(ClockEvent::CameBack);
        }
        let back_us = expected.0.saturating_sub(now.wall.0);
        if back_us > SET_BACK_US {
            event = Some(ClockEvent::SetBack(back_us));
        }
        (self.jumped, self.last) = (None, now);
        (now.wall, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;
    const TEN_MINUTES: u64 = 600 * S;

    fn at(moment: u64, ahead: i64) -> Readings {
        Readings {
            moment: Moment(moment),
            wall: WallMicros((1_000 * S + moment).saturating_add_signed(ahead)),
        }
    }

    fn clock() -> WallClock {
        WallClock::new(at(10 * S, 0))
    }

    fn wall(moment: u64) -> WallMicros {
        at(moment, 0).wall
    }

    #[test]
    fn a_jump_ahead_for_a_moment_is_never_believed() {
        let mut clock = clock();
        let jump = TEN_MINUTES as i64;
        assert_eq!(clock.read(at(11 * S, jump)), (wall(11 * S), Some(ClockEvent::JumpedAhead(TEN_MINUTES))));
        assert_eq!(clock.read(at(11 * S + 300_000, jump)), (wall(11 * S + 300_000), None));
        assert_eq!(clock.read(at(12 * S, 0)), (wall(12 * S), Some(ClockEvent::CameBack)));
        assert_eq!(clock.read(at(13 * S, 0)), (wall(13 * S), None));
    }

    #[test]
    fn a_jump_ahead_that_lasts_is_believed() {
        let mut clock = clock();
        let jump = TEN_MINUTES as i64;
        clock.read(at(11 * S, jump));
        assert_eq!(clock.read(at(14 * S - 1, jump)).0, wall(14 * S - 1));
        let believed = clock.read(at(14 * S, jump));
        assert_eq!(believed, (at(14 * S, jump).wall, Some(ClockEvent::Believed(TEN_MINUTES))));
        assert_eq!(clock.read(at(15 * S, jump)), (at(15 * S, jump).wall, None));
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_at_once_and_told_of() {
        let mut clock = clock();
        let back = -(TEN_MINUTES as i64);
        let told = Some(ClockEvent::SetBack(TEN_MINUTES));
        assert_eq!(clock.read(at(11 * S, back)), (at(11 * S, back).wall, told));
        assert_eq!(clock.read(at(12 * S, back)), (at(12 * S, back).wall, None));
    }

    #[test]
    fn a_clock_that_drifts_is_followed_however_far_it_gets() {
        let mut clock = clock();
        for second in 0..3_600 {
            // Five percent fast, read every tenth of a second.
            for tenth in 0..10 {
                let moment = 10 * S + second * S + tenth * 100_000;
                let ahead = ((moment - 10 * S) / 20) as i64;
                assert_eq!(clock.read(at(moment, ahead)), (at(moment, ahead).wall, None));
            }
        }
    }
}
