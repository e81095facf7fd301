//! Pulls what a node's directory may lack from the other homes, by a plain scan.
//!
//! ```text
//! new directory ──all others, at the same time, remember no other──> complete
//!       └──somebody remembers another, or cannot know──> lacking ──merged from enough others──> complete
//! unclean start under `interval` or `os` ──^
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::completeness::{Completeness, Pulled, is_enough};
use super::start::{Holding, Memory};
use crate::causality::Object;
use crate::ids::{BucketName, Key, NodeId, PartitionId};
use crate::message::{LeftOut, PeerAnswer, PeerRequest, Recall, Refusal, ReplicaReply, ScanCursor, ScanPage};
use crate::planted::{self, Bug};
use crate::quorum::homes_to_merge_from;
use crate::ring::Ring;
use crate::time::Moment;
use crate::view::View;

/// How long a peer has to say what it remembers, in microseconds.
const RECALL_TIMEOUT_US: u64 = 2_000_000;
/// Bytes of objects that a page asks for.
const PAGE_BYTES: u32 = 1 << 20;
/// How long one page may take, in microseconds.
const PAGE_TIMEOUT_US: u64 = 10_000_000;
/// How long it may take until none of the objects under way to the replica is left, in microseconds.
const APPLY_TIMEOUT_US: u64 = 10_000_000;
/// How many peers are pulled from at once.
pub const PULLS_MAX: usize = 4;
/// How many objects of one pull are under way to the replica at once.
pub const APPLYING_MAX: usize = 256;

/// What a backfill wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackfillEffect {
    /// Ask a peer. [`Backfill::answered`] takes the answer, by the deadline.
    Ask {
        /// The peer.
        peer: NodeId,
        /// What.
        request: PeerRequest,
        /// When the answer is no longer wanted.
        deadline: Moment,
    },
    /// Merge an object into this node's own replica. [`Backfill::applied`] takes the answer, by the deadline.
    Apply {
        /// Whose page it was on.
        peer: NodeId,
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What the peer holds.
        object: Object,
        /// When the answer is no longer wanted.
        deadline: Moment,
    },
    /// Have this node's own replica note that it was left without an object. [`Backfill::applied`] takes the answer.
    LeaveOut {
        /// Whose page named it.
        peer: NodeId,
        /// What.
        left_out: LeftOut,
    },
    /// Show [`Backfill::completeness`] to everyone: it changed.
    Show,
    /// Make it durable what the directory holds.
    Mark(Holding),
    /// This directory is not known to be its node's first, by what a peer remembers.
    NotKnownAsFirst {
        /// The peer.
        by: NodeId,
        /// Whether it remembers another. If not, its own memory is gone.
        another: bool,
    },
    /// Pulling from a peer has ended.
    Ended {
        /// The peer.
        peer: NodeId,
        /// With what.
        result: Result<Pulled, Refusal>,
    },
}

#[derive(Debug)]
enum Phase {
    /// Nothing to do.
    Complete,
    /// A new directory: is it the first of this node? Peers know.
    New(Recalling),
    /// Pulling.
    Pulling { pulled: BTreeMap<NodeId, Pulled>, running: BTreeMap<NodeId, Pull> },
}

/// What peers remember of this node, asked for in rounds: all that a round counts was true at about the same time.
#[derive(Debug)]
struct Recalling {
    /// When the round ends.
    until: Moment,
    /// Those that were asked.
    asked: BTreeSet<NodeId>,
    /// Those that remember no other directory of this node.
    none: BTreeSet<NodeId>,
}

impl Recalling {
    fn new(until: Moment) -> Self {
        Self { until, asked: BTreeSet::new(), none: BTreeSet::new() }
    }

    /// Asks a peer, once in a round. A round that is over is forgotten, and the next begins.
    fn ask(&mut self, now: Moment, peer: NodeId, effects: &mut Vec<BackfillEffect>) {
        if now >= self.until {
            *self = Self::new(now.plus_micros(RECALL_TIMEOUT_US));
        }
        if self.asked.insert(peer.clone()) {
            let (request, deadline) = (PeerRequest::RecallDirectories, self.until);
            effects.push(BackfillEffect::Ask { peer, request, deadline });
        }
    }
}

