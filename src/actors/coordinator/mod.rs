//! The coordinator actor: the table of operations in flight on one shard, and who carries out their effects.

mod plan;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::admission::Permit;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{moment, wall};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{
    Answer, AnswerBody, ClientAsk, ClientOperation, ReplicaAsk, ReplicaCommand, ReplyTo,
};
use crate::actors::replica_store::OwnClock;
use crate::actors::ring_membership::RingTable;
use crate::actors::shell::hand_over;
use crate::protocol::bucket::{BucketSettings, SettingsVersion};
use crate::protocol::coordinator::{Asked, ClientWrite, Effect, Input, ReadMachine, RepairWhen};
use crate::protocol::ids::{BucketName, Key, NodeId, OperationId, WriteId};
use crate::protocol::latency::Latency;
use crate::protocol::message::{
    Coordinate, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, RingStamp, Target,
};
use crate::protocol::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::protocol::time::{Moment, WallMicros};
use crate::transport::{Lane, Outgoing, Responder};

/// How many operations a shard's table holds, those whose client was answered and whose last homes are still
/// followed among them.
pub const OPERATIONS_MAX: usize = 65_536;

/// How often deadlines are looked at where no message makes the actor look anyway.
const TICK: Duration = Duration::from_millis(5);

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
    /// This shard's connections.
    pub lane: Rc<Lane>,
    /// How long late answers are followed after the client's deadline, in microseconds.
    pub follow_us: u64,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

enum Machine {
    Read(Box<ReadMachine>),
    Write(Box<ClientWrite>),
}

enum Client {
    Read(tokio::sync::oneshot::Sender<Result<ReadReply, OperationError>>),
    Write(tokio::sync::oneshot::Sender<Result<WriteReply, OperationError>>),
    Peer(Box<dyn Responder>),
}

/// What a write needs again when it is stamped or handed on.
struct WriteDetails {
    write: Write,
    write_id: WriteId,
    w: u8,
    settings: BucketSettings,
}

struct Operation {
    machine: Machine,
    client: Option<Client>,
    permit: Option<Permit>,
    bucket: BucketName,
    key: Key,
    version: SettingsVersion,
    details: Option<Box<WriteDetails>>,
    asked: Vec<(NodeId, Moment)>,
    wake: Moment,
    deadline: Moment,
}

/// Carries out the operations of one shard.
pub struct Coordinator {
    parts: CoordinatorParts,
    operations: HashMap<OperationId, Operation>,
    wakes: BTreeSet<(Moment, OperationId)>,
    next: u64,
    latencies: HashMap<NodeId, Latency>,
}

impl Coordinator {
    /// A coordinator with nothing in flight.
    #[must_use]
    pub fn new(parts: CoordinatorParts) -> Self {
        let operations = HashMap::new();
        Self { parts, operations, wakes: BTreeSet::new(), next: 0, latencies: HashMap::new() }
    }

