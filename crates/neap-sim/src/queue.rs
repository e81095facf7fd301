//! What is going to happen, in order of time. What happens at the same time is shuffled by the seed: nothing may
//! depend on the order in which it was put here.

use neap_protocol::planted::{self, Bug};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::Random;

/// True time of the simulated world, in nanoseconds from its beginning. No node can read it.
pub type Time = u64;

/// Nanoseconds in a microsecond.
pub const MICROS: Time = 1_000;
/// Nanoseconds in a millisecond.
pub const MILLIS: Time = 1_000_000;
/// Nanoseconds in a second.
pub const SECONDS: Time = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Time,
    shuffle: u32,
    place: u32,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<E> {
    due: BinaryHeap<Reverse<Due>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    random: Random,
}

impl<E> Queue<E> {
    /// An empty queue, shuffled by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = Random::new(seed, "queue");
        Self { due: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), random }
    }

    /// Puts `event` at `at`.
    pub fn push(&mut self, at: Time, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.events.get_mut(place as usize) {
            *slot = Some(event);
        }
        let mut shuffle = (self.random.number() >> 32) as u32;
        if planted::has(Bug::UnstableOrder) {
            shuffle ^= std::ptr::from_ref(self.events.as_slice()).addr() as u32;
        }
        self.due.push(Reverse(Due { at, shuffle, place }));
    }

    /// Takes what comes next, if it comes before `until`.
    pub fn pop_before(&mut self, until: Time) -> Option<(Time, E)> {
        if self.due.peek()?.0.at >= until {
            return None;
        }
        let Reverse(Due { at, place, .. }) = self.due.pop()?;
        self.free.push(place);
        let event = self.events.get_mut(place as usize)?.take()?;
        Some((at, event))
    }

    /// When something comes next.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.due.peek().map(|due| due.0.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(seed: u64) -> Vec<(Time, u32)> {
        let mut queue = Queue::new(seed);
        for number in 0..64 {
            queue.push(Time::from(number / 32), number);
        }
        std::iter::from_fn(|| queue.pop_before(Time::MAX)).collect()
    }

    #[test]
    fn what_is_due_at_once_comes_in_an_order_that_the_seed_decides() {
        let first = drained(1);
        assert!(first.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(first, drained(1));
        assert_ne!(first, drained(2));
        assert_ne!(first.iter().map(|(_, number)| *number).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut queue = Queue::new(1);
        queue.push(5, 'a');
        assert_eq!(queue.pop_before(5), None);
        assert_eq!(queue.pop_before(6), Some((5, 'a')));
        assert_eq!(queue.next_at(), None);
    }
}
