//! One run of a node: the machines of the protocol core, put together as the actors put them together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use super::disk::{Disk, GroupCommit};
use super::indicators::Indicators;
use super::names::Names;
use super::network::NodeIndex;
use super::random::Random;
use super::transport::Transport;
use super::truth::KeyIndex;
use neap_protocol::bounds::{MessageBounds, ValueLimit};
use neap_protocol::causality::{CausalContext, Object};
use neap_protocol::coordinator::{Coordinator, CoordinatorSettings};
use neap_protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, PartitionId};
use neap_protocol::membership::{
    Backfill, Completeness, Gate, Holding, Identity, KnownIdentities, Presented, REFUSED_BEFORE,
};
use neap_protocol::message::{Coordinate, Refusal, ScanCursor};
use neap_protocol::replica::{Held, LackingObject, Replica, ReplicaHost, ScanHost, ScannedRecord};
use neap_protocol::ring::Ring;
use neap_protocol::settings::{BucketTable, SettingsHost, SettingsKeeper, StoredSettings};
use neap_protocol::sli::untracked_at_start;
use neap_protocol::time::{
    CeilingKeeper, ClockTooFarAhead, Hlc, HybridClock, Moment, WallMicros, WallReadings, ceiling_ahead,
};
use neap_protocol::wall_clock::{Readings, WallClock};
use neap_storage::{
    Bookkeeping, Change, Commit, Store, StoreError, Table, keys, objects, settings as records,
};

/// The way back to whoever asked a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A client of the workload, by the number of its operation.
    Operation(u64),
    /// A node that handed a write on.
    Peer(PeerRequestId),
}

/// A request of a peer, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRequestId {
    /// The peer.
    pub peer: NodeIndex,
    /// The connection it came on.
    pub connection: u64,
    /// Its number there.
    pub id: u64,
}

/// The way back to whoever asked a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// This node's coordinator.
    Coordinator {
        /// Handed back.
        tag: u64,
    },
    /// A peer.
    Peer(PeerRequestId),
    /// This node's backfill.
    Backfill {
        /// Whose page the object was on.
        peer: NodeId,
    },
    /// This very replica, which coordinated the write and has to hear that it arrived here.
    Own {
        /// What its acknowledgement waits for.
        ticket: u64,
    },
}

/// The way back, and what an acknowledgement on it promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// To whom.
    pub to: ReplyTo,
    /// The key, where the request was to merge something.
    pub key: Option<KeyIndex>,
    /// What an acknowledgement says is kept; nothing where the request was to fetch.
    pub promise: CausalContext,
}

/// The dots of a run.
#[derive(Debug, Clone, Copy)]
pub struct Dots {
    /// Who issues them.
    pub actor: ActorId,
    /// The last that was issued.
    pub last: u64,
}

impl Dots {
    fn next(&mut self) -> Dot {
        self.last += 1;
        Dot { actor: self.actor, counter: self.last }
    }
}

/// The synced ceiling of a run's clock.
#[derive(Debug)]
pub struct Ceiling {
    synced: Cell<Hlc>,
    /// The highest reading of the wall clock.
    highest: Cell<WallMicros>,
    bookkeeping: Rc<Bookkeeping>,
}

impl Ceiling {
    /// What the wall clock shows, and the highest that it ever showed.
    pub fn readings(&self, now: WallMicros) -> WallReadings {
        self.highest.set(self.highest.get().max(now));
        WallReadings { now, highest: self.highest.get() }
    }
}

impl CeilingKeeper for Ceiling {
    type Error = StoreError;

    fn synced(&self) -> Hlc {
        self.synced.get()
    }

    fn raise(&self, to: Hlc) -> Result<(), StoreError> {
        self.bookkeeping.raise_ceiling(to, self.highest.get())?;
        self.synced.set(self.synced.get().max(to));
        Ok(())
    }
}

