//! The clients of the workload: what they ask, what they are told, and whether it may be so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::checkers::causality::shown;

use super::checkers::overlap::{self, Acknowledged};
use super::checkers::{durability, endings};
use super::network::NodeIndex;
use super::process::Client;
use super::queue::{MICROS, Time};
use super::random::Random;
use super::truth::{KeyIndex, NEVER};
use super::verdicts::ReadPlace;
use super::workload::{Operation, Step};
use super::world::{Event, World};
use neap_protocol::bounds::Overfull;
use neap_protocol::bucket::BucketSettings;
use neap_protocol::causality::{CausalContext, Object};
use neap_protocol::coordinator::Ask;
use neap_protocol::ids::WriteId;
use neap_protocol::operation::{OperationError, Read, ReadReply, Write, WriteBody, WriteReply};
use neap_protocol::settings::{NewBucket, SettingsReply};

/// An operation in flight.
#[derive(Debug)]
struct InFlight {
    client: u32,
    key: KeyIndex,
    node: NodeIndex,
    run: u64,
    began: Time,
    /// How long its node had stood still by then.
    stood_still: Time,
    /// Of a read, where its node has begun it.
    place: Option<ReadPlace>,
    what: What,
}

#[derive(Debug)]
enum What {
    Read { r: u8, as_is: bool, acked: Vec<Acknowledged> },
    Write(Box<Write>),
    Settings,
}

/// What the clients did, counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Reads that were answered.
    pub reads: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Changes of settings that succeeded.
    pub settings: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<&'static str, u64>,
    /// Reads that lacked a version that W homes had when they began.
    pub stale: u64,
    /// For how long what they returned had been superseded, in nanoseconds.
    pub exposures: Vec<Time>,
    /// How much older what they returned was than the newest version that they missed, by write times, in nanoseconds;
    /// never less than the exposure.
    pub ages: Vec<Time>,
    /// What the coordinators said of reads, by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// What they said later of reads whose verdict had been unknown.
    pub late_verdicts: BTreeMap<&'static str, u64>,
    /// What the coordinators said beside what was true.
    pub compared: Compared,
    /// How long reads took, in nanoseconds.
    pub read_took: Vec<Time>,
    /// How long writes took, in nanoseconds.
    pub write_took: Vec<Time>,
}

/// What was said beside what was true: of reads with a verdict other than unknown, and of writes that reached all homes.
/// Left out is what no node can know: what homes lost again, and what clocks measured that did not keep their rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Reads.
    pub reads: u64,
    /// Those that were called stale.
    pub stale: u64,
    /// Those that were called suspect.
    pub suspect: u64,
    /// Those that were stale.
    pub truly_stale: u64,
    /// Of those that were called so, those of whose exposure no more than a bound is known.
    pub bounded_reads: u64,
    /// Of the others that were called so, the exposure, as it was and as it was said to be, in nanoseconds.
    pub exposures: Vec<(Time, Time)>,
    /// The same of their ages.
    pub ages: Vec<(Time, Time)>,
    /// Writes of whose convergence no more than a bound is known.
    pub bounded: u64,
    /// The same of the convergence of the other writes.
    pub convergence: Vec<(Time, Time)>,
}

/// The clients.
#[derive(Debug)]
pub struct Clients {
    in_flight: BTreeMap<u64, InFlight>,
    next: u64,
    random: Random,
    /// What each client last saw of each key.
    contexts: HashMap<(u32, KeyIndex), CausalContext>,
    /// The last write of each client to each key.
    last: HashMap<(u32, KeyIndex), Write>,
    /// Keys that the inspector has read.
    pub inspected: BTreeSet<KeyIndex>,
    /// What they did.
    pub tally: Tally,
}

/// The client that looks at everything in the end. What it sees is no part of what the workload saw.
pub const INSPECTOR: u32 = u32::MAX;

/// The client whose values are too large for objects that are bounded.
pub const LARGE_WRITER: u32 = INSPECTOR - 1;

impl Clients {
    /// Clients that have done nothing yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            in_flight: BTreeMap::new(),
            next: 0,
            random: Random::new(seed, "clients"),
            contexts: HashMap::new(),
            last: HashMap::new(),
            inspected: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// How many operations are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

impl World {
    /// Sets the buckets to what they are in this world.
    pub fn set_buckets(&mut self) {
        for (index, bucket) in self.buckets.clone().into_iter().enumerate().skip(1) {
            let key = KeyIndex::try_from(index).unwrap_or(0) * self.settings.keys;
            self.set_bucket(0, 0, key, bucket.settings);
        }
        self.carry_out_tasks();
    }

