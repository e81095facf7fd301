//! Starts and ends runs, lets faults come, and puts them right again.

use std::rc::Rc;

use super::checkers::durability;
use super::clients::LARGE_WRITER;
use super::clock::NodeClock;
use super::disk::Disk;
use super::faults::{Fault, Kind};
use super::network::{Leg, NodeIndex};
use super::process::{Process, ProcessParts};
use super::queue::{MILLIS, SECONDS, Time};
use super::workload::{Operation, Step};
use super::world::{Event, Node, TICK, World};
use neap_protocol::bounds::MessageBounds;
use neap_protocol::bucket::BlindWrite;
use neap_protocol::causality::Object;
use neap_protocol::coordinator::CoordinatorSettings;
use neap_protocol::ids::{ActorId, DirectoryId};
use neap_protocol::membership::{Presented, RunId, RunRecord};
use neap_protocol::planted::{self, Bug};
use neap_protocol::replica::Held;
use neap_protocol::time::{WallReadings, wait_for_wall_us};
use neap_protocol::wall_clock::Readings;
use neap_storage::{Begun, Bookkeeping, Commit, Store as _, Table, keys, objects};

/// How soon a process that could not start is started again.
const START_AGAIN: Time = 500 * MILLIS;

/// How soon an operator looks at a node whose identity is refused.
const OPERATOR_COMES: Time = 2 * SECONDS;

/// How many large siblings are written to one key of a node that bounds no objects.
const LARGE_SIBLINGS: u64 = 8;

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The process is killed; what it had applied is with the operating system.
    Killed,
    /// The power fails: what was not synced is lost.
    PowerLoss,
    /// It stops as it should.
    Clean,
}

/// A fault that came, and what it takes to put it right.
#[derive(Debug)]
pub enum Injected {
    /// These nodes are kept down.
    Down(Vec<NodeIndex>),
    /// A backup was taken of a node.
    Backup(NodeIndex, Disk),
    /// A second node of one name runs.
    Ghost(NodeIndex),
    /// A process stands still.
    Paused(NodeIndex),
    /// Ways are cut.
    Cut(Vec<(NodeIndex, NodeIndex)>),
    /// Ways are in trouble of another kind.
    Troubled(Vec<(NodeIndex, NodeIndex)>),
    /// A wall clock is off by so much, in microseconds.
    Clock(NodeIndex, i64),
    /// A node's clocks drift.
    Drift(NodeIndex),
    /// A disk is full, slow or failing.
    Disk(NodeIndex),
    /// A node runs an earlier version.
    EarlierVersion(NodeIndex),
    /// Nothing has to be done.
    Over,
}

impl World {
    /// Begins a run: recorded durably before anything else.
    pub(super) fn begin_run(&mut self, at: NodeIndex) {
        let (now, healing) = (self.now, self.healing);
        let Some(node) = self.nodes.get_mut(at) else { return };
        if node.process.is_some() || node.kept_down > 0 && !healing {
            return;
        }
        node.run += 1;
        let (run, synced) = (RunId(self.random.number()), self.settings.commit == Commit::Fsync);
        let Ok((bookkeeping, begun)) = Bookkeeping::begin(node.disk.store.clone(), run, synced) else {
            return self.queue.push(now + START_AGAIN, Event::Begin(at));
        };
        let own = WallReadings { now: node.clock.wall(now), highest: begun.highest };
        let wait_us = wait_for_wall_us(begun.ceiling, own);
        let serves = node.clock.time_of(node.clock.moment(now).plus_micros(wait_us), now);
        let run = node.run;
        self.queue.push(serves, Event::Serve { node: at, run, begun: Box::new((begun, bookkeeping)) });
    }

