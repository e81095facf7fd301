//! A sliding window, made of slots of time: what falls out of it goes a slot at a time.
//!
//! Slots are numbered by the time since the Unix epoch, so that those of two nodes, and of two runs, that have the
//! same number are of the same time, and can be added up.

use std::collections::VecDeque;

/// What a slot holds.
pub trait Tally: Default {
    /// Adds what another counted.
    fn merge(&mut self, other: &Self);
}

/// A sliding window. It covers the slot that is being filled and those before it: `span` but for a part of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring<T> {
    slot_us: u64,
    slots: u64,
    /// Ascending by number; slots in which nothing happened are not there.
    kept: VecDeque<(u64, T)>,
}

impl<T: Tally> Ring<T> {
    /// A window of `span_us` microseconds in so many slots, of which there is one at least.
    #[must_use]
    pub fn new(span_us: u64, slots: u64) -> Self {
        let slots = slots.max(1);
        Self { slot_us: (span_us / slots).max(1), slots, kept: VecDeque::new() }
    }

    /// One with stored slots, which need not be in order.
    #[must_use]
    pub fn from_slots(slot_us: u64, slots: impl IntoIterator<Item = (u64, T)>) -> Self {
        let mut kept: Vec<_> = slots.into_iter().collect();
        kept.sort_by_key(|(number, _)| *number);
        let (slot_us, slots) = (slot_us.max(1), u64::MAX);
        Self { slot_us, slots, kept: kept.into() }
    }

    /// How long a slot is, in microseconds.
    #[must_use]
    pub fn slot_us(&self) -> u64 {
        self.slot_us
    }

    /// How many slots there are at the most.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The number of the slot that is being filled at `now_us`.
    #[must_use]
    pub fn number(&self, now_us: u64) -> u64 {
        now_us / self.slot_us
    }

    /// The slot that is being filled at `now_us`. A time before the newest slot counts as the newest.
    pub fn slot(&mut self, now_us: u64) -> Option<&mut T> {
        let number = self.number(now_us);
        if self.kept.back().is_none_or(|(newest, _)| *newest < number) {
            self.kept.push_back((number, T::default()));
            self.forget(number);
        }
        self.kept.back_mut().map(|(_, tally)| tally)
    }

    /// The slot of an earlier time, `at_us`; none if that is no longer within the window at `now_us`. A time after
    /// `now_us` counts as now.
    pub fn slot_at(&mut self, now_us: u64, at_us: u64) -> Option<&mut T> {
        let (now, at) = (self.number(now_us), self.number(at_us.min(now_us)));
        self.forget(now);
        if at < oldest(now, self.slots) {
            return None;
        }
        // Most are of the newest slot.
        let place = match self.kept.back() {
            Some((newest, _)) if *newest == at => self.kept.len() - 1,
            _ => self.kept.partition_point(|(number, _)| *number < at),
        };
        if self.kept.get(place).is_none_or(|(number, _)| *number != at) {
            self.kept.insert(place, (at, T::default()));
        }
        self.kept.get_mut(place).map(|(_, tally)| tally)
    }

    /// All of the window at `now_us`.
    #[must_use]
    pub fn total(&self, now_us: u64) -> T {
        let mut total = T::default();
        self.within(now_us).for_each(|(_, tally)| total.merge(tally));
        total
    }