    fn begin(&mut self, operation: ClientOperation) {
        let now = moment();
        let ClientOperation { ask, deadline, permit } = operation;
        if self.operations.len() >= OPERATIONS_MAX && !self.drop_a_follow_up() {
            self.parts.counters.operations_refused.add();
            return refuse(ask, OperationError::Overloaded);
        }
        match ask {
            ClientAsk::Read(read, reply) => match self.plan_read(&read, deadline) {
                Ok((plan, version)) => {
                    let machine = Machine::Read(Box::new(ReadMachine::new(plan)));
                    let Read { bucket, key, .. } = read;
                    self.insert(
                        now,
                        deadline,
                        Operation::new(
                            machine,
                            Client::Read(reply),
                            permit,
                            (bucket, key, version),
                            deadline,
                        ),
                    );
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            ClientAsk::Write(write, write_id, reply) => {
                self.begin_write(now, deadline, (write, write_id), Client::Write(reply), permit);
            }
            ClientAsk::Forwarded(write, write_id, responder) => {
                self.begin_write(now, deadline, (write, write_id), Client::Peer(responder), permit);
            }
        }
    }

    fn begin_write(
        &mut self,
        now: Moment,
        deadline: Moment,
        (write, write_id): (Write, WriteId),
        client: Client,
        permit: Option<Permit>,
    ) {
        let (settings, version) = self.parts.settings.get(&write.bucket);
        let forwarded = matches!(client, Client::Peer(_));
        match self.plan_write(&write, write_id, &settings, forwarded, deadline) {
            Ok((machine, w)) => {
                let place = (write.bucket.clone(), write.key.clone(), version);
                let machine = Machine::Write(Box::new(machine));
                let mut operation = Operation::new(machine, client, permit, place, deadline);
                operation.details = Some(Box::new(WriteDetails { write, write_id, w, settings }));
                self.insert(now, deadline, operation);
            }
            Err(error) => self.tell_writer(client, Err(error)),
        }
    }

    fn insert(&mut self, now: Moment, deadline: Moment, mut operation: Operation) {
        self.next += 1;
        let id = OperationId(self.next);
        let mut effects = Vec::new();
        match &mut operation.machine {
            Machine::Read(read) => read.start(now, &mut effects),
            Machine::Write(write) => write.start(now, &mut effects),
        }
        operation.wake = deadline;
        self.wakes.insert((deadline, id));
        self.operations.insert(id, operation);
        self.carry_out(now, id, effects);
    }

    /// Feeds one operation and carries out what comes of it.
    fn feed(&mut self, now: Moment, id: OperationId, step: impl FnOnce(&mut Machine, &mut Vec<Effect>)) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let mut effects = Vec::new();
        step(&mut operation.machine, &mut effects);
        self.carry_out(now, id, effects);
    }

    fn carry_out(&mut self, now: Moment, id: OperationId, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(now, id, effect);
        }
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let (finished, wake) = match &operation.machine {
            Machine::Read(read) => (read.finished(), read.wake_at()),
            Machine::Write(write) => (write.finished(), write.wake_at()),
        };
        if finished || wake != operation.wake {
            self.wakes.remove(&(operation.wake, id));
        }
        if finished {
            self.operations.remove(&id);
        } else if wake != operation.wake {
            operation.wake = wake;
            self.wakes.insert((wake, id));
        }
    }

    fn effect(&mut self, now: Moment, id: OperationId, effect: Effect) {
        match effect {
            Effect::Coordinate => self.coordinate(now, id),
            Effect::Fetch { to } => self.ask(now, id, to, Asked::Fetch, ReplicaRequest::Fetch),
            Effect::Apply { to, object, repair } => {
                match repair {
                    Some(RepairWhen::Blocking) => self.parts.counters.read_repairs_blocking.add(),
                    Some(RepairWhen::Async) => self.parts.counters.read_repairs_async.add(),
                    None => {}
                }
                self.ask(now, id, to, Asked::Apply, ReplicaRequest::Apply(object));
            }
            Effect::Forward { to } => self.forward(now, id, to),
            Effect::ReplyRead(result) => {
                if let Some(operation) = self.operations.get_mut(&id)
                    && let Some(Client::Read(reply)) = operation.client.take()
                {
                    // A client that went away is no error.
                    let _ = reply.send(result);
                    operation.permit = None;
                }
            }
            Effect::ReplyWrite(result) => {
                if let Some(client) =
                    self.operations.get_mut(&id).and_then(|operation| operation.client.take())
                {
                    self.tell_writer(client, *result);
                }
                if let Some(operation) = self.operations.get_mut(&id) {
                    operation.permit = None;
                }
            }
            Effect::Unfollowed(homes) => {
                if !homes.is_empty() {
                    self.parts.counters.writes_unfollowed.add();
                }
            }
        }
    }

    fn coordinate(&mut self, now: Moment, id: OperationId) {
        let Some(details) = self.operations.get(&id).and_then(|operation| operation.details.as_ref()) else {
            return;
        };
        let ttl_us = details.write.ttl_us.or(details.settings.ttl_us);
        let coordinate = Box::new(Coordinate {
            write: details.write.clone(),
            w: details.w,
            blind: details.settings.blind_write,
            write_id: details.write_id,
            expires_at: ttl_us.map(|ttl| WallMicros(wall().0.saturating_add(ttl))),
        });
        let command = ReplicaCommand::Coordinate { coordinate, tag: tag(id, Kind::Apply) };
        if hand_over(&self.parts.replica, command, &self.parts.counters.mailbox_refused).is_err() {
            let reply = Box::new(crate::protocol::message::CoordinateReply::Refused(Refusal::Overloaded));
            self.feed(now, id, |machine, effects| machine.handle(now, Input::Coordinated(reply), effects));
        }
    }

