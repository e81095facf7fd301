//! Where a node keeps what it must not forget.
//!
//! [`Store`] is all that the rest of the program knows of a disk: ordered bytes in two tables, written in
//! atomic batches, durable once [`Store::sync`] returned.

mod bookkeeping;
mod directory;
mod fjall_store;
mod group_commit;
mod identity;
mod journal_sync;
pub mod keys;
mod memory;
pub mod objects;
pub mod peers;
mod recent;
pub mod record;
mod sealed;
pub mod settings;
mod slo_snapshot;
pub mod slo_summary;
mod space;

pub use bookkeeping::{Begun, Bookkeeping, BookkeepingError};
pub use directory::{DataDirectory, DirectoryError, Expectation, NewDirectoryId, Opened, new_directory_id};
pub use fjall_store::{FjallStore, OpenError, SEALED_MAX, StoreBounds};
pub use group_commit::{
    Commit, CommitStats, DurableSink, GATHER, GroupCommit, OnSyncError, SYNC_INTERVAL, SinkId,
};
pub use memory::MemoryStore;
pub use recent::RecentRecords;
pub use sealed::{RecordDamaged, seal, unseal};
pub use slo_snapshot::SloSnapshot;

use std::ops::ControlFlow;

use bytes::Bytes;

use neap_protocol::message::Refusal;
use neap_protocol::time::CeilingReached;

/// The tables of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Objects, under their partition, bucket and key.
    Objects,
    /// Everything else: identity, the clock's ceiling, bucket settings, what is known of peers.
    Meta,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts `value` under `key`.
    Put {
        /// The table.
        table: Table,
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Removes `key`.
    Remove {
        /// The table.
        table: Table,
        /// The key.
        key: Bytes,
    },
}

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or so nearly that nothing more is written. Nothing changed; reads go on, and writes
    /// too as soon as there is space again.
    #[error(
        "the disk of the data directory is full: {free} bytes are free and {reserve} are kept in reserve"
    )]
    Full {
        /// Bytes free.
        free: u64,
        /// Bytes kept free.
        reserve: u64,
    },
    /// As much as may be in memory waits to be written to files. Nothing changed; writes go on once the disk has caught up.
    #[error("the disk of the data directory is behind: as much as may be waits to be written out")]
    Behind,
    /// The bytes that hold this key, or one of this range, are damaged on disk. Nothing changed; writing the
    /// key again heals it.
    #[error("what is stored there is damaged: {0}")]
    Damaged(String),
    /// A sync failed. Nothing is certain about the disk any more: the process must end.
    #[error("a sync failed: {0}")]
    Sync(String),
    /// Any other failure. Whether anything changed is unknown.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// What a replica says of it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Full { .. } => Refusal::DiskFull,
            Self::Behind => Refusal::Overloaded,
            Self::Damaged(_) => Refusal::Damaged,
            Self::Sync(_) | Self::Failed(_) => Refusal::Storage,
        }
    }
}

impl From<CeilingReached> for StoreError {
    fn from(reached: CeilingReached) -> Self {
        Self::Failed(reached.to_string())
    }
}

/// Ordered bytes on something durable. All calls block; all may be made from any thread.
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// What is under `key`, applied or durable.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Applies the changes together, or none of them. Reads see them at once; they are durable only after
    /// the next [`Store::sync`].
    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError>;

    /// The same for a few bytes of the node's own bookkeeping, which may use what is kept in reserve, so that a
    /// node whose disk is full can start, stop and read its clock.
    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError>;

    /// Makes everything applied before the call durable. After an error nothing is certain about the disk
    /// any more, and the caller must end the process.
    fn sync(&self) -> Result<(), StoreError>;

    /// Hands `each` the entries whose keys are greater than `after` (or from the first) and start with `prefix`, in
    /// order of keys, until it has enough. No more than one entry is in memory for it at a time.
    fn visit(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Up to `limit` entries of those that [`Store::visit`] hands out.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut entries = Vec::new();
        if limit > 0 {
            self.visit(table, prefix, after, &mut |key, value| {
                entries.push((key, value));
                if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(entries)
    }
}
