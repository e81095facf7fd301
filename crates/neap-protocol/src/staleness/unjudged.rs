//! Reads that could not be judged, kept until the replicas that were silent say what they had.
//!
//! ```text
//! verdict unknown ──keep──> UnjudgedReads ──due: ask the replicas again──> sighted ──> LateVerdict
//!                                └── older than 10 min, or no room ──> LateVerdict, unknown: forgotten
//! ```
//!
//! A replica's recent states tell when it came to have a version, by its own clock. So they judge a read that began
//! minutes ago as they judge one that began just now, as far as they reach back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::digest::Sighting;
use super::verdict::{HomeView, Judgement, Question, UnknownCause, Verdict, judge};
use crate::causality::CausalContext;
use crate::ids::{BucketName, Key, NodeId};
use crate::message::Refusal;
use crate::planted::{self, Bug};
use crate::time::{Hlc, Moment};

/// Age at which a read that nobody could judge is given up, in microseconds: 10 minutes.
pub const KEPT_FOR_US: u64 = 600_000_000;
/// Reads that a node keeps, of all its shards together.
pub const UNJUDGED_READS_MAX: usize = 65_536;
/// Bytes that they may take in a node.
pub const UNJUDGED_BYTES_MAX: usize = 32 << 20;

/// Time after which silent replicas are asked first, in microseconds. It doubles with each attempt.
const FIRST_ASK_US: u64 = 250_000;
/// The longest time between two attempts, in microseconds.
const LONGEST_WAIT_US: u64 = 4_000_000;

/// Bytes of a read, beside those of its key and of the reply that it shares.
const READ_BYTES: usize = 96;
/// Bytes of a key or of a reply, beside those of its name or of its dots.
const ENTRY_BYTES: usize = 256;
/// Bytes of a dot.
const DOT_BYTES: usize = 24;

/// Bounds on the reads that one shard keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnjudgedLimits {
    /// Reads.
    pub reads: usize,
    /// Bytes.
    pub bytes: usize,
}

impl UnjudgedLimits {
    /// A shard's part of the node's bounds.
    #[must_use]
    pub fn of_shard(shards: usize) -> Self {
        let shards = shards.max(1);
        Self { reads: UNJUDGED_READS_MAX / shards, bytes: UNJUDGED_BYTES_MAX / shards }
    }
}

/// A key of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
}

/// A reply that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnjudgedReply {
    r: u8,
    w_min: u8,
    covers: CausalContext,
    returned: Option<Hlc>,
    answered_by: Vec<NodeId>,
    silent: Vec<NodeId>,
    cause: UnknownCause,
}

/// When a read began, by both clocks of its coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Began {
    at: Moment,
    clock: Hlc,
}

/// The reads of one key, the oldest first. Those that follow each other and have equal replies share it.
#[derive(Debug)]
struct KeyReads {
    replies: VecDeque<(UnjudgedReply, VecDeque<Began>)>,
    wait_us: u64,
    reads: usize,
    bytes: usize,
}

/// The verdict on a read that was unknown before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateVerdict {
    /// The read's key.
    pub place: Place,
    /// When the coordinator accepted the read.
    pub began: Moment,
    /// The R it was asked with.
    pub r: u8,
    /// All that the reply covers.
    pub reply: CausalContext,
    /// The write time of the newest version in it.
    pub returned: Option<Hlc>,
    /// The replicas whose answers the reply was made of.
    pub answered_by: Vec<NodeId>,
    /// The replicas that were silent.
    pub were_silent: Vec<NodeId>,
    /// Why the verdict was unknown.
    pub was: UnknownCause,
    /// The verdict now; unknown, forgotten, if it will never be known.
    pub judgement: Judgement,
}

/// The reads of one shard that wait for a verdict.
#[derive(Debug)]
pub struct UnjudgedReads {
    limits: UnjudgedLimits,
    keys: BTreeMap<Place, KeyReads>,
    /// When the replicas of a key are asked next. A key whose replicas are being asked is not here.
    due: BTreeSet<(Moment, Place)>,
    /// The reads in the order in which they were kept, with some that were judged since.
    order: VecDeque<(Moment, Place)>,
    reads: usize,
    bytes: usize,
}

impl UnjudgedReads {
    /// A table without reads.
    #[must_use]
    pub fn new(limits: UnjudgedLimits) -> Self {
        let (keys, due, order) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Self { limits, keys, due, order, reads: 0, bytes: 0 }
    }