    fn set_bucket(&mut self, client: u32, node: NodeIndex, key: KeyIndex, settings: BucketSettings) {
        let Some(bucket) = self.names.bucket_of(key).cloned() else { return };
        let operation = self.operation(client, key, node, What::Settings);
        let timeout_us = self.settings.timeout_us;
        let reached = self.settings(node, |keeper, now, view, host, effects| {
            let new = NewBucket { bucket, settings, deadline: now.plus_micros(timeout_us) };
            keeper.set(view, new, operation, host, effects);
        });
        if reached.is_none() {
            self.fail(operation, "no_connection");
        }
    }

    fn operation(&mut self, client: u32, key: KeyIndex, node: NodeIndex, what: What) -> u64 {
        let (run, stood_still) = self.nodes.get(node).map_or((0, 0), |node| (node.run, node.stood_still));
        let began = self.now;
        self.clients.next += 1;
        let operation = InFlight { client, key, node, run, began, stood_still, place: None, what };
        self.clients.in_flight.insert(self.clients.next, operation);
        self.clients.next
    }

    /// A step of the workload.
    pub(super) fn step(&mut self, step: Step) {
        let count = self.names.nodes().len();
        let asked = (0..count).map(|next| (step.node as usize + next) % count);
        let up = asked.into_iter().find(|node| self.nodes.get(*node).is_some_and(|n| n.process.is_some()));
        let Some(node) = up else {
            *self.clients.tally.failed.entry("no_node").or_default() += 1;
            return;
        };
        self.ask(step, node);
    }

    /// Has a client ask `node`.
    pub fn ask(&mut self, step: Step, node: NodeIndex) {
        let Step { client, key, operation, .. } = step;
        match operation {
            Operation::Settings { r, w, w_min } => {
                let Some(bucket) = self.buckets.get(self.names.bucket_index(key)) else { return };
                let mut settings = bucket.settings.clone();
                (settings.quorum.r, settings.quorum.w, settings.w_min) = (r, w, w_min);
                self.set_bucket(client, node, key, settings);
            }
            Operation::Get { r, as_is } => {
                let acked = overlap::acknowledged_before(&self.truth, key);
                // What the bucket asks for is known once the read is answered.
                let what = What::Read { r: r.unwrap_or(0), as_is, acked };
                let operation = self.operation(client, key, node, what);
                self.queue.push(self.now, Event::Submit(node, operation));
            }
            Operation::Put { .. } | Operation::Delete { .. } | Operation::Retry => {
                let Some(write) = self.write_of(client, key, operation) else { return };
                self.clients.last.insert((client, key), write.clone());
                let operation = self.operation(client, key, node, What::Write(Box::new(write)));
                self.queue.push(self.now, Event::Submit(node, operation));
            }
        }
    }

    fn write_of(&mut self, client: u32, key: KeyIndex, operation: Operation) -> Option<Write> {
        let (context, named, absent, w, deletes) = match operation {
            Operation::Put { context, named, absent, w } => (context, named, absent, w, false),
            Operation::Delete { context, named } => (context, named, false, None, true),
            Operation::Retry => return self.clients.last.get(&(client, key)).cloned(),
            Operation::Get { .. } | Operation::Settings { .. } => return None,
        };
        let context = context.then(|| self.clients.contexts.get(&(client, key)).cloned()).flatten();
        let body = if deletes {
            WriteBody::Delete
        } else {
            let mut bytes = self.clients.next.to_be_bytes().to_vec();
            let sizes = self.settings.sizes;
            let every_second = self.clients.next.is_multiple_of(2);
            let length = match client {
                LARGE_WRITER => Some(sizes.outgrown_value_bytes),
                INSPECTOR => None,
                _ => sizes.large_value_bytes.filter(|_| every_second),
            };
            bytes.resize(length.unwrap_or(self.settings.value_bytes).max(8), 0);
            WriteBody::Put { content_type: None, bytes: Bytes::from(bytes) }
        };
        Some(Write {
            bucket: self.names.bucket_of(key)?.clone(),
            key: self.names.key(key),
            body,
            context,
            write_id: named.then(|| WriteId(self.clients.random.wide())),
            w,
            ttl_us: None,
            only_if_absent: absent,
        })
    }

