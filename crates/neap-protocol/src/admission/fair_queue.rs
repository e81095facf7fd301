//! Whose operation a shard works at next.

use std::collections::{BTreeMap, VecDeque};

use super::{BucketWeight, SLOTS, Slot};
use crate::time::Moment;

/// One operation, in the unit of credits. A bucket's quantum is its [`BucketWeight`] in hundredths, so that with a weight
/// of 1 it is one operation.
const OPERATION: i32 = 100;

/// A bucket is alone once no other has asked for anything for so long, in microseconds.
const ALONE_AFTER_US: u64 = 1_000_000;

/// Deficit round robin over buckets (Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit Round-Robin", 1996), in
/// the form where the credit may be overdrawn and the debt is carried on: a bucket whose turn has come is served at least
/// once, however small its weight.
///
/// * A shard has a fixed number of turns while several buckets ask, and no end of them for a bucket that is alone. An
///   operation takes one when the shard is handed it, and hands it back when its client is answered. While anything waits,
///   every turn is taken.
/// * A bucket of which nothing runs is served at once, beyond the turns if need be. So whatever others wait for, a slow
///   replica say, each bucket goes on with one operation at least.
/// * Any other operation of which nothing of its bucket waits is served after no more operations than one quantum of each
///   bucket that waits already.
///
/// What waits is bounded by its permits.
#[derive(Debug)]
pub struct FairQueue<T> {
    turns: usize,
    running: usize,
    /// How many of each bucket.
    running_of: Box<[u32]>,
    waiting: usize,
    /// The bucket that asked last, and when another did for the last time.
    asked_last: Slot,
    another_asked: Option<Moment>,
    last_asked: Moment,
    backlogs: BTreeMap<Slot, Backlog<T>>,
    /// The buckets of which something waits, in the order of their turns.
    round: VecDeque<Slot>,
    /// Those of them of which nothing runs any more.
    idle: VecDeque<Slot>,
}

/// What waits of one bucket.
#[derive(Debug)]
struct Backlog<T> {
    /// The oldest first.
    operations: VecDeque<T>,
    quantum: i32,
    /// What it may still have before others, in the unit of [`OPERATION`]; below 0 what it had too much.
    credit: i32,
}

impl<T> FairQueue<T> {
    /// With so many turns, one at least.
    #[must_use]
    pub fn new(turns: usize) -> Self {
        Self {
            turns: turns.max(1),
            running: 0,
            running_of: vec![0; SLOTS].into(),
            waiting: 0,
            asked_last: Slot(0),
            another_asked: None,
            last_asked: Moment(0),
            backlogs: BTreeMap::new(),
            round: VecDeque::new(),
            idle: VecDeque::new(),
        }
    }

    /// Takes a turn for an operation that has just come, if it need not wait: then it runs now. Else it is to be given to
    /// [`FairQueue::wait`].
    #[must_use]
    pub fn take_turn(&mut self, now: Moment, slot: Slot) -> bool {
        if slot != self.asked_last {
            self.another_asked = Some(self.last_asked);
            self.asked_last = slot;
        }
        self.last_asked = now;
        let is_free = self.has_free_turn(now) && self.waiting == 0;
        let runs = is_free || self.running_of(slot) == 0 && !self.backlogs.contains_key(&slot);
        if runs {
            self.begins(slot);
        }
        runs
    }

    /// Whether a bucket need not care how many turns are taken, or one is free.
    fn has_free_turn(&self, now: Moment) -> bool {
        let contended = self.another_asked.is_some_and(|at| now.micros_since(at) < ALONE_AFTER_US);
        !contended || self.running < self.turns
    }

    /// Lets an operation wait. The weight is its bucket's from now on.
    pub fn wait(&mut self, slot: Slot, weight: BucketWeight, operation: T) {
        let quantum = i32::from(weight.hundredths());
        let backlog = self.backlogs.entry(slot).or_insert_with(|| {
            self.round.push_back(slot);
            Backlog { operations: VecDeque::new(), quantum, credit: quantum }
        });
        backlog.quantum = quantum;
        backlog.operations.push_back(operation);
        self.waiting += 1;
    }

    /// Hands back the turn of an operation that has ended. What is served in its place, [`FairQueue::admit_next`] says.
    pub fn hand_back(&mut self, slot: Slot) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.running_of.get_mut(slot.index()) {
            *running = running.saturating_sub(1);
        }
        if self.running_of(slot) == 0 && self.backlogs.contains_key(&slot) {
            self.idle.push_back(slot);
        }
    }

    /// What runs next; none if nothing waits that may.
    pub fn admit_next(&mut self, now: Moment) -> Option<T> {
        while let Some(slot) = self.idle.pop_front() {
            // A turn that was free meanwhile may have come to it.
            if self.running_of(slot) == 0 && self.backlogs.contains_key(&slot) {
                return self.serve(slot);
            }
        }
        if !self.has_free_turn(now) {
            return None;
        }
        // Ends: each time that a bucket is passed over its credit grows, and a quantum is a tenth of an operation at least.
        loop {
            let slot = *self.round.front()?;
            // Every bucket of the round has a backlog, and no backlog is empty.
            let backlog = self.backlogs.get_mut(&slot)?;
            if backlog.credit > 0 {
                backlog.credit -= OPERATION;
                let turn_is_over = backlog.credit <= 0;
                let operation = self.serve(slot);
                if turn_is_over {
                    self.pass_on(slot);
                }
                return operation;
            }
            self.pass_on(slot);
        }
    }

    /// The oldest that waits of a bucket, which runs from now on. An idle bucket keeps neither credit nor debt.
    fn serve(&mut self, slot: Slot) -> Option<T> {
        let backlog = self.backlogs.get_mut(&slot)?;
        let operation = backlog.operations.pop_front()?;
        if backlog.operations.is_empty() {
            self.backlogs.remove(&slot);
            self.round.retain(|other| *other != slot);
        }
        self.waiting -= 1;
        self.begins(slot);
        Some(operation)
    }

    /// It is the turn of the bucket after this one, if this one is in the round.
    fn pass_on(&mut self, slot: Slot) {
        if let Some(backlog) = self.backlogs.get_mut(&slot) {
            backlog.credit += backlog.quantum;
            self.round.rotate_left(1);
        }
    }

    fn begins(&mut self, slot: Slot) {
        self.running += 1;
        if let Some(running) = self.running_of.get_mut(slot.index()) {
            *running += 1;
        }
    }

    fn running_of(&self, slot: Slot) -> u32 {
        self.running_of.get(slot.index()).copied().unwrap_or(0)
    }

    /// How many operations run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many operations wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