    /// The slots of the window at `now_us` in which something happened, with their numbers, ascending.
    pub fn within(&self, now_us: u64) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let number = self.number(now_us);
        let first = oldest(number, self.slots);
        let slots = self.kept.iter().map(|(number, tally)| (*number, tally));
        slots.filter(move |(at, _)| (first..=number).contains(at))
    }

    /// Adds what another window, which may have slots of another length, holds of this one's time. What comes from
    /// later than `now_us`, as from a clock that was set back since, counts as of now.
    pub fn merge(&mut self, now_us: u64, other: &Self) {
        let now = self.number(now_us);
        self.forget(now);
        for (number, tally) in &other.kept {
            let number = match self.slot_us == other.slot_us {
                true => *number,
                false => number.saturating_mul(other.slot_us) / self.slot_us,
            };
            let number = number.min(now);
            if number < oldest(now, self.slots) {
                continue;
            }
            let place = self.kept.partition_point(|(at, _)| *at < number);
            if self.kept.get(place).is_none_or(|(at, _)| *at != number) {
                self.kept.insert(place, (number, T::default()));
            }
            if let Some((_, mine)) = self.kept.get_mut(place) {
                mine.merge(tally);
            }
        }
    }

    /// Bytes that it takes now, with what `beside` says of a slot.
    pub fn bytes(&self, beside: impl Fn(&T) -> usize) -> usize {
        let slots = self.kept.capacity() * size_of::<(u64, T)>();
        slots + self.kept().map(|(_, tally)| beside(tally)).sum::<usize>()
    }

    /// All slots that are kept, with their numbers.
    pub fn kept(&self) -> impl ExactSizeIterator<Item = (u64, &T)> {
        self.kept.iter().map(|(number, tally)| (*number, tally))
    }

    /// The same, to be changed.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.kept.iter_mut().map(|(_, tally)| tally)
    }

    fn forget(&mut self, newest: u64) {
        let first = oldest(newest, self.slots);
        while self.kept.front().is_some_and(|(number, _)| *number < first) {
            self.kept.pop_front();
        }
    }
}

/// The oldest slot of a window whose newest is `newest`.
fn oldest(newest: u64, slots: u64) -> u64 {
    newest.saturating_add(1).saturating_sub(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct Count(u64);

    impl Tally for Count {
        fn merge(&mut self, other: &Self) {
            self.0 += other.0;
        }
    }

    fn ring(times: &[u64]) -> Ring<Count> {
        let mut ring: Ring<Count> = Ring::new(100, 10);
        times.iter().for_each(|time| ring.slot(*time).unwrap().0 += 1);
        ring
    }

    #[test]
    fn what_is_as_old_as_the_window_is_gone() {
        let ring = ring(&[1_000, 1_005, 1_050]);
        assert_eq!(ring.total(1_099), Count(3));
        assert_eq!(ring.total(1_100), Count(1));
        assert_eq!(ring.total(1_150), Count(0));
    }

    #[test]
    fn a_window_keeps_no_more_slots_than_it_has() {
        let times: Vec<u64> = (0..5_000).collect();
        assert_eq!(ring(&times).kept.len(), 10);
    }

    #[test]
    fn a_clock_that_goes_back_adds_to_the_newest_slot() {
        assert_eq!(ring(&[1_000, 900]).total(1_000), Count(2));
    }

    #[test]
    fn an_earlier_time_has_its_own_slot_as_long_as_the_window_holds_it() {
        let mut ring = ring(&[1_000, 1_050]);
        ring.slot_at(1_090, 1_010).unwrap().0 += 1;
        ring.slot_at(1_090, 1_052).unwrap().0 += 1;
        ring.slot_at(1_090, 2_000).unwrap().0 += 1;
        assert!(ring.slot_at(1_090, 999).is_none());
        let kept: Vec<_> = ring.kept().map(|(at, count)| (at, count.0)).collect();
        assert_eq!(kept, [(100, 1), (101, 1), (105, 2), (109, 1)]);
        assert!(ring.slot_at(2_000, 1_052).is_none(), "it is as old as the window");
        assert_eq!(ring.total(2_000), Count(0));
    }

    #[test]
    fn merging_windows_is_recording_all_in_one() {
        let (mut one, other) = (ring(&[1_000, 1_020, 1_090]), ring(&[950, 1_020, 1_070]));
        one.merge(1_090, &other);
        assert_eq!(one, ring(&[1_000, 1_020, 1_020, 1_070, 1_090]));
    }

    #[test]
    fn slots_of_another_length_go_where_their_time_is_and_later_ones_count_as_of_now() {
        let stored = Ring::from_slots(5, [(300, Count(1)), (201, Count(1)), (200, Count(1))]);
        let mut ring: Ring<Count> = Ring::new(100, 10);
        ring.merge(1_010, &stored);
        assert_eq!(ring.kept().map(|(at, count)| (at, count.0)).collect::<Vec<_>>(), [(100, 2), (101, 1)]);
    }
}
