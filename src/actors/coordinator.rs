//! The coordinator actor: drives one shard's [`Coordinator`](core::Coordinator) and carries out its effects.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::admission::Permit;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{moment, wall};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{
    Answer, Client, ClientOperation, Damaged, FetchSettings, ReplicaCommand, ReplyTo,
};
use crate::actors::replica_store::OwnClock;
use crate::actors::ring_membership::RingTable;
use crate::actors::shell::hand_over;
use crate::actors::sli_recorder::{ObservationBuffer, ObservationSink};
use crate::protocol::coordinator as core;
use crate::protocol::coordinator::{
    AnswerBody, CoordinatorCount, CoordinatorEffect, CoordinatorSettings, FanOut, Surroundings,
};
use crate::protocol::ids::NodeId;
use crate::protocol::message::{CoordinateReply, PeerAnswer, PeerRequest, Refusal, ReplicaReply, RingStamp};
use crate::protocol::operation::{OperationError, WriteReply};
use crate::protocol::replica::ReplicaAsk;
use crate::protocol::sli::Observation;
use crate::protocol::staleness::{Sampling, Verdict};
use crate::protocol::time::Moment;
use crate::protocol::view::View;
use crate::transport::{Lane, Outgoing};

/// How often deadlines are looked at where no message makes the actor look anyway.
const TICK: Duration = Duration::from_millis(5);
/// How often the recorder is told what legs took.
const TELL_LEGS: Duration = Duration::from_millis(250);

/// What a coordinator is made of.
pub struct CoordinatorParts {
    /// This node.
    pub me: NodeId,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// The clock of this shard.
    pub clock: OwnClock,
    /// The replica store of this shard.
    pub replica: Recipient<ReplicaCommand>,
    /// Who fetches bucket settings.
    pub fetch_settings: Recipient<FetchSettings>,
    /// This shard's connections.
    pub lane: Rc<Lane>,
    /// How long late answers are followed after the client's deadline, in microseconds.
    pub follow_us: u64,
    /// Which reads get a verdict.
    pub probe: Sampling,
    /// Who is told what was observed.
    pub observations: Arc<ObservationSink>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// The way back to a client, and the permit that its operation holds until it is answered.
type Way = (Client, Option<Permit>);
type Effects = Vec<CoordinatorEffect<Way>>;

/// Carries out the operations of one shard.
pub struct Coordinator {
    parts: CoordinatorParts,
    core: core::Coordinator<Way>,
    effects: Effects,
    buffer: ObservationBuffer,
}

impl Coordinator {
    /// A coordinator with nothing in flight.
    #[must_use]
    pub fn new(parts: CoordinatorParts) -> Self {
        let settings =
            CoordinatorSettings { follow_us: parts.follow_us, fan_out: FanOut::R, probe: parts.probe };
        let core = core::Coordinator::new(settings);
        let buffer = ObservationBuffer::new(parts.observations.clone());
        Self { parts, core, effects: Vec::new(), buffer }
    }