/// Something on a page.
#[derive(Debug)]
enum OnPage {
    Object(BucketName, Key, Object),
    LeftOut(LeftOut),
}

/// A scan of one peer.
#[derive(Debug)]
struct Pull {
    worth: Pulled,
    next: Option<ScanCursor>,
    /// What is on the last page, and the replica was not told of yet.
    queue: VecDeque<OnPage>,
    /// Objects that it was given and that are not yet durable.
    applying: usize,
    failed: Option<Refusal>,
    /// When the pull is given up, unless something has moved by then.
    deadline: Moment,
}

impl Pull {
    fn new(now: Moment) -> Self {
        Self {
            worth: Pulled::Whole,
            next: None,
            queue: VecDeque::new(),
            applying: 0,
            failed: None,
            deadline: now.plus_micros(2 * PAGE_TIMEOUT_US),
        }
    }

    /// Gives the replica as much as it may have at once.
    fn feed(&mut self, now: Moment, peer: &NodeId, effects: &mut Vec<BackfillEffect>) {
        if self.failed.is_some() {
            self.queue.clear();
        }
        let room = APPLYING_MAX.saturating_sub(self.applying).min(self.queue.len());
        self.applying += room;
        let deadline = now.plus_micros(APPLY_TIMEOUT_US);
        self.deadline = now.plus_micros(2 * APPLY_TIMEOUT_US);
        effects.extend(self.queue.drain(..room).map(|on_page| {
            let peer = peer.clone();
            match on_page {
                OnPage::Object(bucket, key, object) => {
                    BackfillEffect::Apply { peer, bucket, key, object, deadline }
                }
                OnPage::LeftOut(left_out) => BackfillEffect::LeaveOut { peer, left_out },
            }
        }));
    }
}

/// Decides whether the directory may lack writes, and pulls them.
#[derive(Debug)]
pub struct Backfill {
    completeness: Completeness,
    phase: Phase,
    /// Whether this node knows the settings of all buckets.
    settled: bool,
}

impl Backfill {
    /// A directory of `partitions` that holds so much; nobody was heard of yet.
    #[must_use]
    pub fn new(partitions: u32, holding: Holding) -> Self {
        let new = holding == Holding::New && planted::has(Bug::NewDirectoryIsComplete);
        let holding = if new { Holding::Complete(Memory::Whole) } else { holding };
        let (phase, complete) = match holding {
            Holding::Complete(_) => (Phase::Complete, true),
            Holding::New => (Phase::New(Recalling::new(Moment(0))), false),
            Holding::Lacking(_) => (pulling(), false),
        };
        let mut completeness = Completeness::new(partitions, complete);
        completeness.set_may_lack(!complete);
        completeness.set_memory(holding.memory());
        Self { completeness, phase, settled: false }
    }

    /// What this node may answer for.
    #[must_use]
    pub fn completeness(&self) -> &Completeness {
        &self.completeness
    }

    /// Whether this node has all that it should, as far as it knows.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    /// A peer has said what it remembers of this node's directories.
    ///
    /// A founder's first directory lacks nothing. That it is the first is known once every other member, within one
    /// round, remembers no other; until then nobody reads from it. Fewer would not do: a majority admitted any
    /// directory before, but this node's own memory of that is gone, and the rest of that majority may be the members
    /// that do not answer. All may be wrong only if that whole majority lost its disks at once. What may be wrong
    /// becomes right by pulling from the others.
    fn recalled(&mut self, view: View<'_>, by: NodeId, recall: Recall, effects: &mut Vec<BackfillEffect>) {
        let Phase::New(recalling) = &mut self.phase else { return };
        if recall == Recall::NoOther {
            recalling.none.insert(by);
            // All are looked at only once there are so many: in a large cluster that is most of the work.
            let (said, members) = (recalling.none.len() + 1, view.ring.members().len());
            let majority = planted::has(Bug::MajorityFounds) && said > members / 2;
            let all = said >= members && view.others().iter().all(|other| recalling.none.contains(other));
            if majority || all {
                self.found_complete(effects);
            }
            return;
        }
        self.completeness.set_memory(Memory::Gone);
        self.phase = pulling();
        effects.push(BackfillEffect::NotKnownAsFirst { by, another: recall == Recall::Another });
        effects.push(BackfillEffect::Mark(Holding::Lacking(Memory::Gone)));
        effects.push(BackfillEffect::Show);
    }

