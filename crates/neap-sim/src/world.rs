//! The world: nodes, their disks and clocks, the network between them, and what is going to happen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::checkers::Violation;
use super::checkers::causality::Causality;
use super::clients::Clients;
use super::clock::NodeClock;
use super::disk::Disk;
use super::drive::Task;
use super::faults::{Fault, Kind};
use super::names::Names;
use super::network::{Network, NodeIndex};
use super::process::{Process, Stored};
use super::queue::{MILLIS, Queue, SECONDS, Time};
use super::random::Random;
use super::settings::Settings;
use super::trace::Trace;
use super::truth::{KeyIndex, Truth};
use super::wire::{Frame, Shake};
use super::workload::{Bucket, Step};
use neap_protocol::ids::{DirectoryId, NodeId};
use neap_protocol::ring::Ring;
use neap_protocol::time::WallMicros;
use neap_protocol::wall_clock::Readings;
use neap_storage::{Begun, StoreError};

/// When the workload begins: every node has started and met the others by then.
pub const WORK_BEGINS: Time = 3 * SECONDS;

/// When the buckets are set.
const BUCKETS_SET: Time = 2 * SECONDS;

/// How often a node's control plane looks around.
pub const TICK: Time = 250 * MILLIS;

/// A node, whether or not it runs.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// The ring that it goes by.
    pub ring: Arc<Ring>,
    /// Its clocks.
    pub clock: NodeClock,
    /// Its disk.
    pub disk: Disk,
    /// Which disk that is: a copy is another.
    pub serial: u64,
    /// Its run, if it runs.
    pub process: Option<Box<Process>>,
    /// Rises whenever a run begins or ends: what was meant for an earlier one is void.
    pub run: u64,
    /// Whether its process stands still.
    pub paused: bool,
    /// What happened to it meanwhile.
    pub held: Vec<Event>,
    /// How long its process has stood still in all.
    pub stood_still: Time,
    /// When it last began to.
    pub paused_at: Time,
    /// Whose directory it runs a copy of, for a second node of one name.
    pub ghost_of: Option<NodeIndex>,
    /// How many faults keep it from being started.
    pub kept_down: u32,
    /// What its last run said, when it stopped cleanly, of writes that some home may lack.
    pub untracked: Option<u64>,
    /// Until when its clocks are not to be relied on, as they ran at a rate of their own.
    pub clock_runs_wrong: Option<Time>,
    /// Whether it runs an earlier version, which bounds no objects.
    pub bounds_nothing: bool,
    /// Whether an operator has been called to it, and when.
    pub refused_since: Option<Time>,
    /// Whether its disk is a backup that was put back.
    pub is_backup: bool,
    /// Whether it was refused as one: it must not count again before an operator has given it a new directory id.
    pub known_as_backup: bool,
}

impl Node {
    /// The wall clock, as far as the node's process believes it.
    #[must_use]
    pub fn wall(&self, now: Time) -> WallMicros {
        let shown = Readings { moment: self.clock.moment(now), wall: self.clock.wall(now) };
        self.process.as_ref().map_or(shown.wall, |process| process.wall_clock.borrow_mut().read(shown).0)
    }
}

