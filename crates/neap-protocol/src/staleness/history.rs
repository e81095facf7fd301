//! The states that the keys of a replica were in lately, in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use super::digest::{Digest, STATES_MAX, SeenState, TRACES_MAX, WriteTrace};
use crate::causality::Object;
use crate::ids::{BucketName, Dot, Key};
use crate::sli::Path;
use crate::time::Moment;

/// How many changes are remembered, of all keys together. The oldest goes first, and with it the claim to know what
/// was before.
pub const EVENTS_MAX: usize = 32_768;

/// A key, ordered by its hash before all else: every change looks its key up, and keys that share a long beginning would
/// be compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hash: u64,
    bucket: BucketName,
    key: Key,
}

impl Place {
    fn of(bucket: &BucketName, key: &Key) -> Self {
        Self { hash: xxh3_64(key.as_bytes()), bucket: bucket.clone(), key: key.clone() }
    }
}

#[derive(Debug)]
struct KeyHistory {
    /// The oldest is the state before all changes that are remembered.
    states: VecDeque<SeenState>,
    /// When a damaged record was replaced: nothing is known of what the key held before.
    replaced: Option<Moment>,
}

/// Since when a key covers something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Since then, at the latest.
    pub at: Moment,
    /// Whether since exactly then.
    pub exactly: bool,
    /// By which way it came.
    pub path: Path,
}

/// The state that a key has come to.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What is held now.
    pub after: &'a Object,
    /// By which way it came.
    pub path: Path,
    /// The trace of the write that came, if it has one.
    pub trace: Option<WriteTrace>,
}

/// What changed lately.
#[derive(Debug)]
pub struct History {
    /// Which clock its moments are of.
    clock: u64,
    /// Since when nothing is missing; none before the first look.
    complete_since: Option<Moment>,
    keys: BTreeMap<Place, KeyHistory>,
    changes: VecDeque<(Moment, Place)>,
}

impl History {
    /// An empty one. `clock` names the clock of its moments: the id of the run's first actor.
    #[must_use]
    pub fn new(clock: u64) -> Self {
        Self { clock, complete_since: None, keys: BTreeMap::new(), changes: VecDeque::new() }
    }

    /// The state that a key is in before it changes, for [`History::changed`]; none if it is known already.
    #[must_use]
    pub fn before(&self, bucket: &BucketName, key: &Key, held: &Object) -> Option<SeenState> {
        let known = self.keys.contains_key(&Place::of(bucket, key));
        (!known).then(|| SeenState::of(held, None, Path::Direct))
    }

    /// A key has come from the state `before` to another.
    pub fn changed(
        &mut self,
        now: Moment,
        bucket: &BucketName,
        key: &Key,
        before: Option<SeenState>,
        change: Change<'_>,
    ) {
        self.complete_since.get_or_insert(now);
        let place = Place::of(bucket, key);
        let history = self
            .keys
            .entry(place.clone())
            .or_insert_with(|| KeyHistory { states: VecDeque::new(), replaced: None });
        if history.states.is_empty() {
            history.states.extend(before);
        }
        let state = SeenState::of(change.after, Some(now), change.path);
        history.states.push_back(state.traced(change.trace));
        self.changes.push_back((now, place));
        self.forget();
    }

    /// What a key held was lost, and is now `after`: what the home had before counts no more.
    pub fn replaced(&mut self, now: Moment, bucket: &BucketName, key: &Key, after: &Object) {
        self.keys.remove(&Place::of(bucket, key));
        let nothing = SeenState::of(&Object::new(), None, Path::Direct);
        let change = Change { after, path: Path::Transfer, trace: None };
        self.changed(now, bucket, key, Some(nothing), change);
        if let Some(history) = self.keys.get_mut(&Place::of(bucket, key)) {
            history.replaced = Some(now);
        }
    }

    /// Since when a key whose state covers a version has done so.
    pub fn since(&mut self, now: Moment, bucket: &BucketName, key: &Key, dot: Dot) -> Since {
        let complete_since = *self.complete_since.get_or_insert(now);
        let known = self.keys.get(&Place::of(bucket, key));
        // A home forgets nothing that it has seen: all states after the first that covers the version cover it too.
        let first = known.and_then(|history| {
            let first = history.states.partition_point(|state| !state.context.covers(dot));
            history.states.get(first)
        });
        let path = first.map_or(Path::Direct, |state| state.path);
        let applied = first.and_then(|state| state.applied_at);
        Since { at: applied.unwrap_or(complete_since), exactly: applied.is_some(), path }
    }