    /// Reads that wait for a verdict.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reads
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reads == 0
    }

    /// Bytes that they take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a read whose verdict is unknown for want of replicas that answered. Returns the reads, the oldest first,
    /// for which there is no room any more: their verdict will never be known.
    pub fn keep(
        &mut self,
        now: Moment,
        place: Place,
        question: &Question,
        cause: UnknownCause,
    ) -> Vec<LateVerdict> {
        let reply = UnjudgedReply::of(question, cause);
        let began = Began { at: question.began, clock: question.began_hlc };
        self.order.push_back((began.at, place.clone()));
        if !self.keys.contains_key(&place) {
            self.keys.insert(place.clone(), KeyReads::new(&place));
            self.due.insert((now.plus_micros(FIRST_ASK_US), place.clone()));
        }
        self.change(&place, |key| key.push(reply, began));
        let mut given_up = Vec::new();
        while (self.reads > self.limits.reads || self.bytes > self.limits.bytes) && !self.order.is_empty() {
            given_up.extend(self.give_up_oldest());
        }
        if self.order.len() > self.limits.reads.saturating_mul(2) {
            let keys = &self.keys;
            self.order.retain(|(began, place)| keys.get(place).is_some_and(|key| key.holds(*began)));
        }
        given_up
    }

    /// Gives up the reads that are too old.
    pub fn expire(&mut self, now: Moment) -> Vec<LateVerdict> {
        let mut given_up = Vec::new();
        while self.order.front().is_some_and(|(began, _)| now.micros_since(*began) >= KEPT_FOR_US) {
            given_up.extend(self.give_up_oldest());
        }
        given_up
    }

    /// When [`UnjudgedReads::ask_next`] or [`UnjudgedReads::expire`] is wanted; none while nothing is kept.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        let oldest = self.order.front().map(|(began, _)| began.plus_micros(KEPT_FOR_US));
        let due = self.due.first().map(|(at, _)| *at);
        [oldest, due].into_iter().flatten().min()
    }

    /// The next key whose replicas are to be asked, with those that were silent. [`UnjudgedReads::sighted`] is to be called with
    /// their answers. A key of which no such replica is up is looked at again later.
    pub fn ask_next(&mut self, now: Moment, is_up: impl Fn(&NodeId) -> bool) -> Option<(Place, Vec<NodeId>)> {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let (_, place) = self.due.pop_first()?;
            let Some(key) = self.keys.get(&place) else { continue };
            let silent: BTreeSet<&NodeId> = key.replies.iter().flat_map(|(reply, _)| &reply.silent).collect();
            if silent.iter().any(|replica| is_up(replica)) {
                let silent = silent.into_iter().cloned().collect();
                return Some((place, silent));
            }
            self.ask_later(now, &place);
        }
        None
    }

    /// Judges the reads of a key by what replicas say now. Those that still cannot be judged are kept.
    pub fn sighted(
        &mut self,
        now: Moment,
        place: &Place,
        sightings: &[(NodeId, Sighting)],
    ) -> Vec<LateVerdict> {
        let verdicts = self.change(place, |key| key.judge(now, place, sightings));
        self.ask_later(now, place);
        verdicts.unwrap_or_default()
    }

    fn ask_later(&mut self, now: Moment, place: &Place) {
        if let Some(key) = self.keys.get_mut(place) {
            key.wait_us = key.wait_us.saturating_mul(2).min(LONGEST_WAIT_US);
            self.due.insert((now.plus_micros(key.wait_us), place.clone()));
        }
    }

    fn give_up_oldest(&mut self) -> Option<LateVerdict> {
        let (began, place) = self.order.pop_front()?;
        self.change(&place, |key| key.give_up(&place, began))?
    }

    /// Changes what is kept of a key, which is forgotten with its last read, and keeps the sums right.
    fn change<T>(&mut self, place: &Place, change: impl FnOnce(&mut KeyReads) -> T) -> Option<T> {
        let key = self.keys.get_mut(place)?;
        let (reads, bytes) = (key.reads, key.bytes);
        let changed = change(key);
        self.reads = (self.reads + key.reads).saturating_sub(reads);
        self.bytes = (self.bytes + key.bytes).saturating_sub(bytes);
        if key.reads == 0 {
            self.bytes = self.bytes.saturating_sub(key.bytes);
            self.keys.remove(place);
        }
        Some(changed)
    }
}

