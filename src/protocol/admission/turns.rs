//! Whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::pace::{Demand, LEAST};
use super::{SLOTS, Slot};
use crate::protocol::time::Moment;

/// For how long a bucket counts after it asked for something, in microseconds.
const REMEMBERED_US: u64 = 1_000_000;

/// So many more turns there are for buckets of which nothing runs: they need not wait until something of a flood ends,
/// which may take as long as a slow home.
const BESIDE: u32 = 16;

/// A bucket of which more waits than this rests after each of its operations, where there is a rest at all.
const RESTS_ABOVE: usize = LEAST as usize;

/// What runs, and what waits for its turn. Bounded by the permits of what waits.
#[derive(Debug)]
pub struct Turns<T> {
    running: u32,
    /// How many of each bucket.
    running_of: Box<[u32]>,
    /// Turns that are given back at a moment, about in its order; until then they count as if they ran.
    resting: VecDeque<(Moment, Slot)>,
    rest_us: u64,
    waiting: u32,
    /// How many ran and waited at the most since it was last asked.
    peak: u32,
    /// How many run at the most while several buckets ask.
    most: u32,
    /// The bucket that asked last, and the last one that was another.
    asked: (Slot, Option<(Slot, Moment)>),
    now: Moment,
    /// When each bucket asked last; those that never did have a moment long ago.
    last_asked: Box<[Moment]>,
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
        let last_asked = vec![Moment(0); SLOTS].into();
        let running_of = vec![0; SLOTS].into();
        Self {
            running: 0,
            running_of,
            resting: VecDeque::new(),
            rest_us: 0,
            waiting: 0,
            peak: 0,
            most,
            asked: (last, None),
            now: Moment(0),
            last_asked,
            queues,
            last,
        }
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

    /// Whether nothing of a bucket runs, and there is a turn for such a one.
    fn is_free_beside(&self, slot: Slot) -> bool {
        self.running < self.most.saturating_add(BESIDE) && self.running_of.get(slot.index()) == Some(&0)
    }

    fn begins(&mut self, slot: Slot) {
        self.running += 1;
        if let Some(of_bucket) = self.running_of.get_mut(slot.index()) {
            *of_bucket += 1;
        }
    }

    /// Notes that a bucket asks now.
    fn asks(&mut self, now: Moment, slot: Slot) {
        if slot != self.asked.0 {
            self.asked = (slot, Some((self.asked.0, self.now)));
        }
        self.now = now;
        if let Some(last) = self.last_asked.get_mut(slot.index()) {
            *last = now;
        }
    }

    /// What is asked for, and was since the last call. Looks at all slots: for now and then.
    pub fn demand(&mut self) -> Demand {
        let peak = std::mem::replace(&mut self.peak, self.running.saturating_add(self.waiting));
        let lately = |at: &&Moment| at.0 > 0 && self.now.micros_since(**at) < REMEMBERED_US;
        let asked_lately = self.last_asked.iter().filter(lately).count();
        Demand {
            running: self.running,
            waiting: self.waiting,
            peak,
            quiet_beside: self.is_contended() && asked_lately > self.queues.len(),
        }
    }

    /// From now on there are so many turns, and a bucket that floods has one again so many microseconds after the
    /// operation that had it last. Those that run beyond that come to their end.
    pub fn set_pace(&mut self, most: u32, rest_us: u64) {
        (self.most, self.rest_us) = (most, rest_us);
    }

    /// When the next turn has rested for which something waits, if one rests.
    #[must_use]
    pub fn rested_at(&self) -> Option<Moment> {
        let (at, _) = self.resting.front()?;
        (self.waiting > 0).then_some(*at)
    }

    /// Gives back the turns that have rested.
    fn wake(&mut self, now: Moment) {
        while let Some(&(at, slot)) = self.resting.front()
            && at <= now
        {
            self.resting.pop_front();
            self.give_back(slot);
        }
    }