/// An object that was just stored.
#[derive(Debug)]
pub struct Stored {
    /// Its key.
    pub key: KeyIndex,
    /// What was there before; none if it was damaged.
    pub before: Option<Object>,
    /// What is there now.
    pub after: Object,
    /// The write that was coordinated here, if it came of one.
    pub coordinated: Option<Box<Coordinate>>,
    /// Whether it reached the store.
    pub kept: bool,
}

/// A run.
#[derive(Debug)]
pub struct Process {
    /// The operations.
    pub coordinator: Coordinator<Client>,
    /// The objects.
    pub replica: Replica<Way>,
    /// The bucket settings.
    pub keeper: SettingsKeeper<u64>,
    /// What is pulled, and what may be answered for.
    pub backfill: Backfill,
    /// Who the peers are.
    pub gate: Gate,
    /// What the run presents of itself.
    pub presented: Presented,
    /// The dots.
    pub dots: Dots,
    /// The clock.
    pub clock: HybridClock,
    /// Its ceiling.
    pub ceiling: Ceiling,
    /// What the directory remembers.
    pub bookkeeping: Rc<Bookkeeping>,
    /// The connections.
    pub transport: Transport,
    /// The syncs.
    pub commit: GroupCommit,
    /// Of how many writes of earlier runs it is not known whether all homes have them.
    pub untracked: u64,
    /// When the world was last asked to wake the coordinator and the transport.
    pub armed: Option<Moment>,
    /// The wall clock as far as it is believed.
    pub wall_clock: RefCell<WallClock>,
    /// What is said of the objectives.
    pub indicators: Indicators,
    /// What messages may take, as this run knows it.
    pub messages: MessageBounds,
    /// What acknowledgements of coordinated writes promise, by their tags.
    pub stamped: BTreeMap<u64, (KeyIndex, Dot)>,
}

/// What a run is made of.
#[derive(Debug)]
pub struct ProcessParts<'a> {
    /// The node's name.
    pub id: NodeId,
    /// The ring.
    pub ring: &'a Ring,
    /// The disk.
    pub disk: &'a Disk,
    /// Whether the last run stopped cleanly.
    pub clean: bool,
    /// Of how many writes it was not known then whether all homes have them.
    pub untracked: Option<u64>,
    /// The bookkeeping that the start has begun.
    pub bookkeeping: Rc<Bookkeeping>,
    /// What the clocks show.
    pub clocks: Readings,
    /// The highest reading of the wall clock in earlier runs.
    pub highest: WallMicros,
    /// What the run presents.
    pub presented: Presented,
    /// Whether a run before it was refused.
    pub refused: bool,
    /// What the directory holds.
    pub holding: Holding,
    /// Who issues its dots.
    pub actor: ActorId,
    /// What buckets have that were never set.
    pub defaults: neap_protocol::bucket::BucketSettings,
    /// How operations are coordinated.
    pub coordinator: CoordinatorSettings,
    /// `limits.timeout`, in microseconds.
    pub timeout_us: u64,
    /// `clock.max_skew`, in microseconds.
    pub max_skew_us: u64,
    /// `storage.commit`.
    pub commit: Commit,
}

impl Process {
    /// A run that has met nobody yet.
    pub fn start(parts: ProcessParts<'_>) -> Result<Self, StoreError> {
        let ProcessParts { id, ring, disk, bookkeeping, presented, .. } = parts;
        let found_ceiling = presented.found_ceiling;
        let known = neap_storage::peers::load(&*disk.store, &mut |_| {})?;
        let (synced, highest) = (Cell::new(found_ceiling), Cell::new(parts.highest));
        let ceiling = Ceiling { synced, highest, bookkeeping: bookkeeping.clone() };
        let messages = parts.coordinator.messages;
        let table = BucketTable::new(parts.defaults, records::load(&*disk.store)?);
        Ok(Self {
            coordinator: Coordinator::new(parts.coordinator),
            replica: Replica::new(parts.timeout_us.saturating_mul(2), parts.actor.0, messages),
            keeper: SettingsKeeper::new(table, ValueLimit { messages, value_bytes: 0 }),
            backfill: Backfill::new(ring.partitions(), parts.holding),
            gate: gate(id, ring, known, parts.refused),
            presented,
            dots: Dots { actor: parts.actor, last: 0 },
            clock: HybridClock::new(found_ceiling, ceiling.synced(), parts.max_skew_us),
            ceiling,
            bookkeeping,
            transport: Transport::default(),
            commit: GroupCommit::new(parts.commit),
            untracked: untracked_at_start(parts.clean, parts.untracked),
            armed: None,
            wall_clock: RefCell::new(WallClock::new(parts.clocks)),
            indicators: Indicators::default(),
            messages,
            stamped: BTreeMap::new(),
        })
    }

