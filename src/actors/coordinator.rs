//! The coordinator actor: drives one shard's [`Coordinator`](core::Coordinator) and carries out its effects.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::admission::Permit;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{Now, moment};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{
    Answer, Client, ClientOperation, ClientOperations, Damaged, FetchSettings, ReplicaCommand, ReplyTo,
};
use crate::actors::replica_store::OwnClock;
use crate::actors::ring_membership::RingTable;
use crate::actors::shell::hand_over;
use crate::actors::sli_recorder::ObservationBuffer;
use crate::actors::traces::{Traces, error_of};
use crate::protocol::bounds::MessageBounds;
use crate::protocol::coordinator as core;
use crate::protocol::coordinator::{
    AnswerBody, CoordinatorCount, CoordinatorEffect, CoordinatorSettings, FanOut, Surroundings, TrackLimits,
};
use crate::protocol::ids::{NodeId, OperationId};
use crate::protocol::message::{
    CoordinateReply, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, RingStamp, Via,
};
use crate::protocol::operation::{OperationError, WriteReply};
use crate::protocol::replica::ReplicaAsk;
use crate::protocol::sli::{DwellObserved, Observation, UnconvergedObserved};
use crate::protocol::staleness::{Sampling, UnjudgedLimits, Verdict};
use crate::protocol::time::Moment;
use crate::protocol::view::View;
use crate::telemetry::Tracing;
use crate::transport::{Lane, Outgoing};

/// How often deadlines are looked at where no message makes the actor look anyway.
const TICK: Duration = Duration::from_millis(5);

/// How often the recorder is told how the writes stand that some home lacks, in microseconds.
const TELL_EVERY_US: u64 = 200_000;

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
    /// Where traces go.
    pub tracing: Tracing,
    /// The objective on the staleness age, in microseconds.
    pub age_objective_us: u64,
    /// Who is told what is observed.
    pub observations: ObservationBuffer,
    /// Which shard this is.
    pub shard: u16,
    /// Shards of this node.
    pub shards: usize,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// The way back to a client, the permit that its operation holds until it is answered, and the operation.
type Way = (Client, Permit, OperationId);
type Effects = Vec<CoordinatorEffect<Way>>;

/// Carries out the operations of one shard.
pub struct Coordinator {
    parts: CoordinatorParts,
    core: core::Coordinator<Way>,
    traces: Traces,
    /// When it was last told how the writes stand that some home lacks.
    told: Moment,
    /// How long operations waited for their turn since then.
    dwell: DwellObserved,
    effects: Effects,
}

impl Coordinator {
    /// A coordinator with nothing in flight.
    #[must_use]
    pub fn new(parts: CoordinatorParts) -> Self {
        let settings = CoordinatorSettings {
            follow_us: parts.follow_us,
            fan_out: FanOut::R,
            probe: parts.probe,
            track: TrackLimits::default(),
            unjudged: UnjudgedLimits::of_shard(parts.shards),
            messages: MessageBounds::default(),
        };
        let core = core::Coordinator::new(settings);
        let traces = Traces::new(&parts.tracing, parts.age_objective_us);
        Self { parts, core, traces, told: Moment(0), dwell: DwellObserved::default(), effects: Vec::new() }
    }

    /// A step begins now.
    fn look(&mut self) -> Now {
        let now = Now::look();
        self.traces.at(now);
        now
    }

