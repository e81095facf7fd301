//! Whose turn it is.

use std::collections::{BTreeMap, VecDeque};

use super::Slot;
use crate::protocol::time::Moment;

/// For how long a bucket counts after it asked for something, in microseconds.
const REMEMBERED_US: u64 = 1_000_000;

/// What runs, and what waits for its turn. Bounded by the permits of what waits.
#[derive(Debug)]
pub struct Turns<T> {
    running: u32,
    /// How many run at the most while several buckets ask.
    most: u32,
    /// The bucket that asked last, and the last one that was another.
    asked: (Slot, Option<(Slot, Moment)>),
    now: Moment,
    /// Of each bucket that has any, what waits, oldest first.
    queues: BTreeMap<Slot, VecDeque<T>>,
    /// Whose turn it was last.
    last: Slot,
}

impl<T> Turns<T> {
    /// With `most` turns.
    #[must_use]
    pub fn new(most: u32) -> Self {
        let (queues, last) = (BTreeMap::new(), Slot(0));
        Self { running: 0, most, asked: (last, None), now: Moment(0), queues, last }
    }

    /// Whether several buckets have asked for something lately. A bucket that is alone has all the turns that it wants.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        let other = self.asked.1;
        other.is_some_and(|(_, at)| self.now.micros_since(at) < REMEMBERED_US)
    }

    fn is_free(&self) -> bool {
        self.running < self.most || !self.is_contended()
    }

    /// Notes that a bucket asks now.
    fn asks(&mut self, now: Moment, slot: Slot) {
        if slot != self.asked.0 {
            self.asked = (slot, Some((self.asked.0, self.now)));
        }
        self.now = now;
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running
    }

    /// From now on there are so many turns. Those that run beyond that come to their end.
    pub fn set_most(&mut self, most: u32) {
        self.most = most;
    }

    /// What a bucket asks for: it comes back if it is to run now, else it waits.
    pub fn enter(&mut self, now: Moment, slot: Slot, asked: T) -> Option<T> {
        self.asks(now, slot);
        if self.is_free() && self.queues.is_empty() {
            self.running += 1;
            return Some(asked);
        }
        self.queues.entry(slot).or_default().push_back(asked);
        None
    }

    /// Something that ran has ended.
    pub fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// What runs next, if there is a turn for it: of the bucket after the one whose turn it was last.
    pub fn admit_next(&mut self) -> Option<T> {
        if !self.is_free() {
            return None;
        }
        let after = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        let slot =
            self.queues.range(after).next().or_else(|| self.queues.iter().next()).map(|(slot, _)| *slot)?;
        let queue = self.queues.get_mut(&slot)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&slot);
        }
        self.last = slot;
        self.running += u32::from(next.is_some());
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(10_000_000);

    /// With `most` turns that two buckets want: one of them has asked, and is done.
    fn contended(most: u32) -> Turns<&'static str> {
        let mut turns = Turns::new(most);
        for slot in [800, 900] {
            assert!(turns.enter(NOW, Slot(slot), "done").is_some());
            turns.leave();
        }
        turns
    }

    fn names(turns: &mut Turns<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| {
            turns.leave();
            turns.admit_next()
        })
        .collect()
    }

    #[test]
    fn a_bucket_that_is_alone_has_all_the_turns_it_wants() {
        let mut turns = Turns::new(1);
        assert!((0..1_000).all(|_| turns.enter(NOW, Slot(7), "runs").is_some()));
        assert_eq!(turns.enter(NOW, Slot(8), "waits"), None);
        assert_eq!(turns.enter(NOW, Slot(7), "waits"), None);
    }

    #[test]
    fn a_second_after_the_other_has_asked_it_is_alone_again() {
        let mut turns = contended(1);
        assert!(turns.enter(NOW, Slot(900), "runs").is_some());
        assert_eq!(turns.enter(NOW, Slot(900), "waits"), None);
        assert_eq!(
            turns.enter(NOW.plus_micros(REMEMBERED_US), Slot(900), "waits too"),
            None,
            "behind the other"
        );
        assert_eq!(
            [turns.admit_next(), turns.admit_next(), turns.admit_next()],
            [Some("waits"), Some("waits too"), None]
        );
    }

    #[test]
    fn a_quiet_bucket_is_next_however_much_another_has_waiting() {
        let mut turns = contended(2);
        for _ in 0..2 {
            assert_eq!(turns.enter(NOW, Slot(7), "flood"), Some("flood"));
        }
        for _ in 0..100 {
            assert_eq!(turns.enter(NOW, Slot(7), "flood"), None);
        }
        assert_eq!(turns.enter(NOW, Slot(3), "quiet"), None);
        turns.leave();
        let first = turns.admit_next();
        turns.leave();
        assert!([first, turns.admit_next()].contains(&Some("quiet")));
    }

    #[test]
    fn buckets_are_served_in_turn_and_each_in_order() {
        let mut turns = contended(1);
        assert_eq!(turns.enter(NOW, Slot(0), "runs"), Some("runs"));
        for (slot, asked) in [(5, "a1"), (5, "a2"), (5, "a3"), (9, "b1"), (2, "c1"), (9, "b2")] {
            assert_eq!(turns.enter(NOW, Slot(slot), asked), None);
        }
        assert_eq!(names(&mut turns), ["c1", "a1", "b1", "a2", "b2", "a3"]);
        assert_eq!(turns.running(), 0);
    }

    #[test]
    fn nobody_overtakes_what_waits_and_no_turn_is_left_unused() {
        let mut turns = contended(1);
        assert_eq!(turns.enter(NOW, Slot(1), "first"), Some("first"));
        assert_eq!(turns.enter(NOW, Slot(1), "second"), None);
        turns.set_most(3);
        assert_eq!(turns.enter(NOW, Slot(2), "third"), None, "it would overtake the second");
        assert_eq!([turns.admit_next(), turns.admit_next(), turns.admit_next()].iter().flatten().count(), 2);
        assert_eq!(turns.running(), 3);
    }

    #[test]
    fn fewer_turns_end_nothing_that_runs() {
        let mut turns = contended(4);
        (0..4).for_each(|_| assert!(turns.enter(NOW, Slot(1), "runs").is_some()));
        turns.set_most(1);
        assert_eq!(turns.enter(NOW, Slot(2), "waits"), None);
        for left in [3, 2, 1] {
            turns.leave();
            assert_eq!((turns.running(), turns.admit_next()), (left, None));
        }
        turns.leave();
        assert_eq!(turns.admit_next(), Some("waits"));
    }
}
