//! The bucket settings actor: the same settings on every member, durable, newest by (HLC, node id).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::actors::clock::{ShardClock, moment};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{Answer, AnswerBody, FetchSettings, ReplicaCommand};
use crate::actors::ring_membership::{PeerEvent, RingTable};
use crate::actors::shell::hand_over;
use crate::http::backend::SetBucketError;
use crate::protocol::bucket::{BucketSettings, SettingsVersion};
use crate::protocol::ids::{BucketName, NodeId};
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, RingStamp};
use crate::protocol::time::Moment;
use crate::storage::settings as records;
use crate::storage::{Change, Store, StoreError, Table};
use crate::transport::{Lane, Outgoing, Responder};

/// How many buckets may have settings of their own.
pub const BUCKETS_MAX: u32 = 10_000;

/// How long a peer has to answer a question about settings that no client waits for, in microseconds.
const PEER_TIMEOUT_US: u64 = 2_000_000;

type Settings = BTreeMap<BucketName, (BucketSettings, SettingsVersion)>;

/// All bucket settings: an immutable snapshot that every actor shares.
#[derive(Debug)]
pub struct SettingsTable {
    defaults: BucketSettings,
    current: ArcSwap<Settings>,
}

impl SettingsTable {
    /// What is stored, and `defaults` for buckets that were never set.
    pub fn load(store: &dyn Store, defaults: BucketSettings) -> Result<Self, StoreError> {
        let mut current = Settings::new();
        let mut after = None;
        loop {
            let page = store.scan(Table::Meta, records::PREFIX, after.as_deref(), 256)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, value) in &page {
                let (bucket, settings, version) = records::decode(key, value).map_err(|damage| {
                    StoreError::Failed(format!("the settings of a bucket are damaged: {damage}"))
                })?;
                current.insert(bucket, (settings, version));
            }
        }
        Ok(Self { defaults, current: ArcSwap::from_pointee(current) })
    }

    /// The settings of a bucket with their version.
    #[must_use]
    pub fn get(&self, bucket: &BucketName) -> (BucketSettings, SettingsVersion) {
        let current = self.current.load();
        current.get(bucket).cloned().unwrap_or_else(|| (self.defaults.clone(), SettingsVersion::DEFAULTS))
    }

    /// The version of a bucket's settings.
    #[must_use]
    pub fn version(&self, bucket: &BucketName) -> SettingsVersion {
        self.current.load().get(bucket).map_or(SettingsVersion::DEFAULTS, |(_, version)| version.clone())
    }

    /// The settings of buckets that were never set.
    #[must_use]
    pub fn defaults(&self) -> &BucketSettings {
        &self.defaults
    }

    /// All that were ever set, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(BucketName, BucketSettings, SettingsVersion)> {
        let current = self.current.load();
        current
            .iter()
            .map(|(bucket, (settings, version))| (bucket.clone(), settings.clone(), version.clone()))
            .collect()
    }

    /// For each N in use, the lowest `w_min` that any bucket of it has.
    #[must_use]
    pub fn lowest_w_min(&self) -> BTreeMap<u8, u8> {
        let current = self.current.load();
        let mut lowest = BTreeMap::new();
        for settings in current.values().map(|(settings, _)| settings).chain([&self.defaults]) {
            let w_min = lowest.entry(settings.quorum.n).or_insert(settings.w_min);
            *w_min = settings.w_min.min(*w_min);
        }
        lowest
    }
}

/// A request to set a bucket's properties everywhere.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetBucket {
    /// The bucket.
    pub bucket: BucketName,
    /// Its properties.
    pub settings: BucketSettings,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// The way back.
    pub reply: oneshot::Sender<Result<SettingsVersion, SetBucketError>>,
}

/// A peer's question or order about settings.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PeerSettings {
    /// What it asks.
    pub request: PeerRequest,
    /// The way back.
    pub responder: Box<dyn Responder>,
}

/// What the actor is made of.
pub struct SettingsParts {
    /// This node.
    pub me: NodeId,
    /// The table it keeps.
    pub table: Arc<SettingsTable>,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// The control plane's connections.
    pub lane: Rc<Lane>,
    /// The control plane's clock.
    pub clock: Rc<RefCell<ShardClock>>,
    /// The replica stores, to be told of changes.
    pub replicas: Vec<Recipient<ReplicaCommand>>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
    /// Ends the process: after a failed sync nothing is certain about the disk any more.
    pub end_process: Rc<dyn Fn(&StoreError)>,
}

/// A change that waits for the members' answers.
struct Spreading {
    bucket: BucketName,
    settings: BucketSettings,
    version: SettingsVersion,
    waiting: BTreeSet<NodeId>,
    stored: u16,
    /// Asking every member whether the bucket holds data, before N may change.
    probing: bool,
    deadline: Moment,
    reply: oneshot::Sender<Result<SettingsVersion, SetBucketError>>,
}

