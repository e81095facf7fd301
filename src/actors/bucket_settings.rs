//! The bucket settings actor: drives [`SettingsKeeper`] on the control plane's connections and the disk.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::actors::clock::{ShardClock, moment};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{Answer, FetchSettings, ReplicaCommand};
use crate::actors::peer_lane::PeerLane;
use crate::actors::ring_membership::{PeerNews, RingTable, SharedGate};
use crate::actors::shell::hand_over;
use crate::protocol::bounds::ValueLimit;
use crate::protocol::bucket::BucketSettings;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::{BucketName, NodeId};
use crate::protocol::membership::PeerEvent;
use crate::protocol::message::{PeerRequest, Refusal};
use crate::protocol::settings::{
    BucketTable, NewBucket, SettingsEffect, SettingsHost, SettingsKeeper, SettingsReply, StoredSettings,
};
use crate::protocol::time::Hlc;
use crate::protocol::view::View;
use crate::storage::settings as records;
use crate::storage::{Change, Store, StoreError, Table};
use crate::transport::Responder;

/// How often those who have not told their settings are asked again.
const LOOK: Duration = Duration::from_millis(250);

/// All bucket settings: an immutable snapshot that every actor shares.
#[derive(Debug)]
pub struct SettingsTable {
    table: ArcSwap<BucketTable>,
    /// Members that have told all their settings to this run.
    heard: ArcSwap<BTreeSet<NodeId>>,
    /// Whether this node knows every setting that was ever answered for.
    settled: AtomicBool,
}

impl SettingsTable {
    /// What is stored, and `defaults` for buckets that were never set.
    pub fn load(store: &dyn Store, defaults: BucketSettings) -> Result<Self, StoreError> {
        let table = ArcSwap::from_pointee(BucketTable::new(defaults, records::load(store)?));
        Ok(Self { table, heard: ArcSwap::default(), settled: AtomicBool::new(false) })
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> arc_swap::Guard<Arc<BucketTable>> {
        self.table.load()
    }

    /// Whether a member has told all its settings to this run.
    #[must_use]
    pub fn has_heard(&self, member: &NodeId) -> bool {
        self.heard.load().contains(member)
    }

    /// Whether this node knows every setting that was ever answered for ([`SettingsKeeper::is_settled`]).
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }
}

/// A request to set a bucket's properties everywhere.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetBucket {
    /// What.
    pub new: NewBucket,
    /// The way back.
    pub reply: oneshot::Sender<SettingsReply>,
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
    /// What it shows.
    pub table: Arc<SettingsTable>,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Whether this node's identity is confirmed.
    pub gate: Arc<SharedGate>,
    /// Its connections.
    pub lane: Rc<PeerLane>,
    /// The control plane's clock.
    pub clock: Rc<RefCell<ShardClock>>,
    /// The replica stores, to be told of changes.
    pub replicas: Vec<Recipient<ReplicaCommand>>,
    /// The largest values that clients may write.
    pub values: ValueLimit,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
    /// Ends the process: after a failed sync nothing is certain about the disk any more.
    pub end_process: Rc<dyn Fn(&StoreError)>,
}

type Keeper = SettingsKeeper<oneshot::Sender<SettingsReply>>;
type Effects = Vec<SettingsEffect<oneshot::Sender<SettingsReply>>>;

/// Keeps bucket settings, and sees to it that every member has the newest.
pub struct BucketSettingsActor {
    parts: SettingsParts,
    keeper: Keeper,
}

/// The node, as the keeper needs it.
struct Host<'a>(&'a SettingsParts);

impl SettingsHost for Host<'_> {
    fn confirmed(&self) -> bool {
        self.0.gate.is_confirmed()
    }

    fn issue(&mut self) -> Result<Hlc, Refusal> {
        self.0.clock.borrow_mut().issue().map_err(|_| Refusal::Storage)
    }

    fn holds_data(&mut self, bucket: &BucketName) -> bool {
        let partitions = self.0.ring.current().partitions();
        crate::storage::keys::holds_bucket(&*self.0.store, partitions, bucket).unwrap_or(true)
    }

    fn store(&mut self, newer: &[StoredSettings]) -> Result<(), Refusal> {
        let changes = newer.iter().map(|(bucket, settings, version)| {
            let (key, value) = records::encode(bucket, settings, version);
            Change::Put { table: Table::Meta, key, value }
        });
        let stored = self.0.store.apply(changes.collect()).and_then(|()| {
            self.0.store.sync().inspect_err(|error| {
                (self.0.end_process)(error);
            })
        });
        stored.map_err(|error| {
            tracing::warn!("bucket settings could not be stored: {error}");
            error.refusal()
        })
    }
}