    fn ask(&mut self, now: Moment, id: OperationId, to: NodeId, asked: Asked, request: ReplicaRequest) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let target = Target {
            bucket: operation.bucket.clone(),
            key: operation.key.clone(),
            settings: operation.version.clone(),
        };
        let deadline = operation.deadline.max(now).plus_micros(self.parts.follow_us / 2);
        let kind = match asked {
            Asked::Fetch => Kind::Fetch,
            Asked::Apply => Kind::Apply,
        };
        if to != self.parts.me {
            operation.asked.push((to.clone(), now));
            return self.send(&to, PeerRequest::Replica(target, request), deadline, tag(id, kind));
        }
        let reply = ReplyTo::Coordinator { tag: tag(id, kind) };
        let command =
            ReplicaCommand::Ask(Box::new(ReplicaAsk { target, request, deadline, asker: None, reply }));
        if hand_over(&self.parts.replica, command, &self.parts.counters.mailbox_refused).is_err() {
            let input =
                Input::Replica { from: to, to: asked, reply: ReplicaReply::Refused(Refusal::Overloaded) };
            self.feed(now, id, |machine, effects| machine.handle(now, input, effects));
        }
    }

    fn forward(&mut self, now: Moment, id: OperationId, to: NodeId) {
        let Some(operation) = self.operations.get(&id) else { return };
        let Some(details) = &operation.details else { return };
        // The home must know the id too, so that a retry through another home finds it.
        let mut write = details.write.clone();
        write.w = Some(details.w);
        let request = PeerRequest::Forward(write, details.write_id, operation.version.clone());
        let deadline = operation.deadline.max(now);
        self.send(&to, request, deadline, tag(id, Kind::Forward));
    }

    fn send(&self, to: &NodeId, request: PeerRequest, deadline: Moment, tag: u64) {
        let clock = self.parts.clock.borrow().read();
        let ring = RingStamp { epoch: self.parts.ring.current().epoch() };
        self.parts.lane.send(to, Outgoing { request, deadline, clock, ring, trace: None, tag });
    }

    fn answered(&mut self, answer: Answer) {
        let now = moment();
        let Answer { from, tag, answer, clock } = answer;
        let (id, kind) = untag(tag);
        let skewed = clock.is_some_and(|clock| self.parts.clock.borrow_mut().observe(clock).is_err());
        if skewed {
            self.parts.counters.clock_skew_refused.add();
        }
        if matches!(answer, AnswerBody::Peer(_)) {
            self.note_latency(now, id, &from, &answer);
        }
        let asked = if kind == Kind::Fetch { Asked::Fetch } else { Asked::Apply };
        let input = match (answer, kind) {
            (AnswerBody::Coordinated(reply), _) => Input::Coordinated(reply),
            (AnswerBody::Own(reply), _) => Input::Replica { from, to: asked, reply },
            (AnswerBody::Peer(answer), Kind::Forward) => {
                let result = Box::new(match answer {
                    PeerAnswer::Forwarded(result) => Ok(*result),
                    PeerAnswer::Refused(refusal) => Err(refusal),
                    _ => Err(Refusal::NoAnswer),
                });
                Input::Forwarded { from, result }
            }
            (AnswerBody::Peer(answer), _) => {
                let reply = match answer {
                    PeerAnswer::Replica(reply) => reply,
                    PeerAnswer::Refused(refusal) => ReplicaReply::Refused(refusal),
                    _ => ReplicaReply::Refused(Refusal::NoAnswer),
                };
                Input::Replica { from, to: asked, reply }
            }
        };
        self.feed(now, id, |machine, effects| machine.handle(now, input, effects));
        self.look_at_deadlines(now);
    }

    fn note_latency(&mut self, now: Moment, id: OperationId, from: &NodeId, answer: &AnswerBody) {
        let answered = matches!(
            answer,
            AnswerBody::Peer(PeerAnswer::Replica(ReplicaReply::Fetched(_) | ReplicaReply::Applied { .. }))
        );
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let Some(at) = operation.asked.iter().position(|(node, _)| node == from) else { return };
        let (node, sent) = operation.asked.swap_remove(at);
        // Only reads are hedged; an acknowledgement waits for a sync and says little about them.
        if answered && matches!(operation.machine, Machine::Read(_)) {
            self.latencies.entry(node).or_default().observe(now.micros_since(sent));
        }
    }

    fn look_at_deadlines(&mut self, now: Moment) {
        while let Some(&(wake, id)) = self.wakes.first() {
            if wake > now {
                break;
            }
            let before = self.operations.len();
            let hedged = &self.parts.counters.clone().hedged_reads;
            self.feed(now, id, |machine, effects| {
                machine.tick(now, effects);
                // Time alone makes a read ask another home only because one is slow.
                hedged.add_many(
                    effects.iter().filter(|effect| matches!(effect, Effect::Fetch { .. })).count() as u64,
                );
            });
            let moved = self.wakes.first() != Some(&(wake, id));
            if !moved && self.operations.len() == before {
                // Nothing came of it: look again at the next tick rather than now.
                self.wakes.remove(&(wake, id));
                let later = now.plus_micros(1_000);
                if let Some(operation) = self.operations.get_mut(&id) {
                    operation.wake = later;
                    self.wakes.insert((later, id));
                }
            }
        }
    }

    /// Makes room by following one answered operation no longer. False if all are still owed an answer.
    fn drop_a_follow_up(&mut self) -> bool {
        let answered = self
            .wakes
            .iter()
            .find(|(_, id)| self.operations.get(id).is_some_and(|operation| operation.client.is_none()));
        let Some(&(wake, id)) = answered else { return false };
        self.wakes.remove(&(wake, id));
        self.operations.remove(&id);
        self.parts.counters.follow_ups_dropped.add();
        true
    }

    fn tell_writer(&self, client: Client, result: Result<WriteReply, OperationError>) {
        match client {
            Client::Write(reply) => drop(reply.send(result)),
            Client::Peer(responder) => {
                let clock = self.parts.clock.borrow().read();
                let answer = match result {
                    Err(OperationError::NotServing(refusal)) => PeerAnswer::Refused(refusal),
                    result => PeerAnswer::Forwarded(Box::new(result)),
                };
                responder.respond(answer, clock);
            }
            Client::Read(_) => {}
        }
    }
}

