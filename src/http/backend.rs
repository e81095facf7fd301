//! What the REST edge needs of a node: the coordinator, and read-only views. Never the storage.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::protocol::bucket::{BucketSettings, SettingsVersion};
use crate::protocol::ids::{BucketName, Key, NodeId};
use crate::protocol::listing::{KeyRange, ListError, ListReply};
use crate::protocol::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::protocol::settings::{SettingsReply, StoredSettings};
use crate::protocol::slo::{SloDocument, SloScope};
use crate::telemetry::RequestTrace;

/// An answer that comes later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A node, as its REST edge sees it.
pub trait Backend: Send + Sync + 'static {
    /// Reads, within `timeout_us` microseconds, as part of a trace if there is one.
    fn read(
        &self,
        read: Read,
        timeout_us: u64,
        trace: Option<RequestTrace>,
    ) -> Later<Result<ReadReply, OperationError>>;

    /// Writes, within `timeout_us` microseconds, as part of a trace if there is one.
    fn write(
        &self,
        write: Write,
        timeout_us: u64,
        trace: Option<RequestTrace>,
    ) -> Later<Result<WriteReply, OperationError>>;

    /// Carries out several operations at once, each by itself, within `timeout_us` microseconds. The replies are in
    /// the order of the operations. An error says that none was begun.
    fn batch(
        &self,
        operations: Vec<(Operation, Option<RequestTrace>)>,
        timeout_us: u64,
    ) -> Later<Result<Vec<OperationReply>, OperationError>>;

    /// Lists keys, up to `limit`, within `timeout_us` microseconds; what is there by then is told.
    fn list_keys(
        &self,
        range: KeyRange,
        limit: usize,
        timeout_us: u64,
    ) -> Later<Result<ListReply, ListError>>;

    /// The settings of a bucket; those of one never set are the defaults.
    fn bucket(&self, bucket: &BucketName) -> (BucketSettings, SettingsVersion);

    /// All buckets that were ever set, by name.
    fn buckets(&self) -> Vec<StoredSettings>;

    /// The settings of buckets that were never set.
    fn bucket_defaults(&self) -> BucketSettings;

    /// Sets a bucket's properties everywhere: answered once a majority of the members, and every reachable
    /// one, stored them.
    fn set_bucket(
        &self,
        bucket: BucketName,
        settings: BucketSettings,
        timeout_us: u64,
    ) -> Later<SettingsReply>;

    /// The ring, as this node sees it.
    fn ring(&self) -> RingView;

    /// The preference list of a key: its partition, then its homes in order.
    fn preference_list(&self, bucket: &BucketName, key: &Key) -> (u32, Vec<NodeId>);

    /// How the objectives stand: here, lately, or in the whole cluster, which asks every node. An error says that too
    /// many ask at once.
    fn slo(&self, scope: SloScope) -> Later<Result<Arc<SloDocument>, OperationError>>;

    /// What keeps this node from serving, if anything does.
    fn not_ready(&self) -> Option<String>;

    /// This node's name.
    fn node(&self) -> NodeId;

    /// All instruments, in Prometheus' text format.
    fn metrics(&self) -> String;

    /// The counters of what was refused or dropped, by name, for `healthz`.
    fn counters(&self) -> Vec<(&'static str, u64)>;
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A read.
    Read(Read),
    /// A write.
    Write(Write),
}

impl Operation {
    /// The bucket that it is about.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        match self {
            Self::Read(read) => &read.bucket,
            Self::Write(write) => &write.bucket,
        }
    }

    /// Its reply where it was not begun.
    #[must_use]
    pub fn refused(&self, error: OperationError) -> OperationReply {
        match self {
            Self::Read(_) => OperationReply::Read(Err(error)),
            Self::Write(_) => OperationReply::Write(Err(error)),
        }
    }
}

/// What came of one.
#[derive(Debug)]
pub enum OperationReply {
    /// Of a read.
    Read(Result<ReadReply, OperationError>),
    /// Of a write.
    Write(Result<WriteReply, OperationError>),
}

/// A member, as `GET /v1/ring` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberView {
    /// Its name.
    pub id: NodeId,
    /// Its zone.
    pub zone: String,
    /// Its weight.
    pub weight: f64,
    /// Where its peers reach it.
    pub address: String,
    /// `up` or `down`, as this node sees it; this node is `up`.
    pub up: bool,
    /// Partitions it is a home of, with the default N.
    pub partitions: u32,
    /// Partitions it is the first home of, with the default N.
    pub first: u32,
}

/// The ring, as `GET /v1/ring` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RingView {
    /// The cluster's name.
    pub cluster: String,
    /// The number of the membership record.
    pub epoch: u64,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// Partitions.
    pub partitions: u32,
    /// The N that the ownership figures are of.
    pub n: u8,
    /// Its members, by name.
    pub members: Vec<MemberView>,
    /// Partitions that this node has not yet pulled from others, so does not serve reads of.
    pub incomplete_partitions: u32,
}