    /// A node gets an operation.
    pub(super) fn submit(&mut self, node: NodeIndex, operation: u64) {
        let Some(in_flight) = self.clients.in_flight.get_mut(&operation) else { return };
        let key = in_flight.key;
        let ask = match &in_flight.what {
            What::Read { r, as_is, .. } => {
                let Some(bucket) = self.names.bucket_of(key).cloned() else { return };
                let r = Some(*r).filter(|r| *r > 0);
                Ask::Read(Read { bucket, key: self.names.key(key), r, as_is: *as_is })
            }
            What::Write(write) => {
                let drawn = WriteId(self.clients.random.wide());
                Ask::Write((**write).clone(), write.write_id.unwrap_or(drawn))
            }
            What::Settings => return,
        };
        let run = self.nodes.get(node).filter(|node| node.process.is_some()).map(|node| node.run);
        let Some(run) = run else { return self.fail(operation, "no_connection") };
        if let Some(in_flight) = self.clients.in_flight.get_mut(&operation) {
            in_flight.run = run;
        }
        let name = self.names_of(node);
        self.note(Some(key), || format!("client asks {name}: {}", asked(&ask)));
        // One that is answered as it is has no verdict.
        if let Ask::Read(Read { as_is: false, .. }) = ask {
            let place = self.read_begins(node, key);
            if let Some(in_flight) = self.clients.in_flight.get_mut(&operation) {
                in_flight.place = place;
            }
        }
        let timeout_us = self.settings.timeout_us;
        self.coordinator(node, |core, around, effects| {
            let deadline = around.now.plus_micros(timeout_us);
            core.begin(around, ask, Client::Operation(operation), deadline, effects);
        });
    }

    /// An operation that is over, and how long it took. None if it was over before.
    fn end(&mut self, operation: u64) -> Option<(InFlight, Time)> {
        let in_flight = self.clients.in_flight.remove(&operation)?;
        let took = self.now.saturating_sub(in_flight.began);
        let node = self.nodes.get(in_flight.node)?;
        // A process that stands still cannot look at a clock.
        let stood_still = node.stood_still.saturating_sub(in_flight.stood_still);
        let allowed = self.settings.timeout_us * MICROS + stood_still;
        // A clock may run slow by a sixteenth.
        let checked = endings::ended(took, allowed + allowed / 16, "a request");
        self.check(checked);
        self.mix(operation, took);
        Some((in_flight, took))
    }

    fn fail(&mut self, operation: u64, why: &'static str) {
        if let Some((in_flight, _)) = self.end(operation) {
            *self.clients.tally.failed.entry(why).or_default() += 1;
            self.note(Some(in_flight.key), || format!("client is told nothing: {why}"));
        }
    }

    /// A run has ended: its clients lose their connections.
    pub fn clients_lose(&mut self, node: NodeIndex, run: u64) {
        let lost = self.clients.in_flight.iter();
        let lost = lost.filter(|(_, operation)| operation.node == node && operation.run == run);
        let lost: Vec<u64> = lost.map(|(operation, _)| *operation).collect();
        for operation in lost {
            self.fail(operation, "connection_lost");
        }
    }

    pub(super) fn settings_answered(&mut self, operation: u64, reply: &SettingsReply) {
        let Some((in_flight, _)) = self.end(operation) else { return };
        let bucket = self.names.bucket_of(in_flight.key).cloned();
        match reply {
            Ok(_) => self.clients.tally.settings += 1,
            Err(_) => *self.clients.tally.failed.entry("settings").or_default() += 1,
        }
        self.note(None, || format!("the settings of {bucket:?}: {reply:?}"));
    }

