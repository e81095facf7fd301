//! Fair queues: what a bucket gets and waits for, whatever others ask.

use std::collections::{BTreeSet, VecDeque};

use neap::protocol::admission::{BucketWeight, FairQueue, Slot};
use neap::protocol::time::Moment;
use proptest::prelude::*;

const NOW: Moment = Moment(5_000_000);

/// Something that happens at a queue.
#[derive(Debug, Clone)]
enum Event {
    /// An operation of a bucket comes.
    Comes(u8),
    /// The so-manieth of what runs ends, if anything runs, and the shard is handed what it may have.
    Ends(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // A flood of the first bucket, and others beside it.
    let bucket = prop_oneof![3 => Just(0_u8), 2 => 0..8_u8];
    let event = prop_oneof![3 => bucket.prop_map(Event::Comes), 2 => any::<u8>().prop_map(Event::Ends)];
    prop::collection::vec(event, 1..400)
}

fn weights() -> impl Strategy<Value = Vec<BucketWeight>> {
    let hundredths = prop_oneof![Just(100_u16), 10..=1_000_u16];
    prop::collection::vec(hundredths.prop_map(|weight| BucketWeight::of_hundredths(weight).unwrap()), 8)
}

/// Operations of one quantum, rounded up: a bucket whose turn has come is served at least once.
fn quantum(weight: BucketWeight) -> u64 {
    u64::from(weight.hundredths()).div_ceil(100)
}

/// An operation that waits, as the checks follow it.
struct Waiting {
    bucket: u8,
    number: u64,
    /// How many more may be handed over before it, where its bucket had nothing waiting.
    may_pass: Option<u64>,
}

/// A queue, and what must be true of it.
struct Watched {
    queue: FairQueue<(u8, u64)>,
    turns: usize,
    weights: Vec<BucketWeight>,
    waiting: VecDeque<Waiting>,
    running: Vec<u8>,
    number: u64,
}

impl Watched {
    fn new(turns: usize, weights: Vec<BucketWeight>) -> Self {
        let mut queue = FairQueue::new(turns);
        // Two buckets have asked, so that none is alone.
        for bucket in [8, 9] {
            assert!(queue.take_turn(NOW, Self::slot(bucket)));
            queue.hand_back(Self::slot(bucket));
        }
        Self { queue, turns, weights, waiting: VecDeque::new(), running: Vec::new(), number: 0 }
    }

    fn slot(bucket: u8) -> Slot {
        Slot::of(u64::from(bucket))
    }

    fn comes(&mut self, bucket: u8) {
        self.number += 1;
        let (nothing_waits, nothing_runs) = (self.waiting.is_empty(), !self.running.contains(&bucket));
        if self.queue.take_turn(NOW, Self::slot(bucket)) {
            assert!(nothing_waits || nothing_runs, "it overtook what waits");
            self.running.push(bucket);
        } else {
            assert!(!nothing_runs, "nothing of it runs, and it has to wait");
            let before: BTreeSet<u8> = self.waiting.iter().map(|other| other.bucket).collect();
            let may_pass = (!before.contains(&bucket))
                .then(|| before.iter().map(|&other| quantum(self.weights[usize::from(other)])).sum());
            self.waiting.push_back(Waiting { bucket, number: self.number, may_pass });
            self.queue.wait(Self::slot(bucket), self.weights[usize::from(bucket)], (bucket, self.number));
        }
        self.check();
    }

    /// Lets run all that may, in order.
    fn admitted(&mut self) -> Vec<u8> {
        let mut admitted = Vec::new();
        while let Some((bucket, number)) = self.queue.admit_next(NOW) {
            let at = self.waiting.iter().position(|other| other.number == number).expect("it waited");
            let oldest = self.waiting.iter().position(|other| other.bucket == bucket);
            assert_eq!(oldest, Some(at), "operations of a bucket stay in order");
            self.waiting.remove(at);
            // A bucket of which nothing runs is not served in the place of others.
            let in_turn = self.running.contains(&bucket);
            for other in &mut self.waiting {
                if let Some(may_pass) = other.may_pass.as_mut().filter(|_| in_turn) {
                    *may_pass =
                        may_pass.checked_sub(1).expect("more than a quantum of each bucket went first");
                }
            }
            self.running.push(bucket);
            admitted.push(bucket);
        }
        self.check();
        admitted
    }

    fn ends(&mut self, at: usize) -> Vec<u8> {
        if self.running.is_empty() {
            return Vec::new();
        }
        let bucket = self.running.swap_remove(at % self.running.len());
        self.queue.hand_back(Self::slot(bucket));
        self.admitted()
    }

    fn one_ends_of(&mut self, bucket: u8) -> Vec<u8> {
        let at = self.running.iter().position(|&other| other == bucket).expect("one runs");
        self.ends(at)
    }