    pub(super) fn serve(&mut self, at: NodeIndex, run: u64, (begun, bookkeeping): (Begun, Bookkeeping)) {
        let settings = self.settings.clone();
        let drawn = ActorId(self.random.number());
        let defaults = self.buckets.first().map(|bucket| bucket.settings.clone());
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let Some(defaults) = defaults.filter(|_| node.process.is_none()) else { return };
        let Begun { run: RunRecord { number, history, refused, .. }, ceiling, highest, holding, clean } =
            begun;
        let untracked = node.untracked.take();
        let directory = node.disk.directory;
        let known = settings.sizes.messages;
        let messages = if node.bounds_nothing { MessageBounds::of(usize::MAX) } else { known };
        let actor = if planted::has(Bug::ReuseCounters) { ActorId(directory.0) } else { drawn };
        let started = Process::start(ProcessParts {
            id: node.id.clone(),
            ring: &node.ring,
            disk: &node.disk,
            clean,
            untracked,
            bookkeeping: Rc::new(bookkeeping),
            clocks: Readings { moment: node.clock.moment(self.now), wall: node.clock.wall(self.now) },
            highest,
            presented: Presented { directory, number, history, found_ceiling: ceiling },
            refused,
            holding,
            actor,
            defaults,
            coordinator: CoordinatorSettings {
                follow_us: settings.timeout_us,
                fan_out: settings.fan_out,
                probe: settings.probe,
                track: settings.track,
                unjudged: settings.unjudged,
                messages,
            },
            timeout_us: settings.timeout_us,
            max_skew_us: settings.max_skew_us,
            commit: settings.commit,
        });
        let Ok(mut process) = started else {
            return self.queue.push(self.now + START_AGAIN, Event::Begin(at));
        };
        node.refused_since = refused.then_some(self.now);
        let peers: Vec<NodeIndex> = (0..self.names.nodes().len())
            .filter(|peer| *peer != at && node.ghost_of != Some(*peer))
            .collect();
        for peer in &peers {
            process.transport.links.entry(*peer).or_default().dialling = true;
        }
        node.process = Some(Box::new(process));
        let id = node.id.clone();
        self.note(None, || format!("{id} starts run {}, its directory {directory} is {holding:?}", number.0));
        for peer in peers {
            let soon = self.now + self.random.below(20 * MILLIS);
            self.queue.push(soon, Event::Dial { from: at, to: peer, run });
        }
        self.queue.push(self.now + TICK, Event::Tick(at, run));
    }