    /// What a bucket asks for: it comes back if it is to run now, else it waits.
    pub fn enter(&mut self, now: Moment, slot: Slot, asked: T) -> Option<T> {
        self.asks(now, slot);
        self.wake(now);
        let waits_for_others = !self.is_free() || !self.queues.is_empty();
        if !waits_for_others || self.is_free_beside(slot) && !self.queues.contains_key(&slot) {
            self.begins(slot);
            return Some(asked);
        }
        self.queues.entry(slot).or_default().push_back(asked);
        self.waiting += 1;
        self.peak = self.peak.max(self.running.saturating_add(self.waiting));
        None
    }

    /// Something of a bucket that ran has ended.
    pub fn leave(&mut self, now: Moment, slot: Slot) {
        let waits = self.queues.get(&slot).map_or(0, VecDeque::len);
        if self.rest_us > 0 && waits > RESTS_ABOVE {
            self.resting.push_back((now.plus_micros(self.rest_us), slot));
        } else {
            self.give_back(slot);
        }
    }

    /// Something of a bucket that was to run did not: its turn need not rest.
    pub fn unused(&mut self, slot: Slot) {
        self.give_back(slot);
    }

    fn give_back(&mut self, slot: Slot) {
        self.running = self.running.saturating_sub(1);
        if let Some(of_bucket) = self.running_of.get_mut(slot.index()) {
            *of_bucket = of_bucket.saturating_sub(1);
        }
    }