impl KeyReads {
    /// A key without reads. Its own bytes are counted with its first read.
    fn new(place: &Place) -> Self {
        let bytes = ENTRY_BYTES + place.key.as_bytes().len();
        Self { replies: VecDeque::new(), wait_us: FIRST_ASK_US / 2, reads: 0, bytes }
    }

    fn push(&mut self, reply: UnjudgedReply, began: Began) {
        self.reads += 1;
        self.bytes += READ_BYTES;
        match self.replies.back_mut().filter(|(last, _)| *last == reply) {
            Some((_, reads)) => reads.push_back(began),
            None => {
                self.bytes += reply.bytes();
                self.replies.push_back((reply, VecDeque::from([began])));
            }
        }
    }

    fn holds(&self, began: Moment) -> bool {
        self.replies.iter().any(|(_, reads)| reads.iter().any(|read| read.at == began))
    }

    /// None if the read was judged meanwhile.
    fn give_up(&mut self, place: &Place, began: Moment) -> Option<LateVerdict> {
        let find = |reads: &VecDeque<Began>| reads.iter().position(|read| read.at == began);
        let (at, (reply, reads), read) = self
            .replies
            .iter_mut()
            .enumerate()
            .find_map(|(at, held)| find(&held.1).map(|read| (at, held, read)))?;
        let read = reads.remove(read)?;
        let given_up = reply.late(place, read, never());
        let (empty, bytes) = (reads.is_empty(), reply.bytes());
        self.reads = self.reads.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(READ_BYTES);
        if empty {
            self.replies.remove(at);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        Some(given_up)
    }

    fn judge(&mut self, now: Moment, place: &Place, sightings: &[(NodeId, Sighting)]) -> Vec<LateVerdict> {
        let mut verdicts = Vec::new();
        let mut gone = 0;
        self.replies.retain_mut(|(reply, reads)| {
            reads.retain(|read| match reply.judge(now, *read, sightings) {
                Some(judgement) => {
                    verdicts.push(reply.late(place, *read, judgement));
                    false
                }
                None => true,
            });
            gone += if reads.is_empty() { reply.bytes() } else { 0 };
            !reads.is_empty()
        });
        self.reads = self.reads.saturating_sub(verdicts.len());
        self.bytes = self.bytes.saturating_sub(gone + verdicts.len() * READ_BYTES);
        verdicts
    }
}

impl UnjudgedReply {
    fn of(question: &Question, cause: UnknownCause) -> Self {
        Self {
            r: u8::try_from(question.answered_by.len()).unwrap_or(u8::MAX),
            w_min: question.w_min,
            covers: question.reply.clone(),
            returned: question.returned,
            answered_by: question.answered_by.clone(),
            silent: question.silent(),
            cause,
        }
    }

    fn bytes(&self) -> usize {
        let dots = self.covers.vector().len() + self.covers.cloud().len();
        let names = self.answered_by.len() + self.silent.len();
        ENTRY_BYTES + dots * DOT_BYTES + names * size_of::<NodeId>()
    }

    /// None while more may become known.
    fn judge(&self, now: Moment, read: Began, sightings: &[(NodeId, Sighting)]) -> Option<Judgement> {
        let view = |replica: &NodeId| {
            let sighting = sightings.iter().find(|(from, _)| from == replica);
            sighting
                .map_or(HomeView::Unanswered(Refusal::NoAnswer), |(_, seen)| HomeView::Sighted(seen.clone()))
        };
        let question = Question {
            began: if planted::has(Bug::LateIsThen) { now } else { read.at },
            began_hlc: read.clock,
            reply: self.covers.clone(),
            returned: self.returned,
            w_min: self.w_min,
            settled: true,
            answered_by: self.answered_by.clone(),
            behind: Vec::new(),
            // The others had nothing newer: they are part of the reply, or said so.
            homes: self.silent.iter().map(|replica| (replica.clone(), view(replica))).collect(),
        };
        let all_answered = question.silent().is_empty();
        let judgement = judge(&question);
        match judgement.verdict {
            Verdict::Stale | Verdict::Behind | Verdict::Fresh { .. } => Some(judgement),
            // Replicas do not remember as far back as the read, and never will.
            Verdict::Suspect | Verdict::Unknown(_) if all_answered => Some(never()),
            Verdict::Suspect | Verdict::Unknown(_) => None,
        }
    }