    fn found_complete(&mut self, effects: &mut Vec<BackfillEffect>) {
        self.completeness.set_may_lack(false);
        self.completeness.set_all(true);
        self.phase = Phase::Complete;
        effects.push(BackfillEffect::Mark(Holding::Complete(self.completeness.memory())));
        effects.push(BackfillEffect::Show);
    }

    /// A record of this node was found damaged. What was merged into it may be gone with it, so a pull that is not at
    /// its end begins again.
    pub fn damaged(&mut self) {
        if let Phase::Pulling { pulled, running } = &mut self.phase {
            pulled.clear();
            for pull in running.values_mut() {
                pull.failed = Some(Refusal::Damaged);
            }
        }
    }

    /// A connection to `peer` has come up: what it remembers may be asked for.
    pub fn peer_up(&mut self, now: Moment, peer: NodeId, effects: &mut Vec<BackfillEffect>) {
        if let Phase::New(recalling) = &mut self.phase {
            recalling.ask(now, peer, effects);
        }
    }

    /// Asks what peers remember, and begins to pull from those that are up, where there is need. Wanted now and then.
    ///
    /// `settled` says that this node knows the settings of all buckets: without them it does not know what it should
    /// have. `can_pull` says that its identity is confirmed, so that its replica takes what is pulled, and that a peer
    /// is up and has told its settings: without them it would not know what to do with the peer's objects.
    pub fn look(
        &mut self,
        now: Moment,
        view: View<'_>,
        settled: bool,
        (is_up, can_pull): (impl Fn(&NodeId) -> bool, impl Fn(&NodeId) -> bool),
        effects: &mut Vec<BackfillEffect>,
    ) {
        if matches!(self.phase, Phase::Complete) {
            return;
        }
        let mut others = view.others();
        if others.is_empty() && !self.is_complete() {
            return self.found_complete(effects);
        }
        if let Phase::New(recalling) = &mut self.phase {
            others.retain(is_up);
            return others.into_iter().for_each(|peer| recalling.ask(now, peer, effects));
        }
        if std::mem::replace(&mut self.settled, settled) != settled {
            self.count(view, effects);
        }
        let Phase::Pulling { pulled, running } = &mut self.phase else { return };
        // Answers come by their deadlines. Were one lost on its way from the replica, this ends the pull.
        running.retain(|peer, pull| {
            let stuck = now >= pull.deadline;
            if stuck {
                let result = Err(Refusal::NoAnswer);
                effects.push(BackfillEffect::Ended { peer: peer.clone(), result });
            }
            !stuck
        });
        // Those that were never pulled from first: a peer that may itself lack writes is pulled from again and again.
        others.sort_by_key(|peer| pulled.contains_key(peer));
        for peer in others {
            let done = pulled.get(&peer) == Some(&Pulled::Whole);
            if done || running.contains_key(&peer) || running.len() >= PULLS_MAX || !can_pull(&peer) {
                continue;
            }
            running.insert(peer.clone(), Pull::new(now));
            effects.push(ask(now, peer, None));
        }
    }

    /// Takes a peer's answer.
    pub fn answered(
        &mut self,
        now: Moment,
        view: View<'_>,
        from: NodeId,
        answer: PeerAnswer,
        effects: &mut Vec<BackfillEffect>,
    ) {
        if let PeerAnswer::Recalled(recall) = answer {
            return self.recalled(view, from, recall, effects);
        }
        let Some(pull) = self.running(&from) else { return };
        match answer {
            PeerAnswer::Scanned(ScanPage { objects, left_out, next, incomplete }) => {
                if incomplete {
                    pull.worth = Pulled::Partial;
                }
                pull.next = next;
                let objects =
                    objects.into_iter().map(|(bucket, key, object)| OnPage::Object(bucket, key, object));
                // What is held of an object is merged before it is looked whether something of it is missing.
                pull.queue = objects.chain(left_out.into_iter().map(OnPage::LeftOut)).collect();
            }
            PeerAnswer::Refused(refusal) => pull.failed = Some(refusal),
            _ => pull.failed = Some(Refusal::NoAnswer),
        }
        self.go_on(now, view, from, effects);
    }

