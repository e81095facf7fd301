//! The backfill actor: drives the node's [`Backfill`](core::Backfill) over a lane of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::moment;
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::large_objects;
use crate::actors::messages::{Answer, Backfilled, Damaged, ReplicaCommand, ReplyTo};
use crate::actors::peer_lane::PeerLane;
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{PeerNews, RingTable, SharedGate};
use crate::actors::shell::hand_over;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::NodeId;
use crate::protocol::membership as core;
use crate::protocol::membership::{BackfillEffect, Holding, PeerEvent};
use crate::protocol::message::{Refusal, ReplicaReply, ReplicaRequest, Target, Via};
use crate::protocol::replica::ReplicaAsk;
use crate::protocol::view::View;

/// How often it is looked whether a peer can be pulled from.
const LOOK: Duration = Duration::from_millis(250);

/// What the actor is made of.
pub struct BackfillParts {
    /// This node.
    pub me: NodeId,
    /// What the directory holds.
    pub holding: Holding,
    /// Whether this node's identity is confirmed.
    pub gate: Arc<SharedGate>,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// What it shows.
    pub completeness: Arc<CompletenessTable>,
    /// Its connections.
    pub lane: PeerLane,
    /// The replica stores.
    pub shards: Arc<Shards>,
    /// Makes it durable what the directory holds.
    pub mark: Rc<dyn Fn(Holding)>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

type Effects = Vec<BackfillEffect>;

/// Decides whether the directory may lack writes, and pulls them.
pub struct Backfill {
    parts: BackfillParts,
    core: core::Backfill,
}

impl Backfill {
    /// An actor that has heard of nobody yet.
    #[must_use]
    pub fn new(parts: BackfillParts) -> Self {
        let core = core::Backfill::new(parts.ring.current().partitions(), parts.holding);
        Self { parts, core }
    }

    /// Lets the core take a step, and carries out what comes of it.
    fn step(&mut self, step: impl FnOnce(&mut core::Backfill, View<'_>, &PeerLane, &mut Effects)) {
        let mut effects = Vec::new();
        {
            let (ring, buckets) = (self.parts.ring.current(), self.parts.settings.current());
            let view = View { me: &self.parts.me, ring: &ring, buckets: &buckets };
            step(&mut self.core, view, &self.parts.lane, &mut effects);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: BackfillEffect) {
        match effect {
            BackfillEffect::Ask { peer, request, deadline } => {
                self.parts.lane.ask(&peer, request, deadline, 0);
            }
            BackfillEffect::Apply { peer, bucket, key, object, deadline } => {
                let settings = self.parts.settings.current().version(&bucket).clone();
                let target = Target { bucket, key, settings };
                let ring = self.parts.ring.current();
                let shard = self.parts.shards.of(&ring, &target.bucket, &target.key);
                let to = ReplyTo::Backfill { peer: peer.clone() };
                let request = ReplicaRequest::Apply(object, Via::Transfer);
                let ask = ReplicaAsk { target, request, deadline, asker: None, trace: None, to };
                let command = ReplicaCommand::Ask(Box::new(ask));
                if hand_over(&shard.replica, command, &self.parts.counters.mailbox_refused).is_err() {
                    drop(ring);
                    let reply = ReplicaReply::Refused(Refusal::Overloaded);
                    self.step(|core, view, _, effects| core.applied(moment(), view, peer, &reply, effects));
                }
            }
            BackfillEffect::LeaveOut { peer, left_out } => {
                large_objects::is_left_out(&self.parts.counters, &peer, &left_out);
                let ring = self.parts.ring.current();
                let shard = self.parts.shards.of(&ring, &left_out.bucket, &left_out.key);
                let (left_out, to) = (Box::new(left_out), ReplyTo::Backfill { peer: peer.clone() });
                let command = ReplicaCommand::LeaveOut { left_out, to };
                if hand_over(&shard.replica, command, &self.parts.counters.mailbox_refused).is_err() {
                    drop(ring);
                    let reply = ReplicaReply::Refused(Refusal::Overloaded);
                    self.step(|core, view, _, effects| core.applied(moment(), view, peer, &reply, effects));
                }
            }
            BackfillEffect::Show => self.parts.completeness.show(self.core.completeness().clone()),
            BackfillEffect::Mark(holding) => {
                (self.parts.mark)(holding);
                if matches!(holding, Holding::Complete(_)) {
                    tracing::info!(
                        "this node has all that it should: it answers reads of all its partitions"
                    );
                }
            }
            BackfillEffect::NotKnownAsFirst { by, another: true } => {
                tracing::warn!(%by, "a peer remembers another data directory of this node: pulling what it held");
            }
            BackfillEffect::NotKnownAsFirst { by, another: false } => {
                tracing::info!(
                    %by,
                    "a peer with a new disk cannot know whether this node had another data directory: pulling what \
                     it would have held"
                );
            }
            BackfillEffect::Ended { peer, result: Ok(worth) } => {
                tracing::info!(%peer, ?worth, "pulled all that this node should have from a peer");
            }
            BackfillEffect::Ended { peer, result: Err(refusal) } => {
                tracing::info!(%peer, %refusal, "pulling from a peer was broken off");
            }
        }
    }

    fn look(&mut self) {
        let (gate, settings) = (self.parts.gate.clone(), self.parts.settings.clone());
        self.step(|core, view, lane, effects| {
            let is_up = |peer: &NodeId| lane.is_up(peer);
            let can_pull = |peer: &NodeId| gate.is_confirmed() && is_up(peer) && settings.has_heard(peer);
            core.look(moment(), view, settings.is_settled(), (is_up, can_pull), effects);
        });
    }
}

impl Actor for Backfill {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.parts.completeness.show(self.core.completeness().clone());
        ctx.run_interval(LOOK, |backfill, _| backfill.look());
    }
}

impl Handler<PeerNews> for Backfill {
    type Result = ();

    fn handle(&mut self, PeerNews(event): PeerNews, _: &mut Self::Context) {
        match event {
            PeerEvent::Up(peer) => self.step(|core, _, _, effects| core.peer_up(moment(), peer, effects)),
            PeerEvent::Down(_) => {}
        }
    }
}

impl Handler<Answer> for Backfill {
    type Result = ();

    fn handle(&mut self, Answer { from, answer, clock, .. }: Answer, _: &mut Self::Context) {
        self.parts.lane.observe(clock);
        if let AnswerBody::Peer(answer) = answer {
            self.step(|core, view, _, effects| core.answered(moment(), view, from, answer, effects));
        }
    }
}

impl Handler<Damaged> for Backfill {
    type Result = ();

    fn handle(&mut self, _: Damaged, _: &mut Self::Context) {
        self.core.damaged();
    }
}

impl Handler<Backfilled> for Backfill {
    type Result = ();

    fn handle(&mut self, Backfilled { peer, reply }: Backfilled, _: &mut Self::Context) {
        self.step(|core, view, _, effects| core.applied(moment(), view, peer, &reply, effects));
    }
}
