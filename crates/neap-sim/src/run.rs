//! One run: a world from its beginning until it is healed and looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checkers::{Violation, durability, endings, sli};
use super::clients::{INSPECTOR, Tally};
use super::faults::{Fault, Kind};
use super::network::NodeIndex;
use super::queue::{MICROS, MILLIS, SECONDS, Time};
use super::settings::Settings;
use super::trace::Trace;
use super::truth::KeyIndex;
use super::workload::{Operation, Step};
use super::world::{Event, World};
use neap_protocol::causality::Object;
use neap_protocol::ring::Ring;
use neap_storage::StoreError;

/// How long a healed cluster may take until it serves everything.
const HEALS_WITHIN: Time = 400 * SECONDS;

/// How long requests of the control plane may take: a page of a scan has ten seconds.
const CONTROL_ENDS_WITHIN: Time = 12 * SECONDS;

/// Within this time there is a moment at which no home is being asked whether it has a write that it lacked.
const PROBES_END_WITHIN: Time = 4 * SECONDS;

/// Keys that are read at once in the end.
const AT_ONCE: usize = 1_000;

/// Steps between two looks at the queues, for each node.
const LOOKS_EVERY: u64 = 16;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Steps of the workload that came.
    pub operations: u64,
    /// Events that happened.
    pub events: u64,
    /// Their hash.
    pub hash: u64,
    /// Faults that came, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// What the clients did.
    pub tally: Tally,
    /// How long writes took from their commit until every home had them, in nanoseconds.
    pub convergence: Vec<Time>,
    /// Counts of versions.
    pub versions: BTreeMap<&'static str, u64>,
    /// What the code under test counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first invariant that was found broken, and after how many operations.
    pub violation: Option<(Violation, u64)>,
    /// What happened, if it was to be kept.
    pub trace: Trace,
}

/// Runs a world with these steps and faults.
pub fn run(
    settings: Arc<Settings>,
    ring: Arc<Ring>,
    steps: impl Iterator<Item = Step>,
    faults: Vec<Fault>,
) -> Result<Outcome, StoreError> {
    let seed = settings.seed;
    let mut world = World::new(settings, ring, faults)?;
    world.begin();
    let operations = work(&mut world, steps);
    if world.violation.is_none() {
        world.look_at_unconverged();
        let checked = sli::rate(&world.clients.tally.compared);
        world.check(checked);
    }
    if world.violation.is_none() {
        inspect(&mut world);
    }
    let World { events, hash, fault_counts, clients, mut truth, counts, violation, trace, .. } = world;
    Ok(Outcome {
        seed,
        operations,
        events,
        hash,
        faults: fault_counts,
        tally: clients.tally,
        versions: truth.counts(),
        convergence: std::mem::take(&mut truth.convergence),
        counts,
        violation: violation.map(|violation| (violation, operations)),
        trace,
    })
}

/// Lets the workload come, step by step, and all faults with it.
fn work(world: &mut World, steps: impl Iterator<Item = Step>) -> u64 {
    let mut operations = 0;
    for step in steps {
        world.run_until(step.at);
        if world.violation.is_some() {
            return operations;
        }
        operations += 1;
        world.queue.push(step.at.max(world.now), Event::Step(Box::new(step)));
        if operations % (LOOKS_EVERY * world.nodes.len() as u64) == 0 {
            world.look_after_refused();
            look_at_queues(world);
        }
    }
    let last = world.faults.iter().map(|fault| fault.at + fault.lasts).max().unwrap_or(0);
    let until = last.max(world.now + world.settings.timeout_us * MICROS) + MILLIS;
    world.run_until(until);
    operations
}

/// Heals everything, waits until the cluster serves, and reads all keys: as their buckets say; from all their homes, which
/// repairs them; and once more, when no read may miss anything.
fn inspect(world: &mut World) {
    world.heal();
    let healed = world.now;
    wait_until_ready(world, healed);
    make_smaller(world, healed);
    let written = |key: &KeyIndex| world.truth.key(*key).is_some_and(|key| !key.recent.is_empty());
    let keys = (0..world.truth.keys()).filter(|key| world.knows_homes_of(*key));
    let keys: Vec<KeyIndex> = keys.filter(written).collect();
    let mut repairing = healed;
    for all_homes in [false, true] {
        repairing = world.now;
        for some in keys.chunks(AT_ONCE) {
            read_keys(world, some, all_homes, healed);
        }
    }
    keys.iter().for_each(|key| look_at_key(world, *key));
    if world.violation.is_none() {
        // The repairs that nobody waited for are over by then.
        world.run_until(world.now + SECONDS);
        world.repaired = Some(repairing);
        for some in keys.chunks(AT_ONCE) {
            read_keys(world, some, false, healed);
        }
    }
    if world.violation.is_none() {
        world.run_until(world.now + 3 * world.settings.timeout_us * MICROS + CONTROL_ENDS_WITHIN);
        look_at_queues(world);
        look_whether_drained(world);
    }
}

/// What keeps a node from serving.
fn not_ready(world: &World, at: NodeIndex) -> Option<&'static str> {
    let Some(process) = world.nodes.get(at).and_then(|node| node.process.as_ref()) else {
        return Some("it does not run");
    };
    match () {
        () if !process.gate.is_confirmed() => Some("its identity is not confirmed"),
        () if !process.backfill.is_complete() => Some("it lacks what it should hold"),
        () => None,
    }
}

fn wait_until_ready(world: &mut World, healed: Time) {
    while world.violation.is_none() {
        let nodes = 0..world.names.nodes().len();
        let waits = nodes.into_iter().find_map(|node| not_ready(world, node).map(|why| (node, why)));
        let Some((node, why)) = waits else { return };
        if world.now > healed + HEALS_WITHIN {
            let what = format!("{} is not ready: {why}", world.names_of(node));
            return world.check(Err(endings::does_not_serve(&what)));
        }
        world.look_after_refused();
        world.run_until(world.now + SECONDS);
    }
}