    /// Ends a run, if there is one.
    pub fn end_run(&mut self, at: NodeIndex, ending: Ending) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let run = node.run;
        node.run += 1;
        if std::mem::take(&mut node.paused) {
            node.stood_still += now.saturating_sub(node.paused_at);
            // Whoever is dialling it learns that nobody is there.
            for event in std::mem::take(&mut node.held) {
                if matches!(event, Event::Shake(_)) {
                    self.queue.push(now, event);
                }
            }
        }
        let process = node.process.take();
        if let Some(process) = &process
            && ending == Ending::Clean
        {
            // A disk that fails leaves no mark.
            let _ = process.bookkeeping.mark_clean_stop();
            let observed = process.coordinator.unconverged(node.clock.moment(now));
            let unconverged: u64 = observed.ages.iter().map(|(_, count)| count).sum();
            node.untracked = Some(unconverged + process.untracked);
        }
        let id = node.id.clone();
        self.note(None, || format!("{id} ends: {ending:?}"));
        self.clients_lose(at, run);
        if ending == Ending::PowerLoss {
            self.lose_power(at);
        }
        for peer in 0..self.nodes.len() {
            let link = self.nodes.get(peer).and_then(|peer| peer.process.as_ref());
            let link = link.and_then(|process| process.transport.links.get(&at));
            let Some(connection) = link.and_then(|link| link.connection) else { continue };
            if ending == Ending::PowerLoss {
                self.will_look_for_life(peer, at);
            } else if let Some(arrives) = self.network.send(now, (at, peer), Leg::Answer, 40).first {
                self.queue.push(arrives, Event::Broken { from: peer, to: at, connection });
            } else {
                self.will_look_for_life(peer, at);
            }
        }
    }

    /// Forgets what a disk had not synced, but for what had reached it by chance.
    fn lose_power(&mut self, at: NodeIndex) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let unsynced = node.disk.store.unsynced_batches();
        let kept = self.random.index(unsynced + 1);
        let changed = node.disk.store.crash_keeping(kept);
        let (ghost, store) = (node.ghost_of, node.disk.store.clone());
        if ghost.is_some() {
            return;
        }
        for (table, stored_key) in changed {
            let place = keys::parse_object_key(&stored_key).ok();
            let key = place.and_then(|(_, bucket, key)| self.names.key_index(&bucket, &key));
            let Some(key) = key.filter(|_| table == Table::Objects) else { continue };
            let object = objects::read(&*store, &stored_key).ok().and_then(Result::ok).and_then(Held::object);
            if self.settings.commit == Commit::Fsync {
                let checked = durability::after_crash(&self.truth, key, at, object.as_ref());
                self.check(checked);
            }
            self.truth.set_back(key, at, object.as_ref(), false);
            if let Some(object) = &object {
                self.truth.holds(self.now, key, at, object);
            }
        }
    }

    /// A node has another disk now: all that it holds is what that one holds.
    fn change_disk(&mut self, at: NodeIndex, disk: Disk, unnoticed: bool) {
        self.serials += 1;
        let serial = self.serials;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let store = disk.store.clone();
        (node.disk, node.serial) = (disk, serial);
        (node.is_backup, node.known_as_backup) = (unnoticed, false);
        for key in 0..self.truth.keys() {
            if self.truth.place(key, at).is_some() {
                let object = self.stored_object(&store, key);
                self.truth.set_back(key, at, object.as_ref(), unnoticed);
                if let Some(object) = &object {
                    self.truth.holds(self.now, key, at, object);
                }
            }
        }
    }

    /// What a store holds under a key, if it can be read.
    fn stored_object(&self, store: &neap_storage::MemoryStore, key: u32) -> Option<Object> {
        let bucket = self.names.bucket_of(key)?;
        let name = self.names.key(key);
        let partition = self.nodes.first()?.ring.partition_of(bucket, &name);
        let stored_key = keys::object_key(partition, bucket, &name);
        objects::read(store, &stored_key).ok()?.ok()?.object()
    }

    /// What a node's disk holds under a key.
    #[must_use]
    pub fn held_by(&self, at: NodeIndex, key: u32) -> Option<Object> {
        self.nodes.get(at).and_then(|node| self.stored_object(&node.disk.store, key))
    }

    /// The first node from the fault's on that `fits`.
    fn whom(&self, fault: &Fault, fits: impl Fn(&Node) -> bool) -> Option<NodeIndex> {
        let count = self.names.nodes().len();
        let from = fault.node as usize;
        let mut nodes = (0..count).map(|next| (from + next) % count);
        nodes.find(|node| self.nodes.get(*node).is_some_and(&fits))
    }

    pub(super) fn inject(&mut self, index: usize) {
        let Some(fault) = self.faults.get(index).copied() else { return };
        if self.healing {
            return;
        }
        let runs = |node: &Node| node.process.is_some() && !node.paused;
        let Some(node) = self.whom(&fault, runs) else { return };
        let Some(injected) = self.let_come(&fault, node) else { return };
        let id = self.names_of(node);
        let lasts = fault.lasts / MILLIS;
        self.note(None, || format!("FAULT {} at {id}, for {lasts} ms", fault.kind.name()));
        *self.fault_counts.entry(fault.kind).or_default() += 1;
        self.injected.insert(index, injected);
        self.queue.push(self.now + fault.lasts, Event::FaultOver(index));
    }

    fn let_come(&mut self, fault: &Fault, node: NodeIndex) -> Option<Injected> {
        let detail = fault.detail;
        Some(match fault.kind {
            Kind::Crash => self.take_down(vec![node], Ending::Killed),
            Kind::PowerLoss => self.take_down(vec![node], Ending::PowerLoss),
            Kind::PowerLossTogether => {
                let count = self.names.nodes().len();
                let more = (0..count).filter(|other| detail >> (other % 60) & 1 == 1);
                let together = more.filter(|other| *other != node);
                let together = together
                    .filter(|other| self.nodes.get(*other).is_some_and(|node| node.process.is_some()));
                let nodes = std::iter::once(node).chain(together.collect::<Vec<_>>()).collect();
                self.take_down(nodes, Ending::PowerLoss)
            }
            Kind::CleanRestart => self.take_down(vec![node], Ending::Clean),
            Kind::DiskLoss => {
                let injected = self.take_down(vec![node], Ending::PowerLoss);
                let disk = Disk::new(DirectoryId(self.random.number())).ok()?;
                self.change_disk(node, disk, false);
                self.without_memory.insert(node);
                if self.without_memory.len() > self.names.nodes().len() / 2 {
                    self.settings_forgotten = true;
                    // No quorum of memories is left: see ARCHITECTURE.md, "What an incomplete home may do".
                    let nodes: Vec<NodeIndex> = self.without_memory.iter().copied().collect();
                    self.truth.forgotten(&nodes);
                }
                injected
            }
            Kind::RestoredBackup => Injected::Backup(node, self.nodes.get(node)?.disk.copy()),
            Kind::ClonedDirectory => self.clone_directory(node, detail)?,
            Kind::Pause => {
                let now = self.now;
                let paused = self.nodes.get_mut(node)?;
                (paused.paused, paused.paused_at) = (true, now);
                (0..self.nodes.len()).for_each(|peer| self.will_look_for_life(peer, node));
                Injected::Paused(node)
            }
            Kind::Partition => {
                let count = self.nodes.len();
                let side = |at: usize| at == node || detail >> (at % 60) & 3 == 3;
                let ways = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
                self.cut(ways.filter(|(a, b)| side(*a) != side(*b)).collect())
            }
            Kind::OneWayPartition => {
                let others = (0..self.nodes.len()).filter(|other| *other != node);
                let some = others.filter(|other| detail >> (other % 60) & 1 == 1);
                let deaf = detail >> 63 == 0;
                self.cut(some.map(|other| if deaf { (other, node) } else { (node, other) }).collect())
            }
            Kind::SlowLinks => self.trouble(node, fault),
            Kind::LossyLinks => self.trouble(node, fault),
            Kind::Repetition => self.trouble(node, fault),
            Kind::NarrowLinks => self.trouble(node, fault),
            Kind::ClockStep | Kind::ClockJump => {
                let skew = self.settings.max_skew_us;
                let by = if fault.kind == Kind::ClockStep {
                    detail % (skew * 3 / 4)
                } else {
                    skew * 2 + detail % 60_000_000
                };
                let by = if detail >> 63 == 0 { by as i64 } else { -(by as i64) };
                self.nodes.get_mut(node)?.clock.step(by);
                Injected::Clock(node, by)
            }
            Kind::ClockDrift => {
                // Up to 5 %, which no crystal does and a virtual machine may.
                let drift_ppb = (detail % 100_000_000) as i64 - 50_000_000;
                let now = self.now;
                self.nodes.get_mut(node)?.clock.set_drift(now, drift_ppb);
                self.clock_runs(node, true);
                Injected::Drift(node)
            }
            Kind::DiskFull => {
                self.nodes.get(node)?.disk.store.set_full(true);
                Injected::Disk(node)
            }
            Kind::DiskSlow => {
                self.nodes.get_mut(node)?.disk.slowness = (detail % 1_000) as f64 + 10.0;
                Injected::Disk(node)
            }
            Kind::DamagedRecord => self.damage(node, detail)?,
            Kind::SyncError => {
                self.nodes.get(node)?.disk.store.fail_sync(true);
                Injected::Disk(node)
            }
            Kind::LargeObject => self.outgrow(node, fault)?,
        })
    }

    /// A node is started as an earlier version that bounds no objects, and a key of a bucket whose blind writes make
    /// siblings gets large ones there. None if the node is no home of such a key.
    fn outgrow(&mut self, node: NodeIndex, fault: &Fault) -> Option<Injected> {
        let bucket = self
            .buckets
            .iter()
            .position(|bucket| bucket.settings.blind_write == BlindWrite::Sibling)
            .and_then(|bucket| u32::try_from(bucket).ok())?;
        let keys = self.settings.keys;
        let mut candidates = (0..keys).map(|next| (fault.detail as u32).wrapping_add(next) % keys);
        let key = candidates
            .find(|key| self.truth.place(bucket * keys + key, node).is_some())
            .map(|key| bucket * keys + key)?;
        self.nodes.get_mut(node)?.bounds_nothing = true;
        self.end_run(node, Ending::Clean);
        self.queue.push(self.now + MILLIS, Event::Begin(node));
        let operation = Operation::Put { context: false, named: false, absent: false, w: None };
        for nth in 0..LARGE_SIBLINGS {
            let at = self.now + fault.lasts / 3 + nth * fault.lasts / (2 * LARGE_SIBLINGS);
            let step = Step { at, client: LARGE_WRITER, node: node as u32, key, operation };
            self.queue.push(at, Event::Step(Box::new(step)));
        }
        Some(Injected::EarlierVersion(node))
    }

    fn take_down(&mut self, nodes: Vec<NodeIndex>, ending: Ending) -> Injected {
        for node in &nodes {
            self.end_run(*node, ending);
            if let Some(node) = self.nodes.get_mut(*node) {
                node.kept_down += 1;
            }
        }
        Injected::Down(nodes)
    }

    fn cut(&mut self, ways: Vec<(NodeIndex, NodeIndex)>) -> Injected {
        for (from, to) in &ways {
            self.network.cut(*from, *to, true);
            self.will_look_for_life(*from, *to);
            self.will_look_for_life(*to, *from);
        }
        Injected::Cut(ways)
    }

    fn trouble(&mut self, node: NodeIndex, fault: &Fault) -> Injected {
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        let ways: Vec<_> = others.flat_map(|other| [(node, other), (other, node)]).collect();
        for (from, to) in &ways {
            match fault.kind {
                Kind::SlowLinks => self.network.slow(*from, *to, (10 + fault.detail % 1_500) * MILLIS),
                Kind::LossyLinks => self.network.lose(*from, *to, (1 + fault.detail % 50) as f64 / 100.0),
                Kind::NarrowLinks => {
                    self.network.narrow(*from, *to, Some(2_000 + fault.detail % 50_000));
                }
                _ => {
                    self.network.repeat(*from, *to, 0.5);
                    self.network.slow(*from, *to, 30 * MILLIS);
                }
            }
        }
        Injected::Troubled(ways)
    }

    /// A directory is copied while its node is stopped; then both run.
    fn clone_directory(&mut self, node: NodeIndex, detail: u64) -> Option<Injected> {
        self.end_run(node, if detail & 1 == 0 { Ending::Clean } else { Ending::Killed });
        self.serials += 1;
        let original = self.nodes.get(node)?;
        let ghost = Node {
            id: original.id.clone(),
            ring: original.ring.clone(),
            clock: NodeClock::new(0, 0),
            disk: original.disk.copy(),
            serial: self.serials,
            process: None,
            run: 0,
            paused: false,
            held: Vec::new(),
            stood_still: 0,
            paused_at: 0,
            ghost_of: Some(node),
            kept_down: 0,
            untracked: None,
            clock_runs_wrong: None,
            bounds_nothing: false,
            refused_since: None,
            is_backup: false,
            known_as_backup: false,
        };
        self.nodes.push(ghost);
        self.network.add_node(self.network.zone(node));
        let ghost = self.nodes.len() - 1;
        let (first, second) = if detail & 2 == 0 { (node, ghost) } else { (ghost, node) };
        self.queue.push(self.now + MILLIS, Event::Begin(first));
        self.queue.push(self.now + MILLIS + detail % (300 * MILLIS), Event::Begin(second));
        Some(Injected::Ghost(ghost))
    }

    /// A bit of a stored record flips.
    fn damage(&mut self, node: NodeIndex, detail: u64) -> Option<Injected> {
        let store = self.nodes.get(node)?.disk.store.clone();
        let objects = store.objects() as u64;
        let nth = usize::try_from(detail.checked_rem(objects)?).ok()?;
        let stored_key = store.nth_object(nth)?;
        store.corrupt(Table::Objects, &stored_key);
        let (_, bucket, key) = keys::parse_object_key(&stored_key).ok()?;
        let key = self.names.key_index(&bucket, &key)?;
        self.note(Some(key), || "its record is damaged".to_owned());
        self.truth.set_back(key, node, None, false);
        Some(Injected::Over)
    }

    pub(super) fn put_right(&mut self, index: usize) {
        let Some(injected) = self.injected.remove(&index) else { return };
        let now = self.now;
        match injected {
            Injected::Down(nodes) => {
                for node in nodes {
                    if let Some(down) = self.nodes.get_mut(node) {
                        down.kept_down = down.kept_down.saturating_sub(1);
                    }
                    self.begin_run(node);
                }
            }
            Injected::Backup(node, disk) => {
                self.end_run(node, Ending::Killed);
                let id = self.names_of(node);
                self.note(None, || format!("a backup is put back at {id}"));
                self.change_disk(node, disk, true);
                self.begin_run(node);
            }
            Injected::Ghost(ghost) => self.lay_ghost(ghost),
            Injected::Paused(node) => self.resume(node),
            Injected::Cut(ways) => ways.iter().for_each(|(from, to)| self.network.cut(*from, *to, false)),
            Injected::Troubled(ways) => {
                for (from, to) in ways {
                    self.network.slow(from, to, 0);
                    self.network.lose(from, to, 0.0);
                    self.network.repeat(from, to, 0.0);
                    self.network.narrow(from, to, None);
                }
            }
            Injected::Clock(node, by) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.clock.step(-by);
                }
            }
            Injected::Drift(node) => {
                self.clock_runs(node, false);
                if let Some(node) = self.nodes.get_mut(node) {
                    node.clock.set_drift(now, 0);
                    // Time servers bring it back.
                    let off = node.clock.off_by_us(now);
                    node.clock.step(-off);
                }
            }
            Injected::Disk(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.disk.store.set_full(false);
                    node.disk.store.fail_sync(false);
                    node.disk.slowness = 1.0;
                }
            }
            Injected::EarlierVersion(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.bounds_nothing = false;
                }
                self.end_run(node, Ending::Clean);
                self.begin_run(node);
            }
            Injected::Over => {}
        }
    }

    fn resume(&mut self, at: NodeIndex) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.paused) else { return };
        node.paused = false;
        node.stood_still += now.saturating_sub(node.paused_at);
        for event in std::mem::take(&mut node.held) {
            self.queue.push(now, event);
        }
    }

    /// A second node of one name is gone, with its disk.
    fn lay_ghost(&mut self, ghost: NodeIndex) {
        self.end_run(ghost, Ending::Killed);
        let Some(node) = self.nodes.get_mut(ghost) else { return };
        node.kept_down = u32::MAX;
    }

    /// Looks after nodes whose identity is refused: an operator gives them a new directory id, as the log asks for.
    pub fn look_after_refused(&mut self) {
        for at in 0..self.names.nodes().len() {
            let now = self.now;
            let Some(node) = self.nodes.get(at) else { continue };
            let due = node.refused_since.is_some_and(|since| now >= since + OPERATOR_COMES);
            if !due || node.process.is_none() {
                continue;
            }
            self.end_run(at, Ending::Clean);
            let id = self.names_of(at);
            self.note(None, || format!("an operator gives {id} a new directory id"));
            let directory = DirectoryId(self.random.number());
            let Some(node) = self.nodes.get_mut(at) else { continue };
            node.refused_since = None;
            if Bookkeeping::forget_runs(&*node.disk.store).is_ok() {
                node.disk.directory = directory;
                (node.is_backup, node.known_as_backup) = (false, false);
            }
            self.begin_run(at);
        }
    }

    /// Ends all that is wrong.
    pub fn heal(&mut self) {
        self.healing = true;
        for index in 0..self.faults.len() {
            self.put_right(index);
        }
        self.network.heal();
        let now = self.now;
        for at in 0..self.nodes.len() {
            if self.nodes.get(at).is_some_and(|node| node.ghost_of.is_some()) {
                self.lay_ghost(at);
                continue;
            }
            if let Some(node) = self.nodes.get_mut(at) {
                let off = node.clock.off_by_us(now);
                node.clock.set_drift(now, 0);
                node.clock.step(-off);
                node.kept_down = 0;
                let _ = node.disk.store.sync();
            }
            self.begin_run(at);
        }
        self.carry_out_tasks();
    }
}
