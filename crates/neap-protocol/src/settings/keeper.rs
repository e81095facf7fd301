//! Who keeps a node's bucket settings, and sees to it that every member has the newest.
//!
//! A change is stored here and sent to every member; its client is told once all answered or gave up, and it
//! succeeded if a majority stored it. Members that were away ask each other for all settings when they meet again,
//! and a home whose peer goes by newer ones fetches them before it acts.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{BucketTable, StoredSettings};
use crate::bounds::{NoRoomForValues, ValueLimit};
use crate::bucket::{BucketSettings, SettingsVersion};
use crate::ids::{BucketName, NodeId};
use crate::message::{PeerAnswer, PeerRequest, Refusal};
use crate::planted::{self, Bug};
use crate::time::{Hlc, Moment};
use crate::view::View;

/// How many buckets may have settings of their own.
pub const BUCKETS_MAX: u32 = 10_000;

/// How long a peer has to answer a question about settings that no client waits for, in microseconds.
const PEER_TIMEOUT_US: u64 = 2_000_000;

/// The tag of a question for the settings of one bucket.
const ONE: u64 = 0;
/// The tag of a question for all settings. Changes have higher ones.
const ALL: u64 = 1;

/// Why bucket settings were not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetBucketError {
    /// N is greater than the number of nodes. Nothing changed.
    #[error("n = {n} is more than the {members} nodes of the cluster")]
    TooFewMembers {
        /// What was given.
        n: u8,
        /// Nodes in the cluster.
        members: u16,
    },
    /// A bucket's N cannot change once it was set or may hold data. Nothing changed.
    #[error("n cannot change from {from} to {to} while the bucket may hold data")]
    QuorumSizeFixed {
        /// N in force.
        from: u8,
        /// What was given.
        to: u8,
    },
    /// Fewer members than a majority stored them in time; those that did keep them.
    #[error("{stored} of the {needed} members needed stored the settings (of {members})")]
    NotReached {
        /// Members that stored them.
        stored: u16,
        /// Members needed: a majority.
        needed: u16,
        /// Members there are.
        members: u16,
    },
    /// Objects of the bucket would have no room for values that are allowed. Nothing changed.
    #[error("{0}")]
    NoRoomForValues(#[from] NoRoomForValues),
    /// The table of buckets is at its bound. Nothing changed.
    #[error("the cluster has {max} buckets with settings of their own, which is the limit")]
    TooManyBuckets {
        /// The bound.
        max: u32,
    },
    /// This node could not store them.
    #[error("this node could not store the settings: {0}")]
    Refused(Refusal),
}

/// What the client of a change is told.
pub type SettingsReply = Result<SettingsVersion, SetBucketError>;

/// What a keeper needs of its node.
pub trait SettingsHost {
    /// Whether this node's identity is confirmed: before, it gives no times.
    fn confirmed(&self) -> bool;

    /// The next HLC.
    fn issue(&mut self) -> Result<Hlc, Refusal>;

    /// Whether this node holds any object of the bucket. A disk that cannot say counts as one that does.
    fn holds_data(&mut self, bucket: &BucketName) -> bool;

    /// Makes settings durable before it returns.
    fn store(&mut self, newer: &[StoredSettings]) -> Result<(), Refusal>;
}

/// What a keeper wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsEffect<C> {
    /// Ask a peer. Exactly one answer comes back, by the deadline.
    Send {
        /// The peer.
        to: NodeId,
        /// What.
        request: Box<PeerRequest>,
        /// When the answer is no longer wanted.
        deadline: Moment,
        /// Handed back with the answer.
        tag: u64,
    },
    /// Tell the client of a change.
    Reply {
        /// The client.
        client: C,
        /// What.
        reply: SettingsReply,
    },
    /// Show [`SettingsKeeper::table`], and whom it was heard from, to everyone: one of them changed.
    Show,
}

/// Properties that a client sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBucket {
    /// The bucket.
    pub bucket: BucketName,
    /// Its properties.
    pub settings: BucketSettings,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
}

/// A change that waits for the members' answers.
#[derive(Debug)]
struct Spreading<C> {
    new: NewBucket,
    version: SettingsVersion,
    waiting: BTreeSet<NodeId>,
    stored: u16,
    /// Asking every member whether the bucket holds data, before N may change.
    probing: bool,
    client: C,
}

/// Keeps the settings of one node. `C` is the way back to the client of a change.
#[derive(Debug)]
pub struct SettingsKeeper<C> {
    table: BucketTable,
    /// Members that have told all their settings to this run.
    heard: BTreeSet<NodeId>,
    /// Members that were asked for all their settings and have not answered.
    asking: BTreeSet<NodeId>,
    changes: BTreeMap<u64, Spreading<C>>,
    next_tag: u64,
    values: ValueLimit,
}

impl<C> SettingsKeeper<C> {
    /// Keeps `table`, with no change under way. Buckets are set so that their objects have room for `values`.
    #[must_use]
    pub fn new(table: BucketTable, values: ValueLimit) -> Self {
        Self {
            table,
            heard: BTreeSet::new(),
            asking: BTreeSet::new(),
            changes: BTreeMap::new(),
            next_tag: ALL,
            values,
        }
    }