    /// What is known of a key that holds `object` now.
    pub fn digest(&mut self, now: Moment, bucket: &BucketName, key: &Key, object: Option<&Object>) -> Digest {
        let mut complete_since = *self.complete_since.get_or_insert(now);
        let known = self.keys.get(&Place::of(bucket, key));
        let states = match known {
            None => {
                let nothing = Object::new();
                vec![SeenState::of(object.unwrap_or(&nothing), None, Path::Direct)]
            }
            Some(history) => {
                complete_since = complete_since.max(history.replaced.unwrap_or(complete_since));
                let skipped = history.states.len().saturating_sub(STATES_MAX);
                let mut states: Vec<SeenState> = history.states.iter().skip(skipped).cloned().collect();
                if let Some(oldest) = states.first_mut().filter(|_| skipped > 0) {
                    complete_since = complete_since.max(oldest.applied_at.take().unwrap_or(complete_since));
                }
                // A read that missed something missed what came last.
                let traced = states.iter_mut().rev().filter(|state| state.trace.is_some());
                traced.skip(TRACES_MAX).for_each(|state| state.trace = None);
                states
            }
        };
        Digest { clock: self.clock, at: now, complete_since, states }
    }

    /// Which clock its moments are of.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// How many changes are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Forgets the oldest of what is too much.
    fn forget(&mut self) {
        while self.changes.len() > EVENTS_MAX {
            let Some((at, place)) = self.changes.pop_front() else { return };
            self.complete_since = self.complete_since.max(Some(at));
            let Entry::Occupied(mut known) = self.keys.entry(place) else { continue };
            let history = known.get_mut();
            // Not if it is of a state that counts no more.
            while history.states.get(1).is_some_and(|next| next.applied_at.is_some_and(|then| then <= at)) {
                history.states.pop_front();
            }
            if history.states.len() <= 1 {
                known.remove();
            } else if let Some(oldest) = history.states.front_mut() {
                oldest.applied_at = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::CausalContext;
    use crate::ids::ActorId;

    fn object(counter: u64) -> Object {
        Object::from_parts(CausalContext::from_parts([(ActorId(1), counter)], []), Vec::new(), Vec::new())
    }

    fn place() -> (BucketName, Key) {
        (BucketName::new("b").unwrap(), Key::new("k"))
    }

    fn other() -> (BucketName, Key) {
        (BucketName::new("x").unwrap(), Key::new("k"))
    }

    fn change((bucket, key): (BucketName, Key), history: &mut History, now: u64, counter: u64, path: Path) {
        let before = history.before(&bucket, &key, &object(counter - 1));
        let change = Change { after: &object(counter), path, trace: None };
        history.changed(Moment(now), &bucket, &key, before, change);
    }

    fn changed(history: &mut History, now: u64, counter: u64) {
        change(place(), history, now, counter, Path::Direct);
    }

    /// Changes another key until what was remembered of this one is too much.
    fn push_out(history: &mut History, from: u64, changes: u64) {
        for counter in 1..=changes {
            change(other(), history, from + counter, counter, Path::Direct);
        }
    }

    fn digest(history: &mut History, now: u64, counter: u64) -> (u64, Vec<(Option<u64>, u64)>) {
        let (bucket, key) = place();
        let digest = history.digest(Moment(now), &bucket, &key, Some(&object(counter)));
        let states = digest.states.iter();
        let states = states.map(|state| (state.applied_at.map(|at| at.0), state.context.up_to(ActorId(1))));
        (digest.complete_since.0, states.collect())
    }

    fn since(history: &mut History, now: u64, counter: u64) -> (u64, bool, Path) {
        let (bucket, key) = place();
        let dot = Dot { actor: ActorId(1), counter };
        let since = history.since(Moment(now), &bucket, &key, dot);
        (since.at.0, since.exactly, since.path)
    }

    #[test]
    fn a_digest_tells_all_states_that_are_remembered_and_the_one_before_however_long_ago() {
        let mut history = History::new(1);
        changed(&mut history, 10, 1);
        changed(&mut history, 600, 2);
        let much_later = 86_400_000_000;
        changed(&mut history, much_later, 3);
        assert_eq!(
            digest(&mut history, much_later, 3),
            (10, vec![(None, 0), (Some(10), 1), (Some(600), 2), (Some(much_later), 3)])
        );
    }

    #[test]
    fn a_key_that_did_not_change_is_told_as_it_is() {
        let mut history = History::new(1);
        assert_eq!(digest(&mut history, 50, 7), (50, vec![(None, 7)]));
        change(other(), &mut history, 60, 2, Path::Direct);
        assert_eq!(history.len(), 1);
        assert_eq!(digest(&mut history, 70, 7), (50, vec![(None, 7)]));
    }

    #[test]
    fn the_oldest_changes_are_forgotten_by_their_number_and_with_them_what_was_before() {
        let mut history = History::new(1);
        changed(&mut history, 10, 1);
        changed(&mut history, 20, 2);
        changed(&mut history, 30, 3);
        push_out(&mut history, 100, EVENTS_MAX as u64 - 3);
        assert_eq!(digest(&mut history, 99_999, 3).0, 10, "there is room for all of them");
        push_out(&mut history, 50_000, 2);
        assert_eq!(history.len(), EVENTS_MAX);
        assert_eq!(digest(&mut history, 99_999, 3), (20, vec![(None, 2), (Some(30), 3)]));
        push_out(&mut history, 60_000, 1);
        assert_eq!(digest(&mut history, 99_999, 3), (30, vec![(None, 3)]), "it is told as it is");
    }

    #[test]
    fn the_newest_states_are_told_where_there_are_too_many() {
        let mut history = History::new(1);
        (1..=40).for_each(|counter| changed(&mut history, counter * 10, counter));
        let (complete_since, states) = digest(&mut history, 500, 40);
        assert_eq!(
            (states.len(), states.first().copied(), complete_since),
            (STATES_MAX, Some((None, 25)), 250)
        );
    }

    #[test]
    fn what_was_lost_counts_no_more() {
        let mut history = History::new(1);
        changed(&mut history, 10, 5);
        let (bucket, key) = place();
        history.replaced(Moment(20), &bucket, &key, &object(2));
        assert_eq!(digest(&mut history, 30, 2), (20, vec![(None, 0), (Some(20), 2)]));
        changed(&mut history, 1_015, 3);
        assert_eq!(digest(&mut history, 1_015, 3), (20, vec![(None, 0), (Some(20), 2), (Some(1_015), 3)]));
        assert_eq!(since(&mut history, 1_020, 2), (20, true, Path::Transfer), "what took its place counts");
        // The change that counts no more is forgotten, and takes none of those that do with it.
        push_out(&mut history, 2_000, EVENTS_MAX as u64 - 2);
        assert_eq!(digest(&mut history, 99_999, 3), (20, vec![(None, 0), (Some(20), 2), (Some(1_015), 3)]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::new(1);
        (1..=EVENTS_MAX as u64 + 10).for_each(|counter| changed(&mut history, counter, counter));
        assert_eq!(history.len(), EVENTS_MAX);
        let states = history.keys.values().map(|key| key.states.len()).sum::<usize>();
        assert_eq!(states, EVENTS_MAX + 1, "and one state before all of them");
        push_out(&mut history, 100_000, EVENTS_MAX as u64);
        assert_eq!((history.len(), history.keys.len()), (EVENTS_MAX, 1), "nothing is kept of a quiet key");
    }

    #[test]
    fn a_key_has_covered_a_version_since_the_first_state_that_does() {
        let mut history = History::new(1);
        change(place(), &mut history, 10, 5, Path::Direct);
        change(place(), &mut history, 20, 8, Path::ReadRepair);
        change(place(), &mut history, 30, 9, Path::Transfer);
        assert_eq!(since(&mut history, 40, 5), (10, true, Path::Direct));
        assert_eq!(since(&mut history, 40, 6), (20, true, Path::ReadRepair), "with a later one");
        assert_eq!(since(&mut history, 40, 8), (20, true, Path::ReadRepair));
        assert_eq!(since(&mut history, 40, 9), (30, true, Path::Transfer));
    }

    #[test]
    fn what_a_key_covered_before_its_history_it_has_had_by_its_beginning() {
        let mut history = History::new(1);
        assert_eq!(since(&mut history, 7, 3), (7, false, Path::Direct), "nothing is known of the key");
        changed(&mut history, 10, 5);
        assert_eq!(since(&mut history, 20, 4), (7, false, Path::Direct));
        changed(&mut history, 20, 6);
        push_out(&mut history, 100, EVENTS_MAX as u64 - 1);
        assert_eq!(since(&mut history, 99_999, 5), (10, false, Path::Direct), "when it came is forgotten");
        assert_eq!(since(&mut history, 99_999, 6), (20, true, Path::Direct));
    }
}