    /// An object of `peer`'s page was merged, or was not.
    pub fn applied(
        &mut self,
        now: Moment,
        view: View<'_>,
        peer: NodeId,
        reply: &ReplicaReply,
        effects: &mut Vec<BackfillEffect>,
    ) {
        let Some(pull) = self.running(&peer) else { return };
        pull.applying = pull.applying.saturating_sub(1);
        match reply {
            // Not this node's by its own ring: it need not have it. Or it has noted what it does without.
            ReplicaReply::Applied { .. } | ReplicaReply::Refused(Refusal::WrongRing | Refusal::LeftOut) => {}
            ReplicaReply::Refused(refusal) => pull.failed = Some(*refusal),
            ReplicaReply::Fetched(_) | ReplicaReply::Probed(_) => pull.failed = Some(Refusal::NoAnswer),
        }
        self.go_on(now, view, peer, effects);
    }

    fn running(&mut self, peer: &NodeId) -> Option<&mut Pull> {
        match &mut self.phase {
            Phase::Pulling { running, .. } => running.get_mut(peer),
            Phase::Complete | Phase::New(_) => None,
        }
    }

    /// Asks for the next page once the last is durable, or ends the pull.
    fn go_on(&mut self, now: Moment, view: View<'_>, peer: NodeId, effects: &mut Vec<BackfillEffect>) {
        let Phase::Pulling { pulled, running } = &mut self.phase else { return };
        let Some(pull) = running.get_mut(&peer) else { return };
        pull.feed(now, &peer, effects);
        if pull.applying > 0 {
            return;
        }
        let result = match (pull.failed, pull.next.take()) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(next)) => return effects.push(ask(now, peer, Some(next))),
            (None, None) => Ok(pull.worth),
        };
        running.remove(&peer);
        effects.push(BackfillEffect::Ended { peer: peer.clone(), result });
        if let Ok(worth) = result {
            pulled.insert(peer, worth);
            self.count(view, effects);
        }
    }

    /// Counts what was pulled: partitions that have merged from enough others are complete.
    fn count(&mut self, view: View<'_>, effects: &mut Vec<BackfillEffect>) {
        let Phase::Pulling { pulled, .. } = &self.phase else { return };
        if !self.settled {
            return;
        }
        let (all, news) = mark_complete(&mut self.completeness, view, pulled);
        if all {
            self.found_complete(effects);
        } else if news {
            effects.push(BackfillEffect::Show);
        }
    }
}

fn pulling() -> Phase {
    Phase::Pulling { pulled: BTreeMap::new(), running: BTreeMap::new() }
}

fn ask(now: Moment, peer: NodeId, after: Option<ScanCursor>) -> BackfillEffect {
    let request = PeerRequest::Scan { after, max_bytes: PAGE_BYTES };
    BackfillEffect::Ask { peer, request, deadline: now.plus_micros(PAGE_TIMEOUT_US) }
}

/// Marks the partitions that have merged from enough others; whether all have, and whether any was news.
fn mark_complete(
    completeness: &mut Completeness,
    view: View<'_>,
    pulled: &BTreeMap<NodeId, Pulled>,
) -> (bool, bool) {
    let lowest = view.buckets.lowest_w_min();
    let (mut all, mut news) = (true, false);
    for partition in (0..view.ring.partitions()).map(PartitionId) {
        let enough = lowest.iter().all(|(&n, &w_min)| {
            let homes = home_names(view.ring, partition, n);
            let others = homes.iter().filter(|&home| home != view.me).cloned().collect();
            !homes.contains(view.me) || is_enough(&others, pulled, homes_to_merge_from(n, w_min))
        });
        if enough {
            news |= completeness.complete(partition);
        }
        all &= enough;
    }
    (all, news)
}

fn home_names(ring: &Ring, partition: PartitionId, n: u8) -> Vec<NodeId> {
    let homes = ring.homes(partition, n).iter();
    homes.filter_map(|&home| ring.member(home).map(|member| member.id.clone())).collect()
}
