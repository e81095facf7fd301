//! Replicas beside a brute-force model of them.
//!
//! The model keeps, for each version ever made (a *copy* of a write), the full set of copies in its past, and
//! for each replica the set of copies that it received. What lives follows from these two alone: a copy lives
//! where it was received, unless something received has it in its past, or a received copy of the same write
//! that does not live replaced all that this one replaced.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Answered, Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, Dot, WriteId};
use neap::protocol::time::Hlc;

pub const KEYS: usize = 3;

/// What a client knows of one key: the context it holds and the copies this stands for.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub context: CausalContext,
    pub copies: BTreeSet<Dot>,
}

/// One carried out write.
#[derive(Debug, Clone)]
struct Copy {
    write_id: WriteId,
    named: bool,
    past: BTreeSet<Dot>,
    /// The past as the implementation notes it, for the rule about copies.
    noted: CausalContext,
    order: (Hlc, Dot),
}

/// A state that can be sent: one key of one replica at one time.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub object: Object,
    pub received: BTreeSet<Dot>,
}

#[derive(Debug)]
struct Replica {
    actor: ActorId,
    counter: u64,
    applied: Vec<State>,
    synced: Vec<State>,
}

/// What a client asked, kept for retries.
#[derive(Debug, Clone)]
pub struct Request {
    pub key: usize,
    pub write_id: WriteId,
    pub named: bool,
    pub mode: ModeKind,
    pub seen: Option<Seen>,
    pub delete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeKind {
    Context,
    Overwrite,
    Sibling,
}

pub struct World {
    replicas: Vec<Replica>,
    copies: Vec<BTreeMap<Dot, Copy>>,
    pub requests: Vec<Request>,
    pub sent: Vec<(usize, State)>,
    pub clients: Vec<Vec<Option<Seen>>>,
    step: u64,
}

impl World {
    pub fn new(replicas: usize, clients: usize) -> Self {
        let replica = |n| Replica {
            actor: ActorId(n as u64),
            counter: 0,
            applied: vec![State::default(); KEYS],
            synced: vec![State::default(); KEYS],
        };
        Self {
            replicas: (0..replicas).map(replica).collect(),
            copies: vec![BTreeMap::new(); KEYS],
            requests: Vec::new(),
            sent: Vec::new(),
            clients: vec![vec![None; KEYS]; clients],
            step: 0,
        }
    }

    pub fn replicas(&self) -> usize {
        self.replicas.len()
    }

    pub fn state(&self, replica: usize, key: usize) -> &State {
        &self.replicas[replica].applied[key]
    }

    pub fn now(&self) -> Hlc {
        Hlc(1_000_000)
    }

    /// All copies that are in the history of what the state received.
    fn history(&self, key: usize, state: &State) -> BTreeSet<Dot> {
        let pasts = state.received.iter().flat_map(|dot| &self.copies[key][dot].past);
        pasts.chain(&state.received).copied().collect()
    }

    /// The dots that the model says live, by write.
    fn living(&self, key: usize, state: &State) -> BTreeSet<Dot> {
        let copies = &self.copies[key];
        let mut dead: BTreeSet<Dot> =
            state.received.iter().flat_map(|dot| copies[dot].past.clone()).collect();
        dead.retain(|dot| state.received.contains(dot));
        loop {
            let hidden = |dot: &&Dot| {
                let copy = &copies[*dot];
                let same = |other: &&Dot| {
                    let other = &copies[*other];
                    copy.named && other.write_id == copy.write_id && other.noted.covers_all(&copy.noted)
                };
                !dead.contains(*dot) && dead.iter().any(|other| same(&other))
            };
            let more: Vec<Dot> = state.received.iter().filter(hidden).copied().collect();
            if more.is_empty() {
                return state.received.difference(&dead).copied().collect();
            }
            dead.extend(more);
        }
    }

    /// Compares one replica's key with the model.
    pub fn check(&self, replica: usize, key: usize) {
        self.check_state(key, self.state(replica, key));
    }

    pub fn check_state(&self, key: usize, state: &State) {
        let copies = &self.copies[key];
        let living = self.living(key, state);
        let found: BTreeSet<Dot> = state.object.versions().iter().map(|version| version.dot).collect();
        assert_eq!(found, living, "the versions that live");

        let history = self.history(key, state);
        for dot in copies.keys() {
            assert_eq!(state.object.context().covers(*dot), history.contains(dot), "context of {dot:?}");
        }
        let mut greatest: BTreeMap<WriteId, (Hlc, Dot)> = BTreeMap::new();
        for dot in &living {
            let copy = &copies[dot];
            let best = greatest.entry(copy.write_id).or_insert(copy.order);
            *best = (*best).max(copy.order);
        }
        let shown: BTreeSet<Dot> = state.object.siblings().iter().map(|version| version.dot).collect();
        let expected: BTreeSet<Dot> = greatest.values().map(|order| order.1).collect();
        assert_eq!(shown, expected, "one version a write is shown");
        assert_eq!(state.object.lww().map(|v| v.dot), greatest.values().max().map(|order| order.1));
        assert_eq!(living.is_empty(), state.received.is_empty(), "something lives where something came");
        self.check_concurrency(key, state, &living);
    }

    /// Siblings are concurrent, and no write with a context stands beside one that has seen a copy of it. Only
    /// of received copies is it known which write they are of.
    fn check_concurrency(&self, key: usize, state: &State, living: &BTreeSet<Dot>) {
        let copies = &self.copies[key];
        for (a, b) in living.iter().flat_map(|a| living.iter().map(move |b| (a, b))) {
            assert!(!copies[b].past.contains(a), "{b:?} has seen {a:?}");
            let write = copies[a].write_id;
            let by_blind_overwrite = |dot: &Dot| copies[dot].noted != copies[a].noted;
            let received = copies[b].past.intersection(&state.received);
            let known = received.filter(|dot| copies[*dot].write_id == write);
            assert!(
                known.cloned().all(|dot| by_blind_overwrite(&dot)),
                "{b:?} has seen another copy of {a:?}"
            );
        }
    }