    fn check(&self) {
        assert_eq!((self.queue.running(), self.queue.waiting()), (self.running.len(), self.waiting.len()));
        assert!(
            self.waiting.is_empty() || self.running.len() >= self.turns,
            "a turn is free while something waits"
        );
        for other in &self.waiting {
            assert!(
                self.running.contains(&other.bucket),
                "nothing of a bucket runs of which something waits"
            );
        }
        // Beyond the turns each bucket has one.
        let buckets: BTreeSet<u8> = self.running.iter().copied().collect();
        assert!(self.running.len() <= self.turns + buckets.len(), "{:?}", self.running);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_waits_for_more_than_a_quantum_of_each_other_bucket_and_no_turn_is_idle(
        turns in 1..6_usize, weights in weights(), events in events()
    ) {
        let mut watched = Watched::new(turns, weights);
        for event in events {
            match event {
                Event::Comes(bucket) => watched.comes(bucket),
                Event::Ends(at) => drop(watched.ends(at.into())),
            }
        }
        // Nobody starves, whoever ends.
        let mut left = watched.waiting.len() + watched.running.len();
        while left > 0 {
            watched.ends(left);
            prop_assert_eq!(watched.waiting.len() + watched.running.len(), left - 1);
            left -= 1;
        }
    }

    #[test]
    fn a_bucket_that_is_alone_has_all_and_another_that_comes_has_its_share(
        turns in 1..6_usize, weight in 10..=10_000_u16, many in 1..200_u64
    ) {
        let (mut queue, slot, other) = (FairQueue::new(turns), Slot::of(7), Slot::of(8));
        let weight = BucketWeight::of_hundredths(weight).unwrap();
        prop_assert!((0..many).all(|_| queue.take_turn(NOW, slot)));
        prop_assert!(queue.take_turn(NOW, other), "nothing of it runs");
        let has_free_turn = many + 1 < turns as u64;
        prop_assert_eq!(queue.take_turn(NOW, slot), has_free_turn);
        if !has_free_turn {
            queue.wait(slot, weight, "its next");
            prop_assert_eq!(queue.admit_next(NOW), None);
            let later = NOW.plus_micros(1_000_000);
            prop_assert_eq!(queue.admit_next(later), Some("its next"), "the other asked a second ago");
        }
    }

    #[test]
    fn buckets_that_all_have_something_waiting_are_served_by_their_weights(
        weights in weights(), rounds in 1..40_u64
    ) {
        // One operation of each bucket runs all the time, beside the turn that is shared.
        let mut queue = FairQueue::new(weights.len() + 1);
        let slot = |bucket: usize| Slot::of(bucket as u64);
        for bucket in 0..weights.len() {
            prop_assert!(queue.take_turn(NOW, slot(bucket)));
        }
        prop_assert!(queue.take_turn(NOW, slot(0)));
        let mut ended = 0;
        let each = 10 * (rounds + 1);
        for (bucket, weight) in weights.iter().enumerate() {
            for _ in 0..each {
                queue.wait(slot(bucket), *weight, bucket);
            }
        }
        let shares: f64 = weights.iter().map(|weight| weight.number()).sum();
        let all = (rounds as f64 * shares).floor() as u64;
        let mut served = [0_u64; 8];
        for _ in 0..all {
            queue.hand_back(slot(ended));
            let bucket = queue.admit_next(NOW).expect("a turn is free");
            served[bucket] += 1;
            ended = bucket;
        }
        for (bucket, weight) in weights.iter().enumerate() {
            let due = rounds as f64 * weight.number();
            let off = (served[bucket] as f64 - due).abs();
            prop_assert!(off <= weight.number() + 2.0, "{served:?} of {weights:?}: bucket {bucket} is due {due}");
        }
    }
}

#[test]
fn a_quiet_bucket_runs_at_once_and_its_next_operation_is_next_however_much_another_has_waiting() {
    let mut watched = Watched::new(3, vec![BucketWeight::ONE; 8]);
    (0..100).for_each(|_| watched.comes(0));
    watched.comes(1);
    assert_eq!((watched.running.len(), watched.waiting.len()), (4, 97));
    watched.comes(1);
    assert!(
        watched.one_ends_of(0).is_empty(),
        "what runs beyond the turns is no turn for others when it ends"
    );
    assert_eq!([watched.one_ends_of(0), watched.one_ends_of(0)], [[0], [1]]);
}

#[test]
fn buckets_whose_operations_do_not_end_keep_none_from_going_on_one_by_one() {
    let mut watched = Watched::new(2, vec![BucketWeight::ONE; 8]);
    (0..5).for_each(|_| watched.comes(0));
    (0..5).for_each(|_| watched.comes(1));
    for _ in 0..4 {
        assert_eq!(watched.one_ends_of(1), [1]);
    }
}
