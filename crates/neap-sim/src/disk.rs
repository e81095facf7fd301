//! The disk of a node: the in-memory store behind group commit, with a latency for each sync.

use std::sync::Arc;

use super::queue::{MICROS, Time};
use super::random::Random;
use neap_protocol::ids::DirectoryId;
use neap_storage::{Bookkeeping, Commit, MemoryStore, StoreError};

/// What a sync takes, on average, in microseconds.
const SYNC_MEAN_US: f64 = 400.0;
/// What it takes at least, in microseconds.
const SYNC_LEAST_US: f64 = 100.0;

/// A data directory.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What it holds.
    pub store: Arc<MemoryStore>,
    /// Its id.
    pub directory: DirectoryId,
    /// How many times longer than usual a sync takes.
    pub slowness: f64,
}

impl Disk {
    /// A new directory.
    pub fn new(directory: DirectoryId) -> Result<Self, StoreError> {
        let store = Arc::new(MemoryStore::new());
        Bookkeeping::make(&*store)?;
        Ok(Self { store, directory, slowness: 1.0 })
    }

    /// A copy, as a backup or a clone is one: the same id, and a store of its own.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { store: Arc::new(self.store.copy()), directory: self.directory, slowness: 1.0 }
    }

    /// What the next sync takes.
    pub fn sync_takes(&self, random: &mut Random) -> Time {
        let us = SYNC_LEAST_US + random.exponential(SYNC_MEAN_US - SYNC_LEAST_US);
        (us * self.slowness * MICROS as f64) as Time
    }
}

/// Group commit: one sync at a time; what comes while it runs waits for the next.
#[derive(Debug)]
pub struct GroupCommit {
    /// When a write counts as durable.
    pub policy: Commit,
    gathering: Vec<u64>,
    syncing: Option<(u64, Vec<u64>)>,
}

impl GroupCommit {
    /// With nothing to sync.
    #[must_use]
    pub fn new(policy: Commit) -> Self {
        Self { policy, gathering: Vec::new(), syncing: None }
    }

    /// `ticket` waits for the next sync.
    pub fn wait(&mut self, ticket: u64) {
        self.gathering.push(ticket);
    }

    /// Begins a sync if there is need and none runs. Gives how many batches it will make durable.
    pub fn begin(&mut self, disk: &Disk) -> Option<u64> {
        if self.syncing.is_some() || self.gathering.is_empty() {
            return None;
        }
        let applied = disk.store.applied();
        self.syncing = Some((applied, std::mem::take(&mut self.gathering)));
        Some(applied)
    }

    /// Whether the sync that runs succeeds.
    #[must_use]
    pub fn can_end(&self, disk: &Disk) -> bool {
        !disk.store.syncs_fail()
    }

    /// The sync that runs has ended: what it made durable is, and these tickets go back.
    pub fn end(&mut self, disk: &Disk) -> Vec<u64> {
        let Some((applied, tickets)) = self.syncing.take() else { return Vec::new() };
        if self.can_end(disk) {
            disk.store.sync_up_to(applied);
        }
        tickets
    }
}
