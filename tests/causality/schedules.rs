//! Random schedules of clients, replicas, messages and crashes, compared with the model after each step.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::model::{KEYS, ModeKind, Request, World};

/// One step. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub enum Step {
    Put { client: usize, at: usize, key: usize, mode: ModeKind, named: bool, delete: bool },
    Retry { request: usize, client: usize, at: usize, fresh: bool },
    Read { client: usize, key: usize, at: usize, also: usize },
    Send { from: usize, key: usize },
    Deliver { message: usize, to: usize },
    Exchange { from: usize, to: usize, key: usize },
    Sync { replica: usize },
    Crash { replica: usize },
}

fn mode() -> impl Strategy<Value = ModeKind> {
    prop_oneof![
        4 => Just(ModeKind::Context),
        2 => Just(ModeKind::Overwrite),
        1 => Just(ModeKind::Sibling),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..60usize;
    let key = prop_oneof![3 => Just(0usize), 1 => 1..KEYS];
    let key = || key.clone();
    let put = (n.clone(), n.clone(), key(), mode(), prop::bool::weighted(0.7), prop::bool::weighted(0.2));
    let retry = (n.clone(), n.clone(), n.clone(), prop::bool::weighted(0.3));
    prop_oneof![
        6 => put.prop_map(|(client, at, key, mode, named, delete)| Step::Put {
            client, at, key, mode, named, delete
        }),
        4 => retry.prop_map(|(request, client, at, fresh)| Step::Retry { request, client, at, fresh }),
        3 => (n.clone(), key(), n.clone(), n.clone())
            .prop_map(|(client, key, at, also)| Step::Read { client, key, at, also }),
        2 => (n.clone(), key()).prop_map(|(from, key)| Step::Send { from, key }),
        3 => (n.clone(), n.clone()).prop_map(|(message, to)| Step::Deliver { message, to }),
        3 => (n.clone(), n.clone(), key()).prop_map(|(from, to, key)| Step::Exchange { from, to, key }),
        1 => n.clone().prop_map(|replica| Step::Sync { replica }),
        1 => n.prop_map(|replica| Step::Crash { replica }),
    ]
}

/// A schedule of up to `steps` steps with its numbers of replicas and clients.
pub fn schedule(steps: usize) -> impl Strategy<Value = (usize, usize, Vec<Step>)> {
    (2..=5usize, 2..=5usize, vec(step(), 1..steps))
}

/// What every property here runs with: a fixed number of cases; failures become named tests by hand.
pub fn config(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() }
}

fn run_put(world: &mut World, step: &Step) {
    let &Step::Put { client, at, key, mode, named, delete } = step else { return };
    let (client, at) = (client % world.clients.len(), at % world.replicas());
    let seen = world.clients[client][key].clone().filter(|_| mode == ModeKind::Context);
    let mode = if mode == ModeKind::Context && seen.is_none() { ModeKind::Overwrite } else { mode };
    let request = Request { key, write_id: world.new_write_id(), named, mode, seen, delete };
    let reply = world.put(at, &request);
    world.requests.push(request);
    world.clients[client][key] = Some(reply);
    world.check(at, key);
}

fn run_retry(world: &mut World, step: &Step) {
    let &Step::Retry { request, client, at, fresh } = step else { return };
    let named: Vec<Request> = world.requests.iter().filter(|request| request.named).cloned().collect();
    if named.is_empty() {
        return;
    }
    let (client, at) = (client % world.clients.len(), at % world.replicas());
    let mut request = named[request % named.len()].clone();
    if let (true, Some(seen)) = (fresh, world.clients[client][request.key].clone()) {
        // A client that read again before it retried, and sends what it read along.
        request.seen = Some(seen);
        request.mode = ModeKind::Context;
    }
    let reply = world.put(at, &request);
    world.clients[client][request.key] = Some(reply);
    world.check(at, request.key);
}

fn run_step(world: &mut World, step: &Step) {
    let replicas = world.replicas();
    match *step {
        Step::Put { .. } => run_put(world, step),
        Step::Retry { .. } => run_retry(world, step),
        Step::Read { client, key, at, also } => {
            let client = client % world.clients.len();
            let seen = world.read(key, &[at % replicas, also % replicas]);
            world.clients[client][key] = Some(seen);
        }
        Step::Send { from, key } => {
            let state = world.state(from % replicas, key).clone();
            world.sent.push((key, state));
        }
        Step::Deliver { message, to } => {
            if !world.sent.is_empty() {
                let (key, state) = world.sent[message % world.sent.len()].clone();
                world.deliver(to % replicas, key, &state);
            }
        }
        Step::Exchange { from, to, key } => {
            let state = world.state(from % replicas, key).clone();
            world.deliver(to % replicas, key, &state);
        }
        Step::Sync { replica } => world.sync(replica % replicas),
        Step::Crash { replica } => world.crash(replica % replicas),
    }
}

/// Runs a schedule; the world checks itself against the model after each step.
pub fn run(replicas: usize, clients: usize, steps: &[Step]) -> World {
    let mut world = World::new(replicas, clients);
    for step in steps {
        run_step(&mut world, step);
    }
    world
}

/// Gives everything to everyone.
fn exchange_all(world: &mut World) {
    for key in 0..KEYS {
        for (key, state) in world.sent.clone() {
            world.deliver(0, key, &state);
        }
        for from in 0..world.replicas() {
            let state = world.state(from, key).clone();
            world.deliver(0, key, &state);
        }
        for to in 0..world.replicas() {
            let state = world.state(0, key).clone();
            world.deliver(to, key, &state);
        }
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn what_lives_is_what_the_full_histories_say((replicas, clients, steps) in schedule(60)) {
        let mut world = run(replicas, clients, &steps);
        exchange_all(&mut world);
        for key in 0..KEYS {
            let first = &world.state(0, key).object;
            for replica in 1..world.replicas() {
                let other = &world.state(replica, key).object;
                prop_assert_eq!(first.versions(), other.versions());
                prop_assert_eq!(first.context(), other.context());
                prop_assert_eq!(first.lww(), other.lww());
                prop_assert!(!first.lacks(other) && !other.lacks(first));
            }
        }
    }
}