    /// The settings.
    #[must_use]
    pub fn table(&self) -> &BucketTable {
        &self.table
    }

    /// Whether this node knows every setting that was ever answered for, though it may have lost its own: a change is
    /// stored by a majority of the members, and so many have told all they know that one of that majority is among
    /// them, whether or not this node was.
    #[must_use]
    pub fn is_settled(&self, view: View<'_>) -> bool {
        let members = view.ring.members().len();
        let enough = self.heard.len() >= members.div_ceil(2).min(members.saturating_sub(1));
        enough || planted::has(Bug::SettingsUnheard)
    }

    /// Members that have told all their settings to this run.
    #[must_use]
    pub fn heard(&self) -> &BTreeSet<NodeId> {
        &self.heard
    }

    /// How many changes wait for members.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Sets a bucket's properties everywhere.
    pub fn set(
        &mut self,
        view: View<'_>,
        new: NewBucket,
        client: C,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        let n = new.settings.quorum.n;
        let current = self.table.settings(&new.bucket).quorum.n;
        let probing = current != n;
        let stamped = self.check(view, &new).and_then(|()| {
            if !host.confirmed() {
                return Err(SetBucketError::Refused(Refusal::Unconfirmed));
            }
            let hlc = host.issue().map_err(|_| SetBucketError::Refused(Refusal::Storage))?;
            if probing && host.holds_data(&new.bucket) {
                return Err(SetBucketError::QuorumSizeFixed { from: current, to: n });
            }
            Ok(hlc)
        });
        let hlc = match stamped {
            Ok(hlc) => hlc,
            Err(error) => return effects.push(SettingsEffect::Reply { client, reply: Err(error) }),
        };
        let version = SettingsVersion { hlc, node: Some(view.me.clone()) };
        let waiting = BTreeSet::new();
        let change = Spreading { new, version, waiting, stored: 0, probing, client };
        if probing {
            let request = PeerRequest::HoldsBucket(change.new.bucket.clone());
            self.send_to_all(view, change, &request, host, effects);
        } else {
            self.spread(view, change, host, effects);
        }
    }

    fn check(&self, view: View<'_>, new: &NewBucket) -> Result<(), SetBucketError> {
        let (n, members) = (new.settings.quorum.n, members(view));
        if u16::from(n) > members {
            return Err(SetBucketError::TooFewMembers { n, members });
        }
        self.values.check(n)?;
        let is_new = *self.table.version(&new.bucket) == SettingsVersion::DEFAULTS;
        if is_new && self.table.len() >= BUCKETS_MAX as usize {
            return Err(SetBucketError::TooManyBuckets { max: BUCKETS_MAX });
        }
        Ok(())
    }

    /// Stores the change here and asks every member to.
    fn spread(
        &mut self,
        view: View<'_>,
        mut change: Spreading<C>,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        change.probing = false;
        let NewBucket { bucket, settings, .. } = &change.new;
        let stored = (bucket.clone(), settings.clone(), change.version.clone());
        let (bucket, settings, version) = stored.clone();
        if let Err(refusal) = self.store(vec![stored], host, effects) {
            let reply = Err(SetBucketError::Refused(refusal));
            return effects.push(SettingsEffect::Reply { client: change.client, reply });
        }
        change.stored = 1;
        let request = PeerRequest::StoreSettings(bucket, settings, version);
        self.send_to_all(view, change, &request, host, effects);
    }

    fn send_to_all(
        &mut self,
        view: View<'_>,
        mut change: Spreading<C>,
        request: &PeerRequest,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        let others = view.others();
        change.waiting = others.iter().cloned().collect();
        let deadline = change.new.deadline;
        self.next_tag += 1;
        let tag = self.next_tag;
        self.changes.insert(tag, change);
        let send = |to| SettingsEffect::Send { to, request: Box::new(request.clone()), deadline, tag };
        effects.extend(others.into_iter().map(send));
        self.settle(view, tag, host, effects);
    }

    /// Takes a peer's answer.
    pub fn answered(
        &mut self,
        view: View<'_>,
        from: &NodeId,
        tag: u64,
        answer: PeerAnswer,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        if tag == ALL {
            self.asking.remove(from);
        }
        if let PeerAnswer::Settings(settings) = answer {
            // A failure is the driver's to log: whoever goes by these settings is asked for them again.
            let kept = self.keep_newer(settings, host, effects).is_ok();
            if kept && tag == ALL && self.heard.insert(from.clone()) {
                effects.push(SettingsEffect::Show);
            }
            return;
        }
        let Some(change) = self.changes.get_mut(&tag) else { return };
        change.waiting.remove(from);
        match answer {
            PeerAnswer::SettingsStored => change.stored += 1,
            PeerAnswer::HoldsBucket(false) => {}
            _ if change.probing => {
                // It holds data, or cannot say that it does not.
                let from = self.table.settings(&change.new.bucket).quorum.n;
                if let Some(Spreading { new, client, .. }) = self.changes.remove(&tag) {
                    let reply = Err(SetBucketError::QuorumSizeFixed { from, to: new.settings.quorum.n });
                    effects.push(SettingsEffect::Reply { client, reply });
                }
                return;
            }
            _ => {}
        }
        self.settle(view, tag, host, effects);
    }