impl Operation {
    fn new(
        machine: Machine,
        client: Client,
        permit: Option<Permit>,
        (bucket, key, version): (BucketName, Key, SettingsVersion),
        deadline: Moment,
    ) -> Self {
        let (client, details, asked, wake) = (Some(client), None, Vec::new(), deadline);
        Self { machine, client, permit, bucket, key, version, details, asked, wake, deadline }
    }
}

impl Machine {
    fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.handle(now, input, effects),
            Self::Write(write) => write.handle(now, input, effects),
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.tick(now, effects),
            Self::Write(write) => write.tick(now, effects),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fetch = 0,
    Apply = 1,
    Forward = 2,
}

fn tag(id: OperationId, kind: Kind) -> u64 {
    id.0 * 4 + kind as u64
}

fn untag(tag: u64) -> (OperationId, Kind) {
    let kind = match tag % 4 {
        0 => Kind::Fetch,
        1 => Kind::Apply,
        _ => Kind::Forward,
    };
    (OperationId(tag / 4), kind)
}

/// Answers a client whose operation never began.
pub fn refuse(ask: ClientAsk, error: OperationError) {
    match ask {
        ClientAsk::Read(_, reply) => drop(reply.send(Err(error))),
        ClientAsk::Write(_, _, reply) => drop(reply.send(Err(error))),
        // Dropped unused, it answers that this node is overloaded.
        ClientAsk::Forwarded(_, _, responder) => drop(responder),
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |coordinator, _| coordinator.look_at_deadlines(moment()));
    }
}

impl Handler<ClientOperation> for Coordinator {
    type Result = ();

    fn handle(&mut self, operation: ClientOperation, _: &mut Self::Context) {
        self.begin(operation);
    }
}

impl Handler<Answer> for Coordinator {
    type Result = ();

    fn handle(&mut self, answer: Answer, _: &mut Self::Context) {
        self.answered(answer);
    }
}
