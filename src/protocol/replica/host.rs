//! What a replica needs of its node.

use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, Dot, Key, PartitionId};
use crate::protocol::message::{Refusal, ScanCursor};
use crate::protocol::time::{ClockTooFarAhead, Hlc};

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// An object.
    Object(Object),
    /// Nothing was ever written there.
    Nothing,
    /// A record that cannot be read.
    Damaged,
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

    /// Asks for `ticket` to be handed back ([`super::Replica::durable`]) once all that was written so far is as
    /// durable as `storage.commit` asks; false if it is so already.
    fn when_durable(&mut self, ticket: u64) -> bool;

    /// The next HLC.
    fn issue(&mut self) -> Result<Hlc, Refusal>;

    /// What the clock shows.
    fn shown(&self) -> Hlc;

    /// Takes a frame's clock into account, or refuses it.
    fn observe(&mut self, frame: Hlc) -> Result<(), ClockTooFarAhead>;

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
    /// How long it is, in bytes.
    pub bytes: usize,
    /// What it holds; none if it is damaged.
    pub object: Option<Object>,
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