    /// Carries a request out at a replica, as its coordinator, and checks the answer.
    pub fn put(&mut self, at: usize, request: &Request) -> Seen {
        self.step += 1;
        let (key, write_id) = (request.key, request.write_id);
        let context = request.seen.as_ref().map(|seen| seen.context.clone());
        if let Some(seen) = &request.seen {
            let covered = self.covered(key, &seen.context);
            assert_eq!(covered, seen.copies, "a context covers nothing that came after it");
        }
        let before = self.state(at, key).clone();
        let known = before.received.iter().any(|dot| self.copies[key][dot].write_id == write_id);
        if let Some(answer) = before.object.answer_to(write_id, context.as_ref()) {
            assert!(known && request.named, "only what was received is remembered");
            return self.check_repeated(key, request, &answer);
        }
        assert!(!known, "a write that was received is recognised");

        let replica = &mut self.replicas[at];
        replica.counter += 1;
        let dot = Dot { actor: replica.actor, counter: replica.counter };
        // Clocks run unevenly: times neither follow causality nor are unique.
        let hlc = Hlc(100 + self.step / 2 + 7 * at as u64);
        let intent = intent(request, dot, hlc, context);
        let answer = replica.applied[key].object.put(intent);
        replica.applied[key].received.insert(dot);
        let history = self.history_without(key, at, dot);
        self.remember(key, request, dot, hlc, history, &before);
        self.check_answer(key, request, dot, &answer)
    }

    fn history_without(&self, key: usize, at: usize, dot: Dot) -> BTreeSet<Dot> {
        let mut state = self.state(at, key).clone();
        state.received.remove(&dot);
        self.history(key, &state)
    }

    fn remember(
        &mut self,
        key: usize,
        request: &Request,
        dot: Dot,
        hlc: Hlc,
        history: BTreeSet<Dot>,
        before: &State,
    ) {
        let (past, noted) = match request.mode {
            ModeKind::Overwrite => (history, before.object.context().clone()),
            ModeKind::Sibling => Default::default(),
            ModeKind::Context => {
                let seen = request.seen.clone().unwrap_or_default();
                (seen.copies, seen.context)
            }
        };
        let copy = Copy { write_id: request.write_id, named: request.named, past, noted, order: (hlc, dot) };
        self.copies[key].insert(dot, copy);
    }

    /// The copies that a context covers.
    fn covered(&self, key: usize, context: &CausalContext) -> BTreeSet<Dot> {
        self.copies[key].keys().filter(|dot| context.covers(**dot)).copied().collect()
    }

    fn check_answer(&self, key: usize, request: &Request, dot: Dot, answer: &Answered) -> Seen {
        let mut expected = self.copies[key][&dot].past.clone();
        expected.extend(request.seen.iter().flat_map(|seen| seen.copies.clone()));
        expected.insert(dot);
        assert_eq!(answer.dot, dot);
        assert_eq!(answer.hlc, self.copies[key][&dot].order.0);
        let copies = self.covered(key, &answer.context);
        assert_eq!(copies, expected, "the reply covers the request, what was replaced, and the new version");
        Seen { context: answer.context.clone(), copies }
    }

    fn check_repeated(&self, key: usize, request: &Request, answer: &Answered) -> Seen {
        let copy = &self.copies[key][&answer.dot];
        assert_eq!(copy.write_id, request.write_id, "a retry is answered as the write was");
        self.check_answer(key, request, answer.dot, answer)
    }

    pub fn read(&self, key: usize, replicas: &[usize]) -> Seen {
        let mut state = State::default();
        for &replica in replicas {
            state = self.joined(&state, self.state(replica, key));
        }
        self.check_state(key, &state);
        Seen { context: state.object.context().clone(), copies: self.history(key, &state) }
    }

    pub fn joined(&self, a: &State, b: &State) -> State {
        let mut joined = a.clone();
        let lacked = joined.object.lacks(&b.object);
        joined.object.merge(&b.object, self.now());
        joined.received.extend(&b.received);
        let changed =
            joined.object.versions() != a.object.versions() || joined.object.context() != a.object.context();
        assert_eq!(lacked, changed, "lacks says what merge does");
        joined
    }

    pub fn deliver(&mut self, to: usize, key: usize, state: &State) {
        self.replicas[to].applied[key] = self.joined(self.state(to, key), state);
        self.check(to, key);
    }

    pub fn sync(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        replica.synced = replica.applied.clone();
    }

    /// Loses what was not synced; the next start issues dots under another actor.
    pub fn crash(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        replica.applied = replica.synced.clone();
        replica.actor.0 += 1_000;
        replica.counter = 0;
    }

    pub fn new_write_id(&self) -> WriteId {
        WriteId(self.requests.len() as u128 + 1)
    }
}

fn intent(request: &Request, dot: Dot, hlc: Hlc, context: Option<CausalContext>) -> Intent {
    let mode = match request.mode {
        ModeKind::Context => Mode::Context(context.unwrap_or_default()),
        ModeKind::Overwrite => Mode::Blind(BlindWrite::Overwrite),
        ModeKind::Sibling => Mode::Blind(BlindWrite::Sibling),
    };
    let bytes = Bytes::from(request.write_id.to_string());
    let body = match request.delete {
        true => Body::Tombstone,
        false => Body::Value(Value { content_type: None, bytes, expires_at: None }),
    };
    Intent { dot, hlc, w: 1, write_id: request.write_id, named: request.named, created: false, mode, body }
}