/// Makes objects smaller that are too large to be sent, as the log of their nodes says: each is read at a node that holds
/// it, and written there with the context of that read.
fn make_smaller(world: &mut World, healed: Time) {
    loop {
        let sendable = world.settings.sizes.messages.sendable_bytes();
        let homes = world.outgrown.iter().flat_map(|key| {
            let homes = world.truth.key(*key).map(|key| key.homes.clone()).unwrap_or_default();
            homes.into_iter().map(|home| (*key, home))
        });
        let mut large = homes.filter(|(key, home)| {
            world.held_by(*home, *key).is_some_and(|object| object.message_bytes() > sendable)
        });
        let next = large.next().filter(|_| world.violation.is_none());
        let Some((key, home)) = next else { return world.clients.inspected.clear() };
        if world.now > healed + HEALS_WITHIN {
            let what = format!("{} stays too large to be sent", world.names.shown(key));
            return world.check(Err(endings::does_not_serve(&what)));
        }
        let write = Operation::Put { context: true, named: false, absent: false, w: None };
        for operation in [Operation::Get { r: Some(1), as_is: true }, write] {
            let step = Step { at: world.now, client: INSPECTOR, node: home as u32, key, operation };
            world.ask(step, home);
            while world.clients.in_flight() > 0 && world.violation.is_none() {
                world.run_until(world.now + 20 * MILLIS);
            }
        }
        world.run_until(world.now + 100 * MILLIS);
    }
}

/// Reads keys, as their buckets say or from all their homes, until each was answered.
fn read_keys(world: &mut World, keys: &[KeyIndex], all_homes: bool, healed: Time) {
    let mut left = keys.to_vec();
    for round in 0_usize.. {
        for &key in &left {
            let n = world.truth.key(key).map_or(0, |key| key.homes.len());
            let r = all_homes.then(|| u8::try_from(n).unwrap_or(u8::MAX));
            let node = (key as usize + round) % world.names.nodes().len();
            let operation = Operation::Get { r, as_is: false };
            let step = Step { at: world.now, client: INSPECTOR, node: node as u32, key, operation };
            world.ask(step, node);
        }
        world.run_until(world.now + 20 * MILLIS);
        while world.clients.in_flight() > 0 && world.violation.is_none() {
            world.run_until(world.now + 100 * MILLIS);
        }
        let inspected = std::mem::take(&mut world.clients.inspected);
        left.retain(|key| !inspected.contains(key));
        let Some(unread) = left.first() else { return };
        if world.violation.is_some() {
            return;
        }
        if world.now > healed + HEALS_WITHIN {
            let what = format!("{} cannot be read", world.names.shown(*unread));
            return world.check(Err(endings::does_not_serve(&what)));
        }
        // Two objects that could be sent may be too large once a read has joined them.
        make_smaller(world, healed);
        world.look_after_refused();
        world.run_until(world.now + SECONDS);
    }
}

/// Looks at what the homes of a key hold.
fn look_at_key(world: &mut World, key: KeyIndex) {
    let homes = world.truth.key(key).map(|key| key.homes.clone()).unwrap_or_default();
    let mut together = Object::new();
    for object in homes.into_iter().filter_map(|home| world.held_by(home, key)) {
        together.merge(&object, neap_protocol::time::Hlc::ZERO);
    }
    let checked = durability::at_the_end(&world.truth, key, &together);
    world.check(checked);
}

fn queues(world: &World) -> Vec<(&'static str, usize, usize)> {
    use neap_protocol::coordinator::OPERATIONS_MAX;
    use neap_protocol::replica::{PARKED_MAX, WAITING_MAX};
    let processes = world.nodes.iter().filter_map(|node| node.process.as_ref());
    let of = |process: &super::process::Process| {
        [
            ("the table of operations", process.coordinator.in_flight(), OPERATIONS_MAX),
            ("the acknowledgements that wait for a sync", process.replica.waiting(), WAITING_MAX),
            ("the requests that wait for settings", process.replica.parked(), PARKED_MAX),
            ("the changes of settings", process.keeper.changes(), usize::MAX),
            ("the requests that wait for peers", process.transport.waiting(), usize::MAX),
        ]
    };
    processes.flat_map(|process| of(process)).collect()
}

fn look_at_queues(world: &mut World) {
    for (name, entries, bound) in queues(world) {
        world.check(endings::within(name, entries, bound));
    }
    let processes = world.nodes.iter().filter_map(|node| node.process.as_ref());
    let tracked: Vec<_> = processes.map(|process| process.coordinator.tracked()).collect();
    let limits = world.settings.track;
    for (keys, single) in tracked {
        world.check(endings::within("the keys of writes that some home lacks", keys, limits.keys));
        world.check(endings::within("the writes that some home lacks", single, limits.single));
    }
}

/// Whether nobody waits for a peer.
fn nobody_waits(world: &World) -> bool {
    let mut processes = world.nodes.iter().filter_map(|node| node.process.as_ref());
    processes.all(|process| process.transport.waiting() == 0)
}

fn look_whether_drained(world: &mut World) {
    // A home that lacks a write, as where nothing is repaired, is asked for it now and then as long as it does.
    let patience = world.now + PROBES_END_WITHIN;
    while !nobody_waits(world) && world.now < patience && world.violation.is_none() {
        world.run_until(world.now + MILLIS);
    }
    for (name, entries, _) in queues(world) {
        world.check(endings::drained(name, entries));
    }
    world.check(endings::drained("the clients", world.clients.in_flight()));
}