/// Keeps bucket settings, and sees to it that every member has the newest.
pub struct BucketSettingsActor {
    parts: SettingsParts,
    changes: HashMap<u64, Spreading>,
    next_tag: u64,
}

impl BucketSettingsActor {
    /// An actor with no change under way.
    #[must_use]
    pub fn new(parts: SettingsParts) -> Self {
        Self { parts, changes: HashMap::new(), next_tag: 0 }
    }

    fn others(&self) -> Vec<NodeId> {
        let ring = self.parts.ring.current();
        ring.members().iter().map(|member| member.id.clone()).filter(|id| *id != self.parts.me).collect()
    }

    fn members(&self) -> u16 {
        u16::try_from(self.parts.ring.current().members().len()).unwrap_or(u16::MAX)
    }

    fn set(&mut self, request: SetBucket) {
        let SetBucket { bucket, settings, deadline, reply } = request;
        let (n, members) = (settings.quorum.n, self.members());
        if u16::from(n) > members {
            return drop(reply.send(Err(SetBucketError::TooFewMembers { n, members })));
        }
        let is_new = self.parts.table.version(&bucket) == SettingsVersion::DEFAULTS;
        if is_new && self.parts.table.all().len() >= BUCKETS_MAX as usize {
            return drop(reply.send(Err(SetBucketError::TooManyBuckets { max: BUCKETS_MAX })));
        }
        let hlc = self.parts.clock.borrow_mut().issue();
        let Ok(hlc) = hlc else {
            return drop(reply.send(Err(SetBucketError::Refused(Refusal::Storage))));
        };
        let version = SettingsVersion { hlc, node: Some(self.parts.me.clone()) };
        let current = self.parts.table.get(&bucket).0.quorum.n;
        let probing = current != n;
        if probing && self.holds_data(&bucket) {
            return drop(reply.send(Err(SetBucketError::QuorumSizeFixed { from: current, to: n })));
        }
        let change = Spreading {
            bucket,
            settings,
            version,
            waiting: BTreeSet::new(),
            stored: 0,
            probing,
            deadline,
            reply,
        };
        if probing { self.ask_all(change) } else { self.spread(change) }
    }

    /// Asks every member whether the bucket holds data.
    fn ask_all(&mut self, change: Spreading) {
        let request = PeerRequest::HoldsBucket(change.bucket.clone());
        self.send_to_all(change, &request);
    }

    /// Stores the change here and asks every member to.
    fn spread(&mut self, mut change: Spreading) {
        change.probing = false;
        if let Err(error) =
            self.store(&[(change.bucket.clone(), change.settings.clone(), change.version.clone())])
        {
            let refusal =
                if matches!(error, StoreError::Full { .. }) { Refusal::DiskFull } else { Refusal::Storage };
            return drop(change.reply.send(Err(SetBucketError::Refused(refusal))));
        }
        change.stored = 1;
        let request = PeerRequest::StoreSettings(
            change.bucket.clone(),
            change.settings.clone(),
            change.version.clone(),
        );
        self.send_to_all(change, &request);
    }

    fn send_to_all(&mut self, mut change: Spreading, request: &PeerRequest) {
        let others = self.others();
        change.waiting = others.iter().cloned().collect();
        let deadline = change.deadline;
        self.next_tag += 1;
        let tag = self.next_tag;
        self.changes.insert(tag, change);
        for peer in others {
            self.send(&peer, request.clone(), deadline, tag);
        }
        self.settle(tag);
    }

    fn send(&self, to: &NodeId, request: PeerRequest, deadline: Moment, tag: u64) {
        let clock = self.parts.clock.borrow().read();
        let ring = RingStamp { epoch: self.parts.ring.current().epoch() };
        self.parts.lane.send(to, Outgoing { request, deadline, clock, ring, trace: None, tag });
    }

    fn answered(&mut self, answer: Answer) {
        let Answer { from, tag, answer, clock } = answer;
        if let Some(clock) = clock
            && self.parts.clock.borrow_mut().observe(clock).is_err()
        {
            self.parts.counters.clock_skew_refused.add();
        }
        let AnswerBody::Peer(answer) = answer else { return };
        if let PeerAnswer::Settings(settings) = answer {
            return self.keep_newer(settings);
        }
        let Some(change) = self.changes.get_mut(&tag) else { return };
        change.waiting.remove(&from);
        match answer {
            PeerAnswer::SettingsStored => change.stored += 1,
            PeerAnswer::HoldsBucket(false) => {}
            _ if change.probing => {
                // It holds data, or cannot say that it does not.
                let from = self.parts.table.get(&change.bucket).0.quorum.n;
                if let Some(change) = self.changes.remove(&tag) {
                    let to = change.settings.quorum.n;
                    drop(change.reply.send(Err(SetBucketError::QuorumSizeFixed { from, to })));
                }
                return;
            }
            _ => {}
        }
        self.settle(tag);
    }