    fn late(&self, place: &Place, read: Began, judgement: Judgement) -> LateVerdict {
        LateVerdict {
            place: place.clone(),
            began: read.at,
            r: self.r,
            reply: self.covers.clone(),
            returned: self.returned,
            answered_by: self.answered_by.clone(),
            were_silent: self.silent.clone(),
            was: self.cause,
            judgement,
        }
    }
}

/// The judgement on a read of which nothing will be known.
fn never() -> Judgement {
    Judgement {
        verdict: Verdict::Unknown(UnknownCause::Forgotten),
        exposure_us: 0,
        age_us: 0,
        exactly: true,
        lacked: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ActorId, Dot};
    use crate::sli::Path;
    use crate::staleness::{Interval, SeenVersion, SightedState};
    use crate::time::WallMicros;

    const BEGAN: u64 = 5_000_000;
    const ROOM: UnjudgedLimits = UnjudgedLimits { reads: 100, bytes: 1 << 20 };

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn place(key: u64) -> Place {
        Place { bucket: BucketName::new("b").unwrap(), key: Key::new(key.to_be_bytes().to_vec()) }
    }

    fn up_to(counter: u64) -> CausalContext {
        CausalContext::from_parts([(ActorId(1), counter)], [])
    }

    /// A read at R = 1 of version 1, whose other two replicas were silent.
    fn read(began: u64) -> Question {
        let silent = |name| (node(name), HomeView::Unanswered(Refusal::NotSent));
        Question {
            began: Moment(began),
            began_hlc: Hlc::from_wall(WallMicros(began)),
            reply: up_to(1),
            returned: Some(Hlc::from_wall(WallMicros(10))),
            w_min: 1,
            settled: true,
            answered_by: vec![node("n1")],
            behind: Vec::new(),
            homes: vec![(node("n1"), HomeView::InReply), silent("n2"), silent("n3")],
        }
    }

    /// A replica that remembers all since `since`, and came to version 2 at `applied`.
    fn sighting(since: u64, applied: u64) -> Sighting {
        let at = |us: u64| Interval { from: Moment(us), to: Moment(us + 100) };
        let state = |applied: Option<u64>, counter| SightedState {
            trace: None,
            applied: applied.map(at),
            path: Path::Direct,
            context: up_to(counter),
            versions: vec![SeenVersion {
                dot: Dot { actor: ActorId(1), counter },
                hlc: Hlc::from_wall(WallMicros(counter * 10)),
                w: 1,
            }],
        };
        Sighting { complete_since: at(since), states: vec![state(None, 1), state(Some(applied), 2)] }
    }

    fn kept(reads: &[u64]) -> UnjudgedReads {
        let mut table = UnjudgedReads::new(ROOM);
        for began in reads {
            let gone = table.keep(Moment(began + 9), place(1), &read(*began), UnknownCause::ReplicaDown);
            assert!(gone.is_empty());
        }
        table
    }

    fn verdicts(late: &[LateVerdict]) -> Vec<(u64, Verdict)> {
        late.iter().map(|late| (late.began.0, late.judgement.verdict)).collect()
    }

    const FORGOTTEN: Verdict = Verdict::Unknown(UnknownCause::Forgotten);

    #[test]
    fn a_read_is_judged_by_what_a_replica_had_when_it_began_not_by_what_it_has_now() {
        let mut table = kept(&[BEGAN, BEGAN + 1_000_000]);
        let applied = BEGAN + 500_000;
        let said = [(node("n2"), sighting(0, applied)), (node("n3"), sighting(0, applied))];
        let late = table.sighted(Moment(9_000_000), &place(1), &said);
        let fresh = Verdict::Fresh { all: true };
        assert_eq!(verdicts(&late), [(BEGAN, fresh), (BEGAN + 1_000_000, Verdict::Stale)]);
        assert_eq!((late[1].judgement.exposure_us, late[1].was), (500_000, UnknownCause::ReplicaDown));
        assert_eq!(late[1].were_silent, [node("n2"), node("n3")]);
        assert_eq!((table.len(), table.bytes(), table.keys.len()), (0, 0, 0));
    }

    #[test]
    fn one_replica_is_enough_for_stale_and_not_for_fresh() {
        let mut table = kept(&[BEGAN]);
        let not_yet = [(node("n2"), sighting(0, BEGAN + 500_000))];
        assert!(table.sighted(Moment(9_000_000), &place(1), &not_yet).is_empty());
        assert_eq!(table.len(), 1, "the other may have had something, and is asked again");
        let had_it = [(node("n3"), sighting(0, BEGAN - 500_000))];
        assert_eq!(
            verdicts(&table.sighted(Moment(9_000_000), &place(1), &had_it)),
            [(BEGAN, Verdict::Stale)]
        );
    }

    #[test]
    fn what_a_replica_has_forgotten_stays_unknown() {
        let mut table = kept(&[BEGAN]);
        // Both were started after the read: what they had before they may have lost.
        let since = BEGAN + 100_000;
        let said =
            [(node("n2"), sighting(since, since + 1_000)), (node("n3"), sighting(since, since + 1_000))];
        assert_eq!(verdicts(&table.sighted(Moment(9_000_000), &place(1), &said)), [(BEGAN, FORGOTTEN)]);
    }

    #[test]
    fn replicas_are_asked_once_one_is_up_ever_more_rarely_and_at_least_every_four_seconds() {
        let mut table = kept(&[BEGAN]);
        let ask = |table: &mut UnjudgedReads, at: u64, up: bool| table.ask_next(Moment(at), |_| up).is_some();
        assert!(!ask(&mut table, BEGAN + 250_008, true), "its time has not come");
        assert!(!ask(&mut table, BEGAN + 250_009, false), "none is up");
        let again = table.wake_at().unwrap();
        assert_eq!(again, Moment(BEGAN + 500_009));
        assert_eq!(
            table.ask_next(again, |replica| *replica == node("n3")),
            Some((place(1), vec![node("n2"), node("n3")]))
        );
        assert!(!ask(&mut table, again.0 + 60_000_000, true), "they are being asked");
        let mut waits = Vec::new();
        let mut now = again;
        for _ in 0..6 {
            assert!(table.sighted(now, &place(1), &[]).is_empty());
            let next = table.wake_at().unwrap();
            waits.push(next.micros_since(now) / 1_000);
            now = next;
            assert!(ask(&mut table, now.0, true));
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }

    #[test]
    fn a_read_is_given_up_after_ten_minutes() {
        let mut table = kept(&[BEGAN, BEGAN + 1_000]);
        assert!(table.expire(Moment(BEGAN + KEPT_FOR_US - 1)).is_empty());
        assert_eq!(verdicts(&table.expire(Moment(BEGAN + KEPT_FOR_US))), [(BEGAN, FORGOTTEN)]);
        assert_eq!(verdicts(&table.expire(Moment(u64::MAX))), [(BEGAN + 1_000, FORGOTTEN)]);
        assert_eq!((table.len(), table.bytes(), table.order.len()), (0, 0, 0));
        assert_eq!(table.ask_next(Moment(u64::MAX), |_| true), None);
        assert_eq!(table.wake_at(), None);
    }

    #[test]
    fn the_oldest_reads_are_given_up_where_there_is_no_room() {
        let mut table = UnjudgedReads::new(UnjudgedLimits { reads: 3, ..ROOM });
        let mut gone = Vec::new();
        for number in 0..5 {
            let began = BEGAN + number;
            gone.extend(table.keep(Moment(began), place(number % 2), &read(began), UnknownCause::Timeout));
        }
        assert_eq!(verdicts(&gone), [(BEGAN, FORGOTTEN), (BEGAN + 1, FORGOTTEN)]);
        assert_eq!((gone[0].was, table.len()), (UnknownCause::Timeout, 3));
        let mut table = UnjudgedReads::new(UnjudgedLimits { bytes: 2_000, ..ROOM });
        for number in 0..50 {
            table.keep(Moment(BEGAN + number), place(number), &read(BEGAN + number), UnknownCause::Timeout);
            assert!(table.bytes() <= 2_000);
        }
        assert!((1..50).contains(&table.len()), "{}", table.len());
    }

    #[test]
    fn what_was_judged_takes_no_room_however_many_reads_there_were() {
        let mut table = UnjudgedReads::new(ROOM);
        let said = [(node("n2"), sighting(0, 1)), (node("n3"), sighting(0, 1))];
        for number in 0..10_000 {
            table.keep(Moment(BEGAN + number), place(number), &read(BEGAN + number), UnknownCause::Timeout);
            table.ask_next(Moment(u64::MAX), |_| true);
            assert_eq!(table.sighted(Moment(BEGAN + number), &place(number), &said).len(), 1);
        }
        assert!(table.order.len() <= 2 * ROOM.reads && table.due.is_empty() && table.is_empty());
    }
}
