//! What a replica needs of its node.

use crate::causality::{CausalContext, Object};
use crate::ids::{ActorId, BucketName, Dot, Key, PartitionId};
use crate::message::{Refusal, ScanCursor};
use crate::time::{ClockTooFarAhead, Hlc};

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// An object.
    Object(Object),
    /// An object that lacks what was too large to be sent to this replica.
    Lacking(LackingObject),
    /// Nothing was ever written there.
    Nothing,
    /// A record that cannot be read.
    Damaged,
}

/// An object that lacks what was too large to be sent to this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingObject {
    /// What is held of it.
    pub object: Object,
    /// What it must have seen to lack nothing any more.
    pub lacks: CausalContext,
}

impl Held {
    /// An object that must have seen `lacks`, if it is not yet known to have.
    #[must_use]
    pub fn of(object: Object, lacks: Option<CausalContext>) -> Self {
        match lacks.filter(|lacks| !object.context().covers_all(lacks)) {
            Some(lacks) => Self::Lacking(LackingObject { object, lacks }),
            None => Self::Object(object),
        }
    }

    /// The object, if it lacks nothing.
    #[must_use]
    pub fn whole(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Lacking(_) | Self::Nothing | Self::Damaged => None,
        }
    }

    /// The object, whole or not; none if there is none that can be read.
    #[must_use]
    pub fn object(self) -> Option<Object> {
        match self {
            Self::Object(object) | Self::Lacking(LackingObject { object, .. }) => Some(object),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

/// The node's disk, clock and identity. Calls are answered at once; none of them waits for a sync but where it
/// says so.
pub trait ReplicaHost {
    /// Where an object lies, in whatever form the disk likes.
    type Slot;

    /// Where the object of this key lies.
    fn slot(&self, partition: PartitionId, bucket: &BucketName, key: &Key) -> Self::Slot;

    /// What lies there.
    fn read(&mut self, slot: &Self::Slot) -> Result<Held, Refusal>;

    /// Puts it there. Reads see it at once.
    fn write(&mut self, slot: &Self::Slot, object: &Object) -> Result<(), Refusal>;

    /// Puts it there as one that lacks something. Reads see it at once.
    fn write_lacking(&mut self, slot: &Self::Slot, object: &LackingObject) -> Result<(), Refusal>;

    /// Asks for `ticket` to be handed back ([`super::Replica::durable`]) once all that was written so far is as
    /// durable as `storage.commit` asks; false if it is so already.
    fn when_durable(&mut self, ticket: u64) -> bool;

    /// The next HLC.
    fn issue(&mut self) -> Result<Hlc, Refusal>;

    /// What the clock shows.
    fn shown(&self) -> Hlc;

    /// Takes a frame's clock into account, or refuses it.
    fn observe(&mut self, frame: Hlc) -> Result<(), ClockTooFarAhead>;

    /// Who issues the next dot.
    fn actor(&self) -> ActorId;

    /// The next dot.
    fn next_dot(&mut self) -> Dot;

    /// Draws another actor for all dots to come.
    fn renew_actor(&mut self) -> Result<(), Refusal>;

    /// Whether this node may answer reads of `partition`.
    fn serves(&self, partition: PartitionId) -> bool;

    /// Whether this node's identity is confirmed, so that it may answer as a home.
    fn confirmed(&self) -> bool;
}

/// One record of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedRecord {
    /// Where it lies in storage order.
    pub cursor: ScanCursor,
    /// Whose it is; none if the stored key is none of an object.
    pub place: Option<(PartitionId, BucketName, Key)>,
    /// What it holds; nothing if it was not read.
    pub held: Held,
}

/// The node's disk, for those who look at all of it.
pub trait ScanHost {
    /// Up to `limit` records after `after`, in storage order. Only those that `wanted` names need be read.
    fn records(
        &self,
        after: Option<&ScanCursor>,
        limit: usize,
        wanted: &mut dyn FnMut(PartitionId, &BucketName) -> bool,
    ) -> Result<Vec<ScannedRecord>, Refusal>;

    /// Whether this node may lack writes that only it acknowledged.
    fn may_lack(&self) -> bool;
}