    /// Answers a change that no member is waited for any more, or goes on to its next step.
    fn settle(
        &mut self,
        view: View<'_>,
        tag: u64,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        if self.changes.get(&tag).is_none_or(|change| !change.waiting.is_empty()) {
            return;
        }
        let Some(change) = self.changes.remove(&tag) else { return };
        if change.probing {
            return self.spread(view, change, host, effects);
        }
        let members = members(view);
        let needed = members / 2 + 1;
        let Spreading { version, stored, client, .. } = change;
        let enough = stored >= needed;
        let reply =
            if enough { Ok(version) } else { Err(SetBucketError::NotReached { stored, needed, members }) };
        effects.push(SettingsEffect::Reply { client, reply });
    }

    fn keep_newer(
        &mut self,
        settings: Vec<StoredSettings>,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) -> Result<(), Refusal> {
        let mut newer = settings;
        newer.retain(|(bucket, settings, version)| {
            version > self.table.version(bucket) && settings.validate().is_ok()
        });
        if newer.is_empty() { Ok(()) } else { self.store(newer, host, effects) }
    }

    /// Makes settings durable, then shows them to everyone.
    fn store(
        &mut self,
        newer: Vec<StoredSettings>,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) -> Result<(), Refusal> {
        host.store(&newer)?;
        newer.into_iter().for_each(|settings| self.table.put(settings));
        effects.push(SettingsEffect::Show);
        Ok(())
    }

    /// Answers a peer's question or order about settings.
    pub fn serve(
        &mut self,
        request: PeerRequest,
        host: &mut impl SettingsHost,
        effects: &mut Vec<SettingsEffect<C>>,
    ) -> PeerAnswer {
        match request {
            PeerRequest::FetchSettings(bucket) => {
                let (settings, version) = (self.table.settings(&bucket), self.table.version(&bucket));
                let known = *version > SettingsVersion::DEFAULTS;
                let settings = known.then(|| (bucket.clone(), settings.clone(), version.clone()));
                PeerAnswer::Settings(settings.into_iter().collect())
            }
            PeerRequest::ListSettings => PeerAnswer::Settings(self.table.all()),
            PeerRequest::HoldsBucket(bucket) => PeerAnswer::HoldsBucket(host.holds_data(&bucket)),
            PeerRequest::StoreSettings(bucket, settings, version) => {
                match self.keep_newer(vec![(bucket, settings, version)], host, effects) {
                    Ok(()) => PeerAnswer::SettingsStored,
                    Err(refusal) => PeerAnswer::Refused(refusal),
                }
            }
            PeerRequest::Replica(..)
            | PeerRequest::Forward(..)
            | PeerRequest::RecallDirectories
            | PeerRequest::SloSummary
            | PeerRequest::Scan { .. }
            | PeerRequest::ListKeys(_)
            | PeerRequest::ListStates(_) => PeerAnswer::Refused(Refusal::WrongRing),
        }
    }

    /// A connection to `peer` has come up. Whoever was away, this node or the peer, may have missed a change:
    /// each asks the other.
    pub fn peer_up(&mut self, now: Moment, peer: NodeId, effects: &mut Vec<SettingsEffect<C>>) {
        if self.asking.insert(peer.clone()) {
            self.ask_for_all(now, peer, effects);
        }
    }

    /// Asks those who have not told their settings yet: nothing is pulled from them until they have. Wanted now and
    /// then.
    pub fn look(
        &mut self,
        now: Moment,
        view: View<'_>,
        is_up: impl Fn(&NodeId) -> bool,
        effects: &mut Vec<SettingsEffect<C>>,
    ) {
        if self.heard.len() + 1 >= view.ring.members().len() {
            return;
        }
        for peer in view.others() {
            if !self.heard.contains(&peer) && is_up(&peer) {
                self.peer_up(now, peer, effects);
            }
        }
    }

    fn ask_for_all(&self, now: Moment, peer: NodeId, effects: &mut Vec<SettingsEffect<C>>) {
        let deadline = now.plus_micros(PEER_TIMEOUT_US);
        let request = Box::new(PeerRequest::ListSettings);
        effects.push(SettingsEffect::Send { to: peer, request, deadline, tag: ALL });
    }

    /// `from` goes by newer settings of `bucket` than this node.
    pub fn fetch(&self, now: Moment, bucket: BucketName, from: NodeId, effects: &mut Vec<SettingsEffect<C>>) {
        let request = Box::new(PeerRequest::FetchSettings(bucket));
        let deadline = now.plus_micros(PEER_TIMEOUT_US);
        effects.push(SettingsEffect::Send { to: from, request, deadline, tag: ONE });
    }
}

fn members(view: View<'_>) -> u16 {
    u16::try_from(view.ring.members().len()).unwrap_or(u16::MAX)
}