    /// Raises the clock's ceiling ahead of the wall clock.
    pub fn keep_ceiling_ahead(&self, wall: WallMicros) -> Result<(), StoreError> {
        self.ceiling.readings(wall);
        match ceiling_ahead(Hlc::from_wall(wall), self.ceiling.synced(), self.gate.is_confirmed()) {
            Some(wanted) => self.ceiling.raise(wanted),
            None => Ok(()),
        }
    }

    /// What this run says of itself in a handshake.
    #[must_use]
    pub fn identity(&self, id: &NodeId, ring: &Ring) -> Identity {
        let presented = self.presented.clone();
        Identity { node: id.clone(), presented, fingerprint: ring.fingerprint() }
    }
}

fn gate(id: NodeId, ring: &Ring, known: KnownIdentities, refused: bool) -> Gate {
    let mut gate = Gate::new(id, ring, known);
    if refused {
        gate.refused(REFUSED_BEFORE);
    }
    gate
}

/// The node, as its replica needs it.
#[derive(Debug)]
pub struct Host<'a> {
    /// The names of the world.
    pub names: &'a Names,
    /// The disk.
    pub disk: &'a Disk,
    /// The syncs.
    pub commit: &'a mut GroupCommit,
    /// The clock.
    pub clock: &'a mut HybridClock,
    /// Its ceiling.
    pub ceiling: &'a Ceiling,
    /// The wall clock.
    pub wall: WallMicros,
    /// The dots.
    pub dots: &'a mut Dots,
    /// Where another actor is drawn from.
    pub random: &'a mut Random,
    /// What may be answered for.
    pub completeness: &'a Completeness,
    /// Whether the identity is confirmed.
    pub confirmed: bool,
    /// Whether what is written reaches the store: not where the write is to cross the network first.
    pub keeps: bool,
    /// The write that is being coordinated.
    pub coordinating: Option<Box<Coordinate>>,
    /// Whether what is read may be written back changed.
    pub writes: bool,
    /// What was read last, for what is written after it.
    pub read: Option<Object>,
    /// What an acknowledgement waits for that is not kept yet.
    pub ticket: Option<u64>,
    /// What was stored.
    pub stored: &'a mut Vec<Stored>,
}

impl Host<'_> {
    fn store(
        &mut self,
        slot: &(Bytes, Option<KeyIndex>),
        object: &Object,
        write: impl Fn(&dyn Store, &Bytes) -> Result<(), StoreError>,
    ) -> Result<(), Refusal> {
        if self.keeps {
            write(&*self.disk.store, &slot.0).map_err(|error| error.refusal())?;
        }
        if let Some(key) = slot.1 {
            let (before, coordinated) = (self.read.take(), self.coordinating.take());
            let (after, kept) = (object.clone(), self.keeps);
            self.stored.push(Stored { key, before, after, coordinated, kept });
        }
        Ok(())
    }
}