    /// Lets the core take a step, and carries out what comes of it.
    fn step(&mut self, step: impl FnOnce(&mut core::Coordinator<Way>, Surroundings<'_>, &mut Effects)) {
        let now = self.look();
        self.step_at(now, step);
    }

    /// The same at a moment that was looked at already.
    fn step_at(
        &mut self,
        now: Now,
        step: impl FnOnce(&mut core::Coordinator<Way>, Surroundings<'_>, &mut Effects),
    ) {
        let mut effects = std::mem::take(&mut self.effects);
        {
            let (ring, buckets) = (self.parts.ring.current(), self.parts.settings.current());
            let around = Surroundings {
                view: View { me: &self.parts.me, ring: &ring, buckets: &buckets },
                now: now.moment,
                clock: self.parts.clock.borrow().read(),
                wall: now.wall,
                settled: self.parts.settings.is_settled(),
                is_up: &|peer| self.parts.lane.is_up(peer),
                is_down: &|peer| self.parts.lane.is_down(peer),
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
            CoordinatorEffect::Coordinate { mut coordinate, tag } => {
                coordinate.trace = self.traces.asked(tag, &self.parts.me, false);
                let command = ReplicaCommand::Coordinate { coordinate, tag };
                if self.tell_replica(command).is_err() {
                    let reply = Box::new(CoordinateReply::Refused(Refusal::Overloaded));
                    self.own_answer(tag, AnswerBody::Coordinated(reply));
                }
            }
            CoordinatorEffect::AskOwn { target, request, deadline, tag } => {
                self.traces.asked(tag, &self.parts.me, repairs(&request));
                let to = ReplyTo::Coordinator { tag };
                let ask = ReplicaAsk { target, request, deadline, asker: None, trace: None, to };
                if self.tell_replica(ReplicaCommand::Ask(Box::new(ask))).is_err() {
                    self.own_answer(tag, AnswerBody::Own(ReplicaReply::Refused(Refusal::Overloaded)));
                }
            }
            CoordinatorEffect::HealOwn { bucket, key, gathered, tag } => {
                let gathered = Box::new(gathered);
                if self.tell_replica(ReplicaCommand::Heal { bucket, key, gathered, tag }).is_err() {
                    self.own_answer(tag, AnswerBody::Own(ReplicaReply::Refused(Refusal::Overloaded)));
                }
            }
            CoordinatorEffect::Send { to, request, deadline, tag } => self.send(&to, request, deadline, tag),
            CoordinatorEffect::FetchSettings { bucket, from } => {
                let fetch = FetchSettings { bucket, from };
                // Counted; whoever needs them asks again.
                let _ = hand_over(&self.parts.fetch_settings, fetch, &self.parts.counters.mailbox_refused);
            }
            CoordinatorEffect::AnswerRead { client: (client, permit, id), result } => {
                self.traces.read(id, &result);
                if let Client::Read(reply) = client {
                    // A client that went away is no error.
                    let _ = reply.send(result);
                }
                permit.answered();
            }
            CoordinatorEffect::AnswerWrite { client: (client, permit, id), result } => {
                self.traces.write(id, &result);
                self.tell_writer(client, *result);
                permit.answered();
            }
            CoordinatorEffect::Judged(read) => {
                self.verdict(read.judgement.verdict).add();
                self.parts.observations.push(Observation::Verdict(read.observed()));
                let missed = read.judgement.newest_lacked();
                let writer = missed.and_then(|missed| self.core.writer(missed.dot.actor)).cloned();
                self.traces.judged(read, writer);
            }
            CoordinatorEffect::JudgedLate(late) => {
                self.parts.observations.push(Observation::LateVerdict(late.observed()));
            }
            CoordinatorEffect::Converged(write) => {
                self.traces.converged(&write);
                self.parts.observations.push(Observation::Converged(write.observed()));
            }
            CoordinatorEffect::Observed(observation) => self.parts.observations.push(observation),
            CoordinatorEffect::Over { id, followed } => self.traces.over(id, followed),
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

    fn send(&mut self, to: &NodeId, request: PeerRequest, deadline: Moment, tag: u64) {
        let repair = matches!(&request, PeerRequest::Replica(_, request) if repairs(request));
        let trace = self.traces.asked(tag, to, repair).map(|trace| trace.to_string());
        let clock = self.parts.clock.borrow().read();
        let ring = RingStamp { epoch: self.parts.ring.current().epoch() };
        // A verdict rests on what a home remembers, not on how soon it is asked.
        let patient = matches!(&request, PeerRequest::Replica(_, ReplicaRequest::Probe));
        self.parts.lane.send(to, Outgoing { request, deadline, clock, ring, trace, tag, patient });
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
            CoordinatorCount::ReadRepairsPutOff => &counters.read_repairs_put_off,
            CoordinatorCount::HedgedReads => &counters.hedged_reads,
            CoordinatorCount::ReadsJudgedLate => &counters.reads_judged_late,
            CoordinatorCount::ReadsNeverJudged => &counters.reads_never_judged,
        }
    }
}

impl Coordinator {
    /// Tells the recorder what was observed, and now and then how the followed writes stand.
    fn tell(&mut self) {
        let now = moment();
        if now.micros_since(self.told) >= TELL_EVERY_US {
            self.told = now;
            let unconverged = UnconvergedObserved { shard: self.parts.shard, ..self.core.unconverged(now) };
            self.parts.observations.push(Observation::Unconverged(unconverged));
            self.parts.observations.push(Observation::Clocks(self.core.clock_offsets()));
            if let Some(legs) = self.core.take_legs() {
                self.parts.observations.push(Observation::Legs(legs));
            }
            if !self.dwell.is_empty() {
                let dwell = Box::new(std::mem::take(&mut self.dwell));
                self.parts.observations.push(Observation::Dwell(dwell));
            }
        }
        self.parts.observations.flush();
    }
}

/// Whether a home is brought up to date that a read found behind.
fn repairs(request: &ReplicaRequest) -> bool {
    matches!(request, ReplicaRequest::Apply(_, Via::ReadRepair))
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |coordinator, _| {
            coordinator.step(core::Coordinator::tick);
            coordinator.tell();
        });
    }
}

impl Handler<ClientOperations> for Coordinator {
    type Result = ();

    fn handle(&mut self, ClientOperations(operations): ClientOperations, _: &mut Self::Context) {
        for (operation, waited_us) in operations {
            self.dwell.record(operation.permit.class(), waited_us);
            self.begin(operation);
        }
    }
}

impl Coordinator {
    fn begin(&mut self, operation: ClientOperation) {
        let ClientOperation { ask, client, deadline, permit, trace } = operation;
        let (now, id) = (self.look(), self.core.next_id());
        if let Some(trace) = trace {
            self.traces.begin(id, trace, &ask);
        }
        self.step_at(now, |core, around, effects| {
            core.begin(around, ask, (client, permit, id), deadline, effects)
        });
        if self.core.next_id() == id {
            // It was refused before it began.
            self.traces.over(id, false);
        }
    }
}

impl Handler<Damaged> for Coordinator {
    type Result = ();

    fn handle(&mut self, Damaged { bucket, key, readable }: Damaged, _: &mut Self::Context) {
        self.step(|core, around, effects| {
            if readable {
                core.fill(around, bucket, key, effects);
            } else {
                core.heal(around, bucket, key, effects);
            }
        });
    }
}

impl Handler<Answer> for Coordinator {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock, left }: Answer, _: &mut Self::Context) {
        let skewed = clock.is_some_and(|clock| self.parts.clock.borrow_mut().observe(clock).is_err());
        if skewed {
            self.parts.counters.clock_skew_refused.add();
        }
        // What was stamped is not durable yet; the acknowledgement follows.
        let stamped = matches!(&answer, AnswerBody::Coordinated(reply) if matches!(**reply, CoordinateReply::Stamped { .. }));
        let now = self.look();
        if !stamped {
            self.traces.answered(tag, &from, error_of(&answer));
        }
        self.step_at(now, |core, around, effects| {
            if let Some(left) = left {
                core.left(&from, tag, left);
            }
            core.answered(around, from, tag, answer, effects);
            core.tick(around, effects);
        });
    }
}