    /// What runs next, if there is a turn for it: of the bucket after the one whose turn it was last.
    pub fn admit_next(&mut self, now: Moment) -> Option<T> {
        self.wake(now);
        let is_free = self.is_free();
        if !is_free && self.running >= self.most.saturating_add(BESIDE) {
            return None;
        }
        let after = (Bound::Excluded(self.last), Bound::Unbounded);
        let mut in_turn =
            self.queues.range(after).chain(self.queues.range(..=self.last)).map(|(slot, _)| *slot);
        // Passed over are no more than run. A flood of which nothing runs has its turn so, too: others would keep it waiting
        // for ever.
        let slot = in_turn.find(|slot| is_free || self.is_free_beside(*slot))?;
        let queue = self.queues.get_mut(&slot)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&slot);
        }
        self.last = slot;
        if next.is_some() {
            self.waiting -= 1;
            self.begins(slot);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(10_000_000);
    const FLOOD: Slot = Slot(7);
    const QUIET: Slot = Slot(3);

    /// With `most` turns that two buckets want: one of them has asked, and is done.
    fn contended(most: u32) -> Turns<&'static str> {
        let mut turns = Turns::new(most);
        for slot in [Slot(800), Slot(900)] {
            assert!(turns.enter(NOW, slot, "done").is_some());
            turns.leave(NOW, slot);
        }
        turns
    }

    /// As many turns as there are taken, and something waiting.
    fn flooded(most: u32) -> Turns<&'static str> {
        let mut turns = contended(most);
        for _ in 0..most {
            assert_eq!(turns.enter(NOW, FLOOD, "flood"), Some("flood"));
        }
        for _ in 0..100 {
            assert_eq!(turns.enter(NOW, FLOOD, "flood"), None);
        }
        turns
    }

    #[test]
    fn a_bucket_that_is_alone_has_all_the_turns_it_wants() {
        let mut turns = Turns::new(1);
        assert!((0..1_000).all(|_| turns.enter(NOW, Slot(7), "runs").is_some()));
        assert_eq!(turns.enter(NOW, Slot(8), "runs beside"), None, "there is an end to those, too");
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
            [turns.admit_next(NOW), turns.admit_next(NOW), turns.admit_next(NOW)],
            [Some("waits"), Some("waits too"), None]
        );
    }

    #[test]
    fn a_bucket_of_which_nothing_runs_waits_for_nobody() {
        let mut turns = flooded(2);
        assert_eq!(turns.enter(NOW, QUIET, "quiet"), Some("quiet"));
        assert_eq!(turns.enter(NOW, QUIET, "its second"), None);
        turns.leave(NOW, QUIET);
        assert_eq!(turns.enter(NOW, QUIET, "its third"), None, "behind the second");
        // What was beyond the turns is no turn for the flood when it ends.
        assert_eq!([turns.admit_next(NOW), turns.admit_next(NOW)], [Some("its second"), None]);
    }

    #[test]
    fn a_flood_is_not_starved_by_buckets_of_which_something_runs_all_the_time() {
        for quiet in [2, BESIDE as u16 + 8] {
            let mut turns = flooded(1);
            let slots = (100..100 + quiet).map(Slot);
            for slot in slots.clone() {
                turns.enter(NOW, slot, "quiet");
            }
            let mut floods = 0;
            turns.leave(NOW, FLOOD);
            for slot in slots.clone().cycle().take(500) {
                // Whoever runs ends, what waits goes on, and then the same client asks again.
                let ran = turns.running_of[slot.index()] > 0;
                if ran {
                    turns.leave(NOW, slot);
                }
                let begun: Vec<_> = std::iter::from_fn(|| turns.admit_next(NOW)).collect();
                for _ in begun.iter().filter(|name| **name == "flood") {
                    floods += 1;
                    turns.leave(NOW, FLOOD);
                }
                if ran {
                    turns.enter(NOW, slot, "quiet");
                }
            }
            assert!(floods > 10, "{floods} beside {quiet}");
        }
    }

    #[test]
    fn so_many_buckets_and_no_more_have_something_run_beyond_the_turns() {
        let mut turns = flooded(2);
        let ran = (100..200).filter(|&slot| turns.enter(NOW, Slot(slot), "first").is_some());
        assert_eq!(ran.count(), BESIDE as usize);
        assert_eq!(turns.demand().running, 2 + BESIDE);
    }

    #[test]
    fn a_quiet_bucket_is_next_however_much_another_has_waiting() {
        let mut turns = flooded(2);
        assert!(turns.enter(NOW, QUIET, "quiet").is_some());
        assert_eq!(turns.enter(NOW, QUIET, "quiet"), None);
        let mut next = || {
            turns.leave(NOW, FLOOD);
            turns.admit_next(NOW)
        };
        assert_eq!(next(), None);
        assert!([next(), next()].contains(&Some("quiet")));
    }

    #[test]
    fn buckets_are_served_in_turn_and_each_in_order() {
        let mut turns = contended(1);
        let slots = [5, 9, 2];
        for slot in slots {
            assert_eq!(turns.enter(NOW, Slot(slot), "runs"), Some("runs"));
        }
        for (slot, asked) in [(5, "a1"), (5, "a2"), (5, "a3"), (9, "b1"), (2, "c1"), (9, "b2")] {
            assert_eq!(turns.enter(NOW, Slot(slot), asked), None);
        }
        for slot in slots {
            turns.leave(NOW, Slot(slot));
        }
        let order: Vec<_> = std::iter::from_fn(|| {
            let next = turns.admit_next(NOW);
            turns.leave(NOW, turns.last);
            next
        })
        .collect();
        assert_eq!(order, ["c1", "a1", "b1", "a2", "b2", "a3"]);
        assert_eq!(turns.demand().running, 0);
    }

    #[test]
    fn nobody_overtakes_what_its_bucket_waits_for_and_no_turn_is_left_unused() {
        let mut turns = contended(1);
        assert_eq!(turns.enter(NOW, Slot(1), "first"), Some("first"));
        assert_eq!(turns.enter(NOW, Slot(1), "second"), None);
        turns.set_pace(3, 0);
        assert_eq!(turns.enter(NOW, Slot(1), "third"), None, "it would overtake the second");
        assert_eq!([turns.admit_next(NOW), turns.admit_next(NOW)], [Some("second"), Some("third")]);
        assert_eq!(turns.demand().running, 3);
    }

    #[test]
    fn fewer_turns_end_nothing_that_runs() {
        let mut turns = contended(4);
        (0..4).for_each(|_| assert!(turns.enter(NOW, Slot(1), "runs").is_some()));
        turns.set_pace(1, 0);
        assert_eq!(turns.enter(NOW, Slot(1), "waits"), None);
        for left in [3, 2, 1] {
            turns.leave(NOW, Slot(1));
            assert_eq!((turns.demand().running, turns.admit_next(NOW)), (left, None));
        }
        turns.leave(NOW, Slot(1));
        assert_eq!(turns.admit_next(NOW), Some("waits"));
    }

    #[test]
    fn demand_tells_what_runs_and_waits_and_did_at_the_most_and_whether_somebody_is_quiet() {
        let mut turns = flooded(2);
        let demand = turns.demand();
        assert_eq!(demand, Demand { running: 2, waiting: 100, peak: 102, quiet_beside: true });
        for _ in 0..40 {
            turns.leave(NOW, FLOOD);
            assert!(turns.admit_next(NOW).is_some());
        }
        assert_eq!(turns.demand().peak, 102, "at the window's beginning");
        assert_eq!(turns.demand(), Demand { running: 2, waiting: 60, peak: 62, quiet_beside: true });
        // All others asked long ago.
        let later = NOW.plus_micros(REMEMBERED_US + 1);
        assert_eq!(turns.enter(later, FLOOD, "flood"), None);
        assert!(!turns.demand().quiet_beside);
        // Another comes, and floods too.
        assert!(turns.enter(later, QUIET, "quiet").is_some());
        assert!(turns.demand().quiet_beside);
        assert_eq!(turns.enter(later, QUIET, "no more"), None);
        assert!(!turns.demand().quiet_beside);
    }

    /// A flood that holds all of `most` turns, which rest for a millisecond.
    fn rested(most: u32) -> Turns<&'static str> {
        let mut turns = flooded(most);
        turns.set_pace(most, 1_000);
        turns
    }

    #[test]
    fn a_turn_of_a_flood_is_used_again_once_it_has_rested() {
        let mut turns = rested(2);
        turns.leave(NOW, FLOOD);
        assert_eq!(turns.rested_at(), Some(NOW.plus_micros(1_000)));
        assert_eq!([turns.admit_next(NOW), turns.admit_next(NOW.plus_micros(999))], [None, None]);
        assert_eq!(turns.admit_next(NOW.plus_micros(1_000)), Some("flood"));
        assert_eq!(
            [turns.admit_next(NOW.plus_micros(9_000)), turns.enter(NOW, FLOOD, "one more")],
            [None, None]
        );
    }

    #[test]
    fn beside_a_flood_that_rests_others_have_their_turns_at_once_and_it_has_none() {
        let mut turns = rested(2);
        for _ in 0..2 {
            turns.leave(NOW, FLOOD);
        }
        for _ in 0..10 {
            assert_eq!(turns.enter(NOW, QUIET, "quiet"), Some("quiet"));
            turns.leave(NOW, QUIET);
            assert_eq!(turns.admit_next(NOW), None, "nothing of the flood runs, but all of it rests");
        }
    }

    #[test]
    fn a_turn_that_was_not_used_is_anothers_at_once_also_of_a_flood_that_rests() {
        let mut turns = flooded(1);
        turns.set_pace(1, 1_000);
        turns.leave(NOW, FLOOD);
        let rested = NOW.plus_micros(1_000);
        assert_eq!(turns.enter(rested, FLOOD, "flood"), None);
        for _ in 0..50 {
            assert_eq!(turns.admit_next(rested), Some("flood"));
            turns.unused(FLOOD);
        }
        assert_eq!([turns.admit_next(rested), turns.admit_next(rested)], [Some("flood"), None]);
    }

    #[test]
    fn what_has_little_waiting_does_not_rest() {
        let mut turns = rested(2);
        assert_eq!(turns.enter(NOW, QUIET, "runs"), Some("runs"));
        assert_eq!(turns.enter(NOW, QUIET, "waits"), None);
        turns.leave(NOW, QUIET);
        assert_eq!(turns.admit_next(NOW), Some("waits"));
    }

    #[test]
    fn where_nothing_rests_any_longer_turns_that_did_are_given_back_all_the_same() {
        let mut turns = rested(2);
        for _ in 0..2 {
            turns.leave(NOW, FLOOD);
        }
        turns.set_pace(2, 0);
        assert_eq!(turns.rested_at(), Some(NOW.plus_micros(1_000)));
        let later = NOW.plus_micros(1_000);
        assert_eq!([turns.admit_next(later), turns.admit_next(later)], [Some("flood"); 2]);
        assert_eq!(turns.rested_at(), None);
    }
}
