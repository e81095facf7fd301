//! This node's part in listings of keys: what is asked of it, answered from its disk.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::moment;
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::messages::Damaged;
use crate::actors::placement::Shards;
use crate::actors::ring_membership::RingTable;
use crate::actors::shell::hand_over;
use crate::protocol::ids::{BucketName, Key, NodeId, PartitionId};
use crate::protocol::listing::{
    KeyPage, KeyRange, ListHost, PageRequest, ReadRecord, StatesRequest, list_page, list_states,
};
use crate::protocol::message::{PeerRequest, Refusal};
use crate::protocol::time::Moment;
use crate::protocol::view::View;
use crate::storage::objects::BucketPart;
use crate::storage::{Store, StoreError, objects};

/// A question of a listing to a node.
#[derive(Debug, Clone)]
pub enum KeyQuestion {
    /// For the next keys of a range.
    Page(PageRequest),
    /// For the states of some keys.
    States(StatesRequest),
}

impl KeyQuestion {
    /// The bucket that it is about.
    fn bucket(&self) -> &BucketName {
        match self {
            Self::Page(request) => &request.range.bucket,
            Self::States(request) => &request.bucket,
        }
    }
}

impl From<KeyQuestion> for PeerRequest {
    fn from(question: KeyQuestion) -> Self {
        match question {
            KeyQuestion::Page(request) => Self::ListKeys(request),
            KeyQuestion::States(request) => Self::ListStates(request),
        }
    }
}

/// What an answer is read from, on a thread that may block.
pub(super) struct Disk {
    pub(super) me: NodeId,
    pub(super) ring: Arc<RingTable>,
    pub(super) settings: Arc<SettingsTable>,
    pub(super) completeness: Arc<CompletenessTable>,
    pub(super) store: Arc<dyn Store>,
    pub(super) shards: Arc<Shards>,
    pub(super) counters: Arc<NodeCounters>,
    /// When the answer is to leave with what it has.
    pub(super) ends: Moment,
}

impl Disk {
    /// The page that is asked for. Damaged records are handed to their shards to be healed.
    pub(super) fn answer(&self, question: &KeyQuestion) -> Result<KeyPage, Refusal> {
        let (ring, buckets) = (self.ring.current(), self.settings.current());
        let view = View { me: &self.me, ring: &ring, buckets: &buckets };
        let page = match question {
            KeyQuestion::Page(request) => list_page(view, self, request)?,
            KeyQuestion::States(request) => list_states(view, self, request)?,
        };
        for (key, _) in page.entries.iter().filter(|(_, object)| object.is_none()) {
            let (bucket, key) = (question.bucket().clone(), key.clone());
            let shard = self.shards.of(&ring, &bucket, &key);
            // Counted; it is met again.
            let damaged = Damaged { bucket, key, readable: false };
            let _ = hand_over(&shard.damaged, damaged, &self.counters.mailbox_refused);
        }
        Ok(page)
    }

    fn damaged(&self, key: &Bytes, damage: &objects::Damage) {
        self.counters.damaged_records.add();
        tracing::error!(key = %key.escape_ascii(), "a stored record is damaged: {damage}");
    }
}

fn failed(error: StoreError) -> Refusal {
    tracing::error!("a listing failed: {error}");
    error.refusal()
}

impl ListHost for Disk {
    fn records(
        &self,
        partition: PartitionId,
        range: &KeyRange,
        after: &Key,
        each: &mut dyn FnMut(ReadRecord) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let part = BucketPart { partition, bucket: &range.bucket };
        let mut damaged = |key: &Bytes, damage: &objects::Damage| self.damaged(key, damage);
        objects::visit(&*self.store, part, &range.prefix, after, each, &mut damaged).map_err(failed)
    }

    fn record(
        &self,
        partition: PartitionId,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<Option<ReadRecord>, Refusal> {
        let mut damaged = |key: &Bytes, damage: &objects::Damage| self.damaged(key, damage);
        let part = BucketPart { partition, bucket };
        objects::visit_one(&*self.store, part, key, &mut damaged).map_err(failed)
    }

    fn serves(&self, partition: PartitionId) -> bool {
        self.completeness.current().serves(partition)
    }

    fn is_late(&self) -> bool {
        moment() >= self.ends
    }
}