impl BucketSettingsActor {
    /// An actor with no change under way.
    #[must_use]
    pub fn new(parts: SettingsParts) -> Self {
        let table = BucketTable::clone(&parts.table.current());
        for (bucket, settings, _) in table.all() {
            if let Err(why) = parts.values.check(settings.quorum.n) {
                tracing::warn!(%bucket, "large values are refused in a bucket that was set before: {why}");
            }
        }
        let keeper = SettingsKeeper::new(table, parts.values);
        Self { parts, keeper }
    }

    /// Lets the keeper take a step, and carries out what comes of it.
    fn step<T>(&mut self, step: impl FnOnce(&mut Keeper, View<'_>, &mut Host<'_>, &mut Effects) -> T) -> T {
        let mut effects = Vec::new();
        let result = {
            let (ring, buckets) = (self.parts.ring.current(), self.parts.table.current());
            let view = View { me: &self.parts.me, ring: &ring, buckets: &buckets };
            step(&mut self.keeper, view, &mut Host(&self.parts), &mut effects)
        };
        for effect in effects {
            match effect {
                SettingsEffect::Send { to, request, deadline, tag } => {
                    self.parts.lane.ask(&to, *request, deadline, tag);
                }
                // A client that went away is no error.
                SettingsEffect::Reply { client, reply } => drop(client.send(reply)),
                SettingsEffect::Show => self.show(),
            }
        }
        result
    }

    fn show(&self) {
        let shared = &self.parts.table;
        shared.table.store(Arc::new(self.keeper.table().clone()));
        shared.heard.store(Arc::new(self.keeper.heard().clone()));
        let (ring, buckets) = (self.parts.ring.current(), shared.current());
        let view = View { me: &self.parts.me, ring: &ring, buckets: &buckets };
        shared.settled.store(self.keeper.is_settled(view), Ordering::Release);
        for replica in &self.parts.replicas {
            // Counted; a replica looks again on its own tick.
            let _ = hand_over(replica, ReplicaCommand::SettingsChanged, &self.parts.counters.mailbox_refused);
        }
    }
}

impl Actor for BucketSettingsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.show();
        ctx.run_interval(LOOK, |actor, _| {
            let lane = actor.parts.lane.clone();
            actor.step(|keeper, view, _, effects| {
                keeper.look(moment(), view, |peer| lane.is_up(peer), effects);
            });
        });
    }
}

impl Handler<SetBucket> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, SetBucket { new, reply }: SetBucket, _: &mut Self::Context) {
        self.step(|keeper, view, host, effects| keeper.set(view, new, reply, host, effects));
    }
}

impl Handler<PeerSettings> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, PeerSettings { request, responder }: PeerSettings, _: &mut Self::Context) {
        let answer = self.step(|keeper, _, host, effects| keeper.serve(request, host, effects));
        responder.respond(answer, self.parts.lane.now());
    }
}

impl Handler<Answer> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock, .. }: Answer, _: &mut Self::Context) {
        self.parts.lane.observe(clock);
        if let AnswerBody::Peer(answer) = answer {
            self.step(|keeper, view, host, effects| {
                keeper.answered(view, &from, tag, answer, host, effects);
            });
        }
    }
}

impl Handler<FetchSettings> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, FetchSettings { bucket, from }: FetchSettings, _: &mut Self::Context) {
        self.step(|keeper, _, _, effects| keeper.fetch(moment(), bucket, from, effects));
    }
}

impl Handler<PeerNews> for BucketSettingsActor {
    type Result = ();

    fn handle(&mut self, PeerNews(event): PeerNews, _: &mut Self::Context) {
        if let PeerEvent::Up(peer) = event {
            self.step(|keeper, _, _, effects| keeper.peer_up(moment(), peer, effects));
        }
    }
}