    /// Answers a change that no member is waited for any more, or goes on to its next step.
    fn settle(&mut self, tag: u64) {
        if self.changes.get(&tag).is_none_or(|change| !change.waiting.is_empty()) {
            return;
        }
        let Some(change) = self.changes.remove(&tag) else { return };
        if change.probing {
            return self.spread(change);
        }
        let members = self.members();
        let needed = members / 2 + 1;
        let result = if change.stored >= needed {
            Ok(change.version)
        } else {
            Err(SetBucketError::NotReached { stored: change.stored, needed, members })
        };
        drop(change.reply.send(result));
    }

    fn keep_newer(&self, settings: Vec<(BucketName, BucketSettings, SettingsVersion)>) {
        let newer: Vec<_> = settings
            .into_iter()
            .filter(|(bucket, settings, version)| {
                *version > self.parts.table.version(bucket) && settings.validate().is_ok()
            })
            .collect();
        if newer.is_empty() {
            return;
        }
        if let Err(error) = self.store(&newer) {
            tracing::warn!("newer bucket settings could not be stored: {error}");
        }
    }

    /// Makes settings durable, then shows them to everyone.
    fn store(&self, newer: &[(BucketName, BucketSettings, SettingsVersion)]) -> Result<(), StoreError> {
        let changes = newer.iter().map(|(bucket, settings, version)| {
            let (key, value) = records::encode(bucket, settings, version);
            Change::Put { table: Table::Meta, key, value }
        });
        self.parts.store.apply(changes.collect())?;
        if let Err(error) = self.parts.store.sync() {
            (self.parts.end_process)(&error);
            return Err(error);
        }
        let mut current = Settings::clone(&self.parts.table.current.load());
        for (bucket, settings, version) in newer {
            current.insert(bucket.clone(), (settings.clone(), version.clone()));
        }
        self.parts.table.current.store(Arc::new(current));
        for replica in &self.parts.replicas {
            // Counted; a replica looks again on its own tick.
            let _ = hand_over(replica, ReplicaCommand::SettingsChanged, &self.parts.counters.mailbox_refused);
        }
        Ok(())
    }

    fn holds_data(&self, bucket: &BucketName) -> bool {
        let partitions = self.parts.ring.current().partitions();
        // A disk that cannot say counts as one that holds data.
        crate::storage::keys::holds_bucket(&*self.parts.store, partitions, bucket).unwrap_or(true)
    }

    fn serve(&self, PeerSettings { request, responder }: PeerSettings) {
        let answer = match request {
            PeerRequest::FetchSettings(bucket) => {
                let (settings, version) = self.parts.table.get(&bucket);
                let known = version > SettingsVersion::DEFAULTS;
                PeerAnswer::Settings(if known { vec![(bucket, settings, version)] } else { Vec::new() })
            }
            PeerRequest::ListSettings => PeerAnswer::Settings(self.parts.table.all()),
            PeerRequest::HoldsBucket(bucket) => PeerAnswer::HoldsBucket(self.holds_data(&bucket)),
            PeerRequest::StoreSettings(bucket, settings, version) => {
                let newer = version > self.parts.table.version(&bucket);
                match if newer { self.store(&[(bucket, settings, version)]) } else { Ok(()) } {
                    Ok(()) => PeerAnswer::SettingsStored,
                    Err(StoreError::Full { .. }) => PeerAnswer::Refused(Refusal::DiskFull),
                    Err(StoreError::Damaged(_) | StoreError::Failed(_)) => {
                        PeerAnswer::Refused(Refusal::Storage)
                    }
                }
            }
            PeerRequest::Replica(..) | PeerRequest::Forward(..) | PeerRequest::Scan { .. } => {
                PeerAnswer::Refused(Refusal::WrongRing)
            }
        };
        responder.respond(answer, self.parts.clock.borrow().read());
    }
}

impl Actor for BucketSettingsActor {
    type Context = Context<Self>;
}

impl Handler<SetBucket> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, request: SetBucket, _: &mut Self::Context) {
        self.set(request);
    }
}

impl Handler<PeerSettings> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, request: PeerSettings, _: &mut Self::Context) {
        self.serve(request);
    }
}

impl Handler<Answer> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, answer: Answer, _: &mut Self::Context) {
        self.answered(answer);
    }
}

impl Handler<FetchSettings> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, FetchSettings { bucket, from }: FetchSettings, _: &mut Self::Context) {
        self.send(&from, PeerRequest::FetchSettings(bucket), moment().plus_micros(PEER_TIMEOUT_US), 0);
    }
}

impl Handler<PeerEvent> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        // Whoever was away, this node or the peer, may have missed a change: each asks the other.
        if let PeerEvent::Up(peer) = event {
            self.send(&peer, PeerRequest::ListSettings, moment().plus_micros(PEER_TIMEOUT_US), 0);
        }
    }
}