/// Something that is going to happen.
#[derive(Debug)]
pub enum Event {
    /// A node is started.
    Begin(NodeIndex),
    /// Its start is recorded, and its wall clock has passed the ceiling that it found.
    Serve {
        /// The node.
        node: NodeIndex,
        /// The run that was begun.
        run: u64,
        /// What it found.
        begun: Box<(Begun, neap_storage::Bookkeeping)>,
    },
    /// The coordinator or the transport wants to look at its deadlines.
    Wake(NodeIndex, u64),
    /// A sync has ended.
    Synced(NodeIndex, u64),
    /// The control plane looks around.
    Tick(NodeIndex, u64),
    /// A node dials another.
    Dial {
        /// Who.
        from: NodeIndex,
        /// Whom.
        to: NodeIndex,
        /// The dialler's run.
        run: u64,
    },
    /// A step of a handshake.
    Shake(Box<Shake>),
    /// A frame arrives.
    Frame(Box<Frame>),
    /// It is looked whether a connection is dead without a word.
    LookForLife {
        /// Who dialled.
        from: NodeIndex,
        /// Whom.
        to: NodeIndex,
        /// The connection.
        connection: u64,
    },
    /// A dialler hears that its connection is gone.
    Broken {
        /// Who dialled.
        from: NodeIndex,
        /// Whom.
        to: NodeIndex,
        /// The connection.
        connection: u64,
    },
    /// A request to a node's own replica has crossed the network, where even that does.
    Own(NodeIndex, u64, Box<super::drive::OwnLeg>),
    /// The next step of the workload.
    Step(Box<Step>),
    /// A node gets a client's operation.
    Submit(NodeIndex, u64),
    /// A fault comes.
    Fault(usize),
    /// A fault is over.
    FaultOver(usize),
    /// Nothing but a moment to stop at.
    Mark,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// What it is like.
    pub settings: Arc<Settings>,
    /// True time.
    pub now: Time,
    /// What is going to happen.
    pub queue: Queue<Event>,
    /// The nodes; second nodes of one name at the end.
    pub nodes: Vec<Node>,
    /// The network.
    pub network: Network,
    /// The names.
    pub names: Names,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// What the machines of a node have to say to each other.
    pub tasks: VecDeque<(NodeIndex, Task)>,
    /// What the acknowledgement of the write at hand waits for, where its own leg crosses the network.
    pub ticket: Option<u64>,
    /// What was stored in the step at hand.
    pub stored: Vec<Stored>,
    /// What was true.
    pub truth: Truth,
    /// The checker of causality.
    pub causality: Causality,
    /// The clients.
    pub clients: Clients,
    /// The faults.
    pub faults: Vec<Fault>,
    /// Keys that were ever left beyond the bounds of an object: by a node that knew of none, or by a write that made
    /// smaller what had grown beyond them.
    pub outgrown: std::collections::BTreeSet<KeyIndex>,
    /// What is wrong just now, and how it is put right again.
    pub injected: BTreeMap<usize, super::injector::Injected>,
    /// How many faults of each kind came.
    pub fault_counts: BTreeMap<Kind, u64>,
    /// What the code under test counted, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Randomness of disks, starts and whatever else happens at nodes.
    pub random: Random,
    /// The last connection's number.
    pub connections: u64,
    /// The last disk's number.
    pub serials: u64,
    /// Events that have happened.
    pub events: u64,
    /// A hash of them.
    pub hash: u64,
    /// What happened, for people.
    pub trace: Trace,
    /// The first invariant that was found broken.
    pub violation: Option<Violation>,
    /// Nodes that lost their disks and have not been given back what was on them.
    pub without_memory: std::collections::BTreeSet<NodeIndex>,
    /// What was committed when reads began that were not judged yet.
    pub reads_begun:
        std::collections::HashMap<super::verdicts::ReadPlace, Option<super::verdicts::ReadBegun>>,
    /// What an experiment observes, if there is one.
    pub watch: Option<Box<super::pbs::Watch>>,
    /// Whether so many memories were gone at once that what buckets were set to may be forgotten.
    pub settings_forgotten: bool,
    /// Whether the workload is over and all is being healed.
    pub healing: bool,
    /// Since when all homes of all keys have been repaired after that, so that no read misses anything any more; none before it
    /// is done.
    pub repaired: Option<Time>,
}

impl World {
    /// A world that is about to begin. `ring` is that of its nodes.
    pub fn new(settings: Arc<Settings>, ring: Arc<Ring>, faults: Vec<Fault>) -> Result<Self, StoreError> {
        let buckets = settings.buckets.clone();
        let names = Names::new(settings.nodes, buckets.len(), settings.keys);
        let mut random = Random::new(settings.seed, "nodes");
        let zones: Vec<usize> = (0..settings.nodes).map(|node| node % settings.zones.max(1)).collect();
        let network = Network::new(settings.seed, settings.legs.clone(), zones);
        let mut nodes = Vec::with_capacity(settings.nodes);
        for (serial, id) in names.nodes().iter().enumerate() {
            // Within a tenth of the limit, and as good as cheap crystals are.
            let skew = (settings.max_skew_us / 10).max(1);
            let offset_us = random.below(skew) as i64 - (skew / 2) as i64;
            let drift_ppb = random.below(200_000) as i64 - 100_000;
            nodes.push(Node {
                id: id.clone(),
                ring: ring.clone(),
                clock: NodeClock::new(offset_us, drift_ppb),
                disk: Disk::new(DirectoryId(random.number()))?,
                serial: serial as u64,
                process: None,
                run: 0,
                paused: false,
                held: Vec::new(),
                stood_still: 0,
                paused_at: 0,
                ghost_of: None,
                kept_down: 0,
                untracked: None,
                clock_runs_wrong: None,
                bounds_nothing: false,
                refused_since: None,
                is_backup: false,
                known_as_backup: false,
            });
        }
        let homes = (0..names.keys()).map(|key| homes(&names, &ring, &buckets, key));
        let truth = Truth::new(homes.collect::<Vec<_>>());
        let clients = Clients::new(settings.seed);
        let mut queue = Queue::new(settings.seed);
        for node in 0..nodes.len() {
            queue.push(random.below(50 * MILLIS), Event::Begin(node));
        }
        for (index, fault) in faults.iter().enumerate() {
            queue.push(fault.at, Event::Fault(index));
        }
        queue.push(BUCKETS_SET, Event::Mark);
        let trace = Trace::new(settings.trace);
        Ok(Self {
            now: 0,
            queue,
            network,
            names,
            buckets,
            tasks: VecDeque::new(),
            ticket: None,
            stored: Vec::new(),
            truth,
            causality: Causality::default(),
            clients,
            faults,
            outgrown: std::collections::BTreeSet::new(),
            injected: BTreeMap::new(),
            fault_counts: BTreeMap::new(),
            counts: BTreeMap::new(),
            random,
            connections: 0,
            serials: nodes.len() as u64,
            nodes,
            events: 0,
            hash: settings.seed,
            trace,
            violation: None,
            without_memory: std::collections::BTreeSet::new(),
            reads_begun: std::collections::HashMap::new(),
            watch: None,
            settings_forgotten: false,
            healing: false,
            repaired: None,
            settings,
        })
    }