    pub(super) fn read_answered(&mut self, operation: u64, result: Result<ReadReply, OperationError>) {
        let Some((in_flight, took)) = self.end(operation) else { return };
        let InFlight { client, key, began, place, what, .. } = in_flight;
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                *self.clients.tally.failed.entry(why(&error)).or_default() += 1;
                return self.note(Some(key), || format!("client is told: {error}"));
            }
        };
        self.note(Some(key), || format!("client reads {}", read(&reply)));
        if let Some(place) = place {
            self.read_told(place, reply.object.as_ref().map(Object::context));
        }
        if client == INSPECTOR {
            self.clients.inspected.insert(key);
        } else {
            self.clients.tally.reads += 1;
            self.clients.tally.read_took.push(took);
            self.judge_staleness(key, began, &reply);
        }
        if let Some(watch) = &mut self.watch {
            watch.read(&self.truth, &self.names, (client, key), took, &reply);
        }
        if let What::Read { acked, as_is: false, .. } = &what {
            let r = reply.participation.required;
            let seen = reply.object.as_ref().map(Object::context);
            let outgrown = self.outgrown.contains(&key);
            let checked = overlap::answered(&self.truth, key, outgrown, acked, r, seen);
            self.check(checked);
        }
        if let Some(object) = &reply.object {
            let checked = self.causality.object(&self.truth, key, object, None);
            self.check(checked);
        }
        if let Some(object) = reply.object {
            self.clients.contexts.insert((client, key), object.context().clone());
        }
    }

    /// Whether a read lacks what W homes had when it began.
    fn judge_staleness(&mut self, key: KeyIndex, began: Time, reply: &ReadReply) {
        let seen = |dot| reply.object.as_ref().is_some_and(|object| object.context().covers(dot));
        let recent = self.truth.key(key).into_iter().flat_map(|key| key.recent.iter());
        let missed = recent.filter_map(|index| self.truth.version(*index));
        let missed = missed.filter(|version| version.committed_at <= began && !seen(version.dot));
        let times = missed.map(|version| (version.committed_at, version.hlc.wall().0));
        let extremes = times
            .reduce(|(oldest, newest), (committed, written)| (oldest.min(committed), newest.max(written)));
        let Some((oldest, newest)) = extremes else { return };
        let exposure = began.saturating_sub(oldest);
        let returned = reply.object.iter().flat_map(|object| object.versions());
        let returned = returned.map(|version| version.hlc.wall().0).max();
        let older = returned.map_or(0, |returned| newest.saturating_sub(returned).saturating_mul(MICROS));
        self.clients.tally.stale += 1;
        self.clients.tally.exposures.push(exposure);
        self.clients.tally.ages.push(older.max(exposure));
    }

    pub(super) fn write_answered(&mut self, operation: u64, result: Result<WriteReply, OperationError>) {
        let Some((in_flight, took)) = self.end(operation) else { return };
        let InFlight { client, key, what, .. } = in_flight;
        let What::Write(write) = what else { return };
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                *self.clients.tally.failed.entry(why(&error)).or_default() += 1;
                return self.note(Some(key), || format!("client is told: {error}"));
            }
        };
        let by = &reply.participation.acked_by;
        self.note(Some(key), || format!("client is told that {} is at {by:?}", shown(reply.answered.dot)));
        self.clients.tally.writes += 1;
        self.clients.tally.write_took.push(took);
        let homes: Vec<NodeIndex> = by.iter().filter_map(|home| self.names.node(home)).collect();
        if let Some(watch) = &mut self.watch {
            let next = watch.wrote(self.now, (client, key), took, reply.answered.dot);
            if let Some(step) = next {
                self.queue.push(step.at, Event::Step(Box::new(step)));
            }
        }
        if let Some((index, _)) = self.truth.named(reply.answered.dot) {
            let checked = durability::acknowledged(&self.truth, index, &homes, reply.participation.required);
            self.check(checked);
            self.truth.ack(self.now, index, &homes);
            if let Some(version) = self.truth.version(index) {
                debug_assert_ne!(version.acked_at, NEVER);
                let (sent, context) = (write.context.as_ref(), &reply.answered.context);
                let checked = self.causality.reply_context(&self.truth, version, sent, context);
                self.check(checked);
            }
        } else {
            let what = format!("a client was told of {}, which nobody wrote", shown(reply.answered.dot));
            let invariant = super::checkers::Invariant::Causality;
            self.check(Err(super::checkers::Violation::at(invariant, key, what)));
        }
        self.clients.contexts.insert((client, key), reply.answered.context);
    }
}

fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Read(read) => match read.r {
            Some(r) => format!("get, r={r}"),
            None => "get".to_owned(),
        },
        Ask::Write(write, id) | Ask::Forwarded { write, write_id: id, .. } => {
            let verb = if matches!(write.body, WriteBody::Delete) { "delete" } else { "put" };
            let context = if write.context.is_some() { " with a context" } else { "" };
            let named = if write.write_id.is_some() { ", named" } else { "" };
            let absent = if write.only_if_absent { ", only if absent" } else { "" };
            let w = write.w.map_or_else(String::new, |w| format!(", w={w}"));
            format!("{verb}{context}{named}{absent}{w}: {id}")
        }
    }
}

fn read(reply: &ReadReply) -> String {
    let Some(object) = &reply.object else { return "nothing".to_owned() };
    let live: Vec<String> = object.versions().iter().map(|version| shown(version.dot)).collect();
    format!("[{}] from {:?}", live.join(", "), reply.participation.acked_by)
}

fn why(error: &OperationError) -> &'static str {
    match error {
        OperationError::Quorum(_) => "quorum_out_of_range",
        OperationError::TooFewMembers { .. } => "too_few_members",
        OperationError::NotReached { .. } => "not_reached",
        OperationError::Deadline { .. } => "deadline",
        OperationError::NotRepaired { .. } => "not_repaired",
        OperationError::Overfull(Overfull::Write { .. }) => "too_large",
        OperationError::Overfull(Overfull::Bytes { .. }) => "object_full",
        OperationError::Overfull(Overfull::Versions { .. }) => "too_many_siblings",
        OperationError::Exists => "exists",
        OperationError::Overloaded => "overloaded",
        OperationError::NotServing(_) => "not_serving",
    }
}