    /// Lets the core take a step, and carries out what comes of it.
    fn step(&mut self, step: impl FnOnce(&mut core::Coordinator<Way>, Surroundings<'_>, &mut Effects)) {
        let mut effects = std::mem::take(&mut self.effects);
        {
            let (ring, buckets) = (self.parts.ring.current(), self.parts.settings.current());
            let around = Surroundings {
                view: View { me: &self.parts.me, ring: &ring, buckets: &buckets },
                now: moment(),
                clock: self.parts.clock.borrow().read(),
                wall: wall(),
                settled: self.parts.settings.is_settled(),
                is_up: &|peer| self.parts.lane.is_up(peer),
            };
            step(&mut self.core, around, &mut effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        // A step within a step has left a buffer of its own there; either will do.
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: CoordinatorEffect<Way>) {
        match effect {
            CoordinatorEffect::Coordinate { coordinate, tag } => {
                let command = ReplicaCommand::Coordinate { coordinate, tag };
                if self.tell_replica(command).is_err() {
                    let reply = Box::new(CoordinateReply::Refused(Refusal::Overloaded));
                    self.own_answer(tag, AnswerBody::Coordinated(reply));
                }
            }
            CoordinatorEffect::AskOwn { target, request, deadline, tag } => {
                let to = ReplyTo::Coordinator { tag };
                let ask = ReplicaAsk { target, request, deadline, asker: None, to };
                if self.tell_replica(ReplicaCommand::Ask(Box::new(ask))).is_err() {
                    self.own_answer(tag, AnswerBody::Own(ReplicaReply::Refused(Refusal::Overloaded)));
                }
            }
            CoordinatorEffect::HealOwn { bucket, key, merged, tag } => {
                let merged = Box::new(merged);
                if self.tell_replica(ReplicaCommand::Heal { bucket, key, merged, tag }).is_err() {
                    self.own_answer(tag, AnswerBody::Own(ReplicaReply::Refused(Refusal::Overloaded)));
                }
            }
            CoordinatorEffect::Send { to, request, deadline, tag } => self.send(&to, request, deadline, tag),
            CoordinatorEffect::FetchSettings { bucket, from } => {
                let fetch = FetchSettings { bucket, from };
                // Counted; whoever needs them asks again.
                let _ = hand_over(&self.parts.fetch_settings, fetch, &self.parts.counters.mailbox_refused);
            }
            CoordinatorEffect::AnswerRead { client: (Client::Read(reply), _), result } => {
                // A client that went away is no error.
                let _ = reply.send(result);
            }
            CoordinatorEffect::AnswerWrite { client: (client, _), result } => {
                self.tell_writer(client, *result);
            }
            // A reader's way back is that of a reader.
            CoordinatorEffect::AnswerRead { .. } => {}
            CoordinatorEffect::Judged(read) => self.verdict(read.judgement.verdict).add(),
            CoordinatorEffect::Converged(_) | CoordinatorEffect::Observed(_) => {}
            CoordinatorEffect::Count(count, times) => self.counter(count).add_many(times),
        }
    }

    fn tell_replica(&self, command: ReplicaCommand) -> Result<(), ReplicaCommand> {
        hand_over(&self.parts.replica, command, &self.parts.counters.mailbox_refused)
    }

    fn own_answer(&mut self, tag: u64, answer: AnswerBody) {
        let me = self.parts.me.clone();
        self.step(|core, around, effects| core.answered(around, me, tag, answer, effects));
    }

    fn send(&self, to: &NodeId, request: PeerRequest, deadline: Moment, tag: u64) {
        let clock = self.parts.clock.borrow().read();
        let ring = RingStamp { epoch: self.parts.ring.current().epoch() };
        self.parts.lane.send(to, Outgoing { request, deadline, clock, ring, trace: None, tag });
    }

    fn tell_writer(&self, client: Client, result: Result<WriteReply, OperationError>) {
        match client {
            Client::Write(reply) => drop(reply.send(result)),
            Client::Peer(responder) => {
                let clock = self.parts.clock.borrow().read();
                let answer = match result {
                    Err(OperationError::NotServing(refusal)) => PeerAnswer::Refused(refusal),
                    Err(OperationError::Overloaded) => PeerAnswer::Refused(Refusal::Overloaded),
                    result => PeerAnswer::Forwarded(Box::new(result)),
                };
                responder.respond(answer, clock);
            }
            Client::Read(_) => {}
        }
    }

    fn verdict(&self, verdict: Verdict) -> &crate::telemetry::Counter {
        let counters = &self.parts.counters;
        match verdict {
            Verdict::Stale => &counters.reads_stale,
            Verdict::Suspect => &counters.reads_suspect,
            Verdict::Behind => &counters.reads_behind,
            Verdict::Fresh { .. } => &counters.reads_fresh,
            Verdict::Unknown(_) => &counters.reads_unknown,
        }
    }

    fn counter(&self, count: CoordinatorCount) -> &crate::telemetry::Counter {
        let counters = &self.parts.counters;
        match count {
            CoordinatorCount::OperationsRefused => &counters.operations_refused,
            CoordinatorCount::FollowUpsDropped => &counters.follow_ups_dropped,
            CoordinatorCount::WritesUnfollowed => &counters.writes_unfollowed,
            CoordinatorCount::ReadRepairsBlocking => &counters.read_repairs_blocking,
            CoordinatorCount::ReadRepairsAsync => &counters.read_repairs_async,
            CoordinatorCount::HedgedReads => &counters.hedged_reads,
        }
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |coordinator, _| {
            coordinator.step(core::Coordinator::tick);
        });
        ctx.run_interval(TELL_LEGS, |coordinator, _| {
            if let Some(legs) = coordinator.core.take_legs() {
                coordinator.buffer.push(Observation::Legs(legs));
                coordinator.buffer.flush();
            }
        });
    }
}

impl Handler<ClientOperation> for Coordinator {
    type Result = ();

    fn handle(&mut self, operation: ClientOperation, _: &mut Self::Context) {
        let ClientOperation { ask, client, deadline, permit } = operation;
        self.step(|core, around, effects| core.begin(around, ask, (client, permit), deadline, effects));
    }
}

impl Handler<Damaged> for Coordinator {
    type Result = ();

    fn handle(&mut self, Damaged { bucket, key }: Damaged, _: &mut Self::Context) {
        self.step(|core, around, effects| core.heal(around, bucket, key, effects));
    }
}

impl Handler<Answer> for Coordinator {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock }: Answer, _: &mut Self::Context) {
        let skewed = clock.is_some_and(|clock| self.parts.clock.borrow_mut().observe(clock).is_err());
        if skewed {
            self.parts.counters.clock_skew_refused.add();
        }
        self.step(|core, around, effects| {
            core.answered(around, from, tag, answer, effects);
            core.tick(around, effects);
        });
    }
}