    /// Lets everything happen that comes before `until`, or until an invariant breaks.
    pub fn run_until(&mut self, until: Time) {
        while self.violation.is_none() {
            let Some((at, event)) = self.queue.pop_before(until) else {
                self.now = self.now.max(until);
                return;
            };
            self.now = at;
            self.happen(event);
        }
    }

    /// Starts the nodes and sets the buckets.
    pub fn begin(&mut self) {
        self.run_until(BUCKETS_SET);
        self.set_buckets();
        self.run_until(WORK_BEGINS);
    }

    fn happen(&mut self, event: Event) {
        self.events += 1;
        let (kind, node) = event.kind_and_node();
        self.mix(u64::from(kind), node.map_or(u64::MAX, |node| node as u64));
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node))
            && node.paused
        {
            return node.held.push(event);
        }
        match event {
            Event::Begin(node) => self.begin_run(node),
            Event::Serve { node, run, begun } => self.serve(node, run, *begun),
            Event::Wake(node, run) => self.wake(node, run),
            Event::Synced(node, run) => self.synced(node, run),
            Event::Tick(node, run) => self.tick(node, run),
            Event::Dial { from, to, run } => self.dial(from, to, run),
            Event::Shake(shake) => self.shake(*shake),
            Event::Frame(frame) => self.frame(*frame),
            Event::LookForLife { from, to, connection } => self.look_for_life(from, to, connection),
            Event::Broken { from, to, connection } => self.broken(from, to, connection),
            Event::Own(node, run, leg) => self.own_leg(node, run, *leg),
            Event::Step(step) => self.step(*step),
            Event::Submit(node, operation) => self.submit(node, operation),
            Event::Fault(fault) => self.inject(fault),
            Event::FaultOver(fault) => self.put_right(fault),
            Event::Mark => {}
        }
        self.carry_out_tasks();
    }

    /// Takes what happened into the run's hash.
    pub fn mix(&mut self, what: u64, more: u64) {
        let mut hash = self.hash ^ self.now.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash.rotate_left(23) ^ what).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.hash = (hash.rotate_left(29) ^ more).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    }

    /// Notes a broken invariant, if it is the first.
    pub fn check(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result
            && self.violation.is_none()
            && violation.key.is_none_or(|key| self.knows_homes_of(key))
        {
            self.note(violation.key, || format!("BROKEN: {violation}"));
            self.violation = Some(violation);
        }
    }

    /// Whether the nodes can know which homes a key has: nothing is promised of a bucket whose settings are forgotten.
    #[must_use]
    pub fn knows_homes_of(&self, key: KeyIndex) -> bool {
        !self.settings_forgotten || self.names.bucket_index(key) == 0
    }

    /// Writes a line of the trace, if one is kept.
    pub fn note(&mut self, key: Option<KeyIndex>, line: impl FnOnce() -> String) {
        self.trace.note(self.now, key, line);
    }

    /// Counts something that the code under test did.
    pub fn count(&mut self, name: &'static str, times: u64) {
        *self.counts.entry(name).or_default() += times;
    }
}

/// The homes of a key.
fn homes(names: &Names, ring: &Ring, buckets: &[Bucket], key: KeyIndex) -> Vec<NodeIndex> {
    let Some(bucket) = names.bucket_of(key) else { return Vec::new() };
    let n = buckets.get(names.bucket_index(key)).map_or(0, |bucket| bucket.settings.quorum.n);
    let partition = ring.partition_of(bucket, &names.key(key));
    let homes = ring.homes(partition, n).iter();
    homes.filter_map(|&home| ring.member(home).and_then(|member| names.node(&member.id))).collect()
}

impl Event {
    /// Its kind, and the node whose process it concerns.
    fn kind_and_node(&self) -> (u8, Option<NodeIndex>) {
        match self {
            Self::Begin(_) => (0, None),
            Self::Serve { node, .. } => (1, Some(*node)),
            Self::Wake(node, _) => (2, Some(*node)),
            Self::Synced(node, _) => (3, Some(*node)),
            Self::Tick(node, _) => (4, Some(*node)),
            Self::Dial { from, .. } => (5, Some(*from)),
            Self::Shake(shake) => (6, Some(shake.at())),
            Self::Frame(frame) => (7, Some(frame.to)),
            Self::LookForLife { from, .. } => (8, Some(*from)),
            Self::Broken { from, .. } => (9, Some(*from)),
            Self::Own(node, ..) => (10, Some(*node)),
            Self::Step(_) => (11, None),
            Self::Submit(node, _) => (12, Some(*node)),
            Self::Fault(_) => (13, None),
            Self::FaultOver(_) => (14, None),
            Self::Mark => (15, None),
        }
    }
}
