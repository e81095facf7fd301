//! How a peer's monotonic clock relates to one's own: an interval that cannot be wrong.
//!
//! A request came after it left, and its answer after that left. So what the peer's clock showed at both bounds the
//! difference of the clocks from both sides (Cristian, "Probabilistic Clock Synchronization", 1989; Marzullo and Owicki,
//! 1983, intersect such bounds).

use crate::time::Moment;

/// How fast two clocks may move apart, in millionths: each is off by at most 100 of them.
pub const DRIFT_PPM: u64 = 200;

/// Between two moments of one clock, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Not before.
    pub from: Moment,
    /// Not after.
    pub to: Moment,
}

impl Interval {
    /// Whether all of it is before `moment`.
    #[must_use]
    pub fn before(self, moment: Moment) -> bool {
        self.to < moment
    }

    /// Its middle.
    #[must_use]
    pub fn middle(self) -> Moment {
        self.from.plus_micros(self.to.micros_since(self.from) / 2)
    }

    /// How far its ends are from its middle, in microseconds.
    #[must_use]
    pub fn half_width_us(self) -> u64 {
        self.to.micros_since(self.from).div_ceil(2)
    }

    /// Whether all of it is after `moment`.
    #[must_use]
    pub fn after(self, moment: Moment) -> bool {
        self.from > moment
    }
}

/// What the exchanges with one peer say of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockBounds {
    clock: u64,
    /// The peer's clock less one's own, in microseconds, at `at`.
    least: i64,
    most: i64,
    /// When that was, by one's own clock.
    at: Moment,
}

impl ClockBounds {
    /// From one exchange: a request left at `sent`, came when the peer's `clock` showed `arrived`, and was answered when
    /// it showed `answered`; the answer came at `received`.
    #[must_use]
    pub fn of(clock: u64, (arrived, answered): (Moment, Moment), (sent, received): (Moment, Moment)) -> Self {
        // Clocks show whole microseconds: each may be up to one further.
        let least = difference(answered, received).saturating_sub(1);
        let most = difference(arrived, sent).saturating_add(1);
        Self { clock, least, most, at: received }
    }

    /// Another exchange narrows the bounds, after what time has widened them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let since = drift(other.at.micros_since(self.at));
        let (least, most) = (self.least.saturating_sub(since), self.most.saturating_add(since));
        let both = Self { least: least.max(other.least), most: most.min(other.most), ..other };
        // Nothing in common: the clocks do not keep what is asked of them, or the peer's is another now.
        if self.clock != other.clock || both.least > both.most { other } else { both }
    }

    /// When the peer's clock showed `moment`, by one's own.
    #[must_use]
    pub fn local(&self, moment: Moment) -> Interval {
        let (from, to) = (shifted(moment, self.most), shifted(moment, self.least));
        let apart = |local: Moment| drift(local.micros_since(self.at).max(self.at.micros_since(local)));
        Interval { from: shifted(from, apart(from)), to: shifted(to, -apart(to)) }
    }

    /// Which clock they are of.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The peer's clock less one's own, about, in microseconds.
    #[must_use]
    pub fn offset_us(&self) -> i64 {
        self.least.saturating_add(self.most) / 2
    }

    /// How far apart the bounds are, in microseconds.
    #[must_use]
    pub fn width_us(&self) -> u64 {
        u64::try_from(self.most - self.least).unwrap_or(0)
    }
}

fn difference(theirs: Moment, ours: Moment) -> i64 {
    i64::try_from(i128::from(theirs.0) - i128::from(ours.0)).unwrap_or(i64::MAX)
}

/// The moment that shows `moment` where the clock is ahead by `ahead_us`.
fn shifted(moment: Moment, ahead_us: i64) -> Moment {
    Moment(moment.0.saturating_add_signed(ahead_us.saturating_neg()))
}

fn drift(us: u64) -> i64 {
    i64::try_from(us.saturating_mul(DRIFT_PPM) / 1_000_000 + 1).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_bounds_the_clock_from_both_sides() {
        let bounds =
            ClockBounds::of(1, (Moment(5_000_500), Moment(5_000_500)), (Moment(1_000), Moment(2_000)));
        let interval = bounds.local(Moment(5_000_500));
        assert!(interval.from <= Moment(1_000) && Moment(2_000) <= interval.to, "{interval:?}");
        assert!(bounds.width_us() <= 1_002);
        assert!(interval.from.0 >= 990 && interval.to.0 <= 2_010, "{interval:?}");
    }

    #[test]
    fn exchanges_are_intersected_and_time_widens_them() {
        let wide = ClockBounds::of(1, (Moment(5_000_000), Moment(5_000_000)), (Moment(1_000), Moment(9_000)));
        let narrow =
            ClockBounds::of(1, (Moment(5_010_000), Moment(5_010_000)), (Moment(14_000), Moment(14_200)));
        let both = wide.and(narrow);
        assert!(both.width_us() <= narrow.width_us());
        let much_later = ClockBounds::of(
            1,
            (Moment(65_010_000), Moment(65_010_000)),
            (Moment(60_013_000), Moment(60_019_000)),
        );
        let later = narrow.and(much_later);
        assert!(later.width_us() > narrow.width_us() && later.width_us() <= much_later.width_us());
    }

    #[test]
    fn another_clock_begins_anew() {
        let old = ClockBounds::of(1, (Moment(5_000_000), Moment(5_000_000)), (Moment(1_000), Moment(1_100)));
        let new = ClockBounds::of(2, (Moment(1_000_000), Moment(1_000_000)), (Moment(9_000), Moment(9_900)));
        assert_eq!(old.and(new), new);
    }
}
