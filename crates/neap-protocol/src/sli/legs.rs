//! How long the parts of an operation take, one way each: what predictions of staleness are made from.
//!
//! ```text
//! coordinator                             another home
//!  asks its own replica ┐
//!                       │ own_write
//!  sends it on ─────────┼───── write ────> applied ┐
//!                       │ own_ack                  │ sync
//!  own acknowledgement ─┘                          │
//!  hears of it <─────────────── ack ──── answered ─┘
//! ```
//!
//! A probe gives `read`, out, and `answer`, back. `own_read` is a read of the coordinator's own replica, there and back.

use std::collections::VecDeque;

use super::histogram::{BUCKETS, Sparse};

/// A part of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// A write, from when it was sent to another home until that applied it, what it waited there included.
    Write,
    /// From when another home had applied it until it acknowledged: with `storage.commit = "fsync"`, the sync.
    Sync,
    /// The acknowledgement, back.
    Ack,
    /// A question what another home holds, out.
    Read,
    /// Its answer, back.
    Answer,
    /// From when the coordinator asked its own replica to stamp a write until it sent it on to the other homes.
    OwnWrite,
    /// From then on until its own replica acknowledged it, after the sync where one is waited for.
    OwnAck,
    /// A read of the coordinator's own replica, there and back.
    OwnRead,
}

impl Leg {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Write,
        Self::Sync,
        Self::Ack,
        Self::Read,
        Self::Answer,
        Self::OwnWrite,
        Self::OwnAck,
        Self::OwnRead,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Ack => "ack",
            Self::Read => "read",
            Self::Answer => "answer",
            Self::OwnWrite => "own_write",
            Self::OwnAck => "own_ack",
            Self::OwnRead => "own_read",
        }
    }
}

/// What the legs took at one shard since it was last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegsObserved {
    by: [Sparse; Leg::ALL.len()],
}

impl LegsObserved {
    /// Counts one, in microseconds.
    pub fn record(&mut self, leg: Leg, us: u64) {
        if let Some(times) = self.by.get_mut(leg as usize) {
            times.record(us);
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.by.iter_mut().zip(&other.by).for_each(|(mine, theirs)| mine.merge(theirs));
    }

    /// What one of them took.
    pub fn of(&self, leg: Leg) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by.get(leg as usize).into_iter().flat_map(Sparse::iter)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by.iter().all(|times| times.pairs().is_empty())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.by.iter().map(Sparse::bytes).sum::<usize>()
    }
}

/// How finely a leg is shown: by hundredths up to P99, by thousandths up to P99.9, by ten-thousandths up to P99.99, and
/// the longest. What a read misses is decided by the tail.
pub const QUANTILES: usize = 100 + 9 + 9 + 1;

/// What one leg took lately.
#[derive(Debug, Clone, PartialEq)]
pub struct LegView {
    /// Which.
    pub leg: Leg,
    /// How often it was seen.
    pub count: u64,
    /// The share of all that took no longer, and the time in seconds; both ascending. Empty if it was never seen.
    pub quantiles: Vec<(f64, f64)>,
}

/// The shares that quantiles are shown for.
fn shares() -> impl Iterator<Item = f64> {
    let part = |from: f64, steps: u32, step: f64| (0..steps).map(move |at| from + f64::from(at) * step);
    part(0.0, 100, 0.01).chain(part(0.991, 9, 0.001)).chain(part(0.9991, 9, 0.0001)).chain([1.0])
}

impl LegView {
    fn of(leg: Leg, legs: &LegsObserved) -> Self {
        let count: u64 = legs.of(leg).map(|(_, times)| times).sum();
        let mut times = legs.of(leg);
        let (mut value_us, mut so_far) = (0, 0);
        let mut quantiles = Vec::with_capacity(QUANTILES);
        for share in shares().take(if count > 0 { QUANTILES } else { 0 }) {
            // The rank of the value that this share of all does not exceed.
            let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
            while so_far < rank {
                let Some((next_us, times)) = times.next() else { break };
                (value_us, so_far) = (next_us, so_far + times);
            }
            quantiles.push((share, value_us as f64 / 1e6));
        }
        Self { leg, count, quantiles }
    }
}