impl ReplicaHost for Host<'_> {
    type Slot = (Bytes, Option<KeyIndex>);

    fn slot(&self, partition: PartitionId, bucket: &BucketName, key: &Key) -> Self::Slot {
        (keys::object_key(partition, bucket, key), self.names.key_index(bucket, key))
    }

    fn read(&mut self, slot: &Self::Slot) -> Result<Held, Refusal> {
        let held = match objects::read(&*self.disk.store, &slot.0) {
            Ok(Ok(held)) => held,
            Ok(Err(_)) => Held::Damaged,
            Err(error) => return Err(error.refusal()),
        };
        self.read = match &held {
            _ if !self.writes => None,
            Held::Object(object) | Held::Lacking(LackingObject { object, .. }) => Some(object.clone()),
            Held::Nothing => Some(Object::new()),
            Held::Damaged => None,
        };
        Ok(held)
    }

    fn write(&mut self, slot: &Self::Slot, object: &Object) -> Result<(), Refusal> {
        self.store(slot, object, |store, key| objects::write(store, key, object))
    }

    fn write_lacking(&mut self, slot: &Self::Slot, lacking: &LackingObject) -> Result<(), Refusal> {
        self.store(slot, &lacking.object, |store, key| objects::write_lacking(store, key, lacking))
    }

    fn when_durable(&mut self, ticket: u64) -> bool {
        if !self.keeps {
            self.ticket = Some(ticket);
            return true;
        }
        let waits = self.commit.policy == Commit::Fsync;
        if waits {
            self.commit.wait(ticket);
        }
        waits
    }

    fn issue(&mut self) -> Result<Hlc, Refusal> {
        self.clock.issue_raising(self.wall, self.ceiling).map_err(|error| error.refusal())
    }

    fn shown(&self) -> Hlc {
        self.clock.read(self.wall)
    }

    fn observe(&mut self, frame: Hlc) -> Result<(), ClockTooFarAhead> {
        self.clock.observe(frame, self.ceiling.readings(self.wall))
    }

    fn actor(&self) -> ActorId {
        self.dots.actor
    }

    fn next_dot(&mut self) -> Dot {
        self.dots.next()
    }

    fn renew_actor(&mut self) -> Result<(), Refusal> {
        self.dots.actor = ActorId(self.random.number());
        Ok(())
    }

    fn serves(&self, partition: PartitionId) -> bool {
        self.completeness.serves(partition)
    }

    fn confirmed(&self) -> bool {
        self.confirmed
    }
}

/// The disk, for a scan.
#[derive(Debug)]
pub struct Scanner<'a> {
    /// The disk.
    pub disk: &'a Disk,
    /// What may be answered for.
    pub completeness: &'a Completeness,
}

impl ScanHost for Scanner<'_> {
    fn records(
        &self,
        after: Option<&ScanCursor>,
        limit: usize,
        wanted: &mut dyn FnMut(PartitionId, &BucketName) -> bool,
    ) -> Result<Vec<ScannedRecord>, Refusal> {
        let scanned = objects::scan(&*self.disk.store, after, limit, wanted, &mut |_, _| {});
        scanned.map_err(|error| error.refusal())
    }

    fn may_lack(&self) -> bool {
        self.completeness.may_lack()
    }
}

/// The node, as its keeper of bucket settings needs it.
#[derive(Debug)]
pub struct SettingsNode<'a> {
    /// The disk.
    pub disk: &'a Disk,
    /// The clock.
    pub clock: &'a mut HybridClock,
    /// Its ceiling.
    pub ceiling: &'a Ceiling,
    /// The wall clock.
    pub wall: WallMicros,
    /// Partitions of the ring.
    pub partitions: u32,
    /// Whether the identity is confirmed.
    pub confirmed: bool,
}

impl SettingsHost for SettingsNode<'_> {
    fn confirmed(&self) -> bool {
        self.confirmed
    }

    fn issue(&mut self) -> Result<Hlc, Refusal> {
        self.clock.issue_raising(self.wall, self.ceiling).map_err(|error| error.refusal())
    }

    fn holds_data(&mut self, bucket: &BucketName) -> bool {
        keys::holds_bucket(&*self.disk.store, self.partitions, bucket).unwrap_or(true)
    }

    fn store(&mut self, newer: &[StoredSettings]) -> Result<(), Refusal> {
        let changes = newer.iter().map(|(bucket, settings, version)| {
            let (key, value) = records::encode(bucket, settings, version);
            Change::Put { table: Table::Meta, key, value }
        });
        let store = &self.disk.store;
        store.apply(changes.collect()).and_then(|()| store.sync()).map_err(|error| error.refusal())
    }
}