/// How long a slot is, in microseconds.
const SLOT_US: u64 = 10_000_000;
/// How many are kept, the one that is being filled among them.
const SLOTS: usize = 6;

/// What the legs took in the last minute, of all shards of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentLegs(VecDeque<(u64, LegsObserved)>);

impl RecentLegs {
    /// Bytes that it takes at the most: 2.6 MB if every value that can be told apart occurs in each slot. With usual
    /// traffic it is some tens of kilobytes.
    pub const BYTES_MAX: usize = SLOTS
        * (2 * BUCKETS * size_of::<(u32, u32)>() * Leg::ALL.len() + 2 * size_of::<(u64, LegsObserved)>());

    /// Takes in what was observed by `now_us`.
    pub fn take(&mut self, now_us: u64, observed: &LegsObserved) {
        self.forget(now_us);
        match self.0.back_mut() {
            Some((slot, legs)) if *slot >= now_us / SLOT_US => legs.merge(observed),
            _ => self.0.push_back((now_us / SLOT_US, observed.clone())),
        }
    }

    /// How each leg stands at `now_us`.
    pub fn view(&mut self, now_us: u64) -> Vec<LegView> {
        self.forget(now_us);
        let mut all = LegsObserved::default();
        self.0.iter().for_each(|(_, legs)| all.merge(legs));
        Leg::ALL.into_iter().map(|leg| LegView::of(leg, &all)).collect()
    }

    /// Bytes that it takes now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, legs)| legs.bytes()).sum()
    }

    fn forget(&mut self, now_us: u64) {
        let oldest = (now_us / SLOT_US).saturating_sub(SLOTS as u64 - 1);
        while self.0.front().is_some_and(|(slot, _)| *slot < oldest) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(leg: Leg, times_us: impl IntoIterator<Item = u64>) -> LegsObserved {
        let mut legs = LegsObserved::default();
        times_us.into_iter().for_each(|us| legs.record(leg, us));
        legs
    }

    #[test]
    fn each_leg_has_a_place_and_a_name_of_its_own() {
        for (place, leg) in Leg::ALL.into_iter().enumerate() {
            assert_eq!(leg as usize, place);
            assert_eq!(Leg::ALL.iter().filter(|other| other.name() == leg.name()).count(), 1);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values_and_finest_in_the_tail() {
        let mut recent = RecentLegs::default();
        recent.take(0, &of(Leg::Write, 1..=100));
        let view = recent.view(0).into_iter().find(|view| view.leg == Leg::Write).unwrap();
        assert_eq!((view.count, view.quantiles.len()), (100, QUANTILES));
        assert_eq!(view.quantiles.first(), Some(&(0.0, 1e-6)));
        assert_eq!(view.quantiles[50], (0.5, 50e-6));
        assert_eq!(view.quantiles.last(), Some(&(1.0, 100e-6)));
        assert!(view.quantiles.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }

    #[test]
    fn a_leg_that_was_never_seen_has_no_quantiles() {
        let mut recent = RecentLegs::default();
        recent.take(0, &of(Leg::Write, [5]));
        let views = recent.view(0);
        assert_eq!(views.len(), Leg::ALL.len());
        assert!(views.iter().all(|view| view.quantiles.is_empty() == (view.leg != Leg::Write)));
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let mut recent = RecentLegs::default();
        let count =
            |recent: &mut RecentLegs, now_us| recent.view(now_us).iter().map(|view| view.count).sum::<u64>();
        recent.take(5_000_000, &of(Leg::Ack, [1, 2]));
        recent.take(15_000_000, &of(Leg::Ack, [3]));
        assert_eq!(count(&mut recent, 59_000_000), 3);
        assert_eq!(count(&mut recent, 60_000_000), 1);
        assert_eq!(count(&mut recent, 70_000_000), 0);
    }

    #[test]
    fn the_last_minute_is_bounded_whatever_comes() {
        let mut recent = RecentLegs::default();
        for second in 0..200 {
            let mut legs = LegsObserved::default();
            for leg in Leg::ALL {
                (0..2_000_u64).for_each(|step| legs.record(leg, step * step * (second + 1)));
            }
            recent.take(second * 1_000_000, &legs);
        }
        assert!(recent.bytes() <= RecentLegs::BYTES_MAX, "{}", recent.bytes());
    }
}
