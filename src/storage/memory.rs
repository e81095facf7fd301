//! A store in memory, for tests and the simulator: it loses what was not synced when it is told to crash, and
//! fails in every way a disk does when it is told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Change, Store, StoreError, Table};

/// [`Store`] in memory. What is applied and not yet synced is kept apart from what is durable.
#[derive(Debug, Default)]
pub struct MemoryStore {
    disk: Mutex<Disk>,
}

type Place = (Table, Bytes);

#[derive(Debug, Default)]
struct Disk {
    durable: BTreeMap<Place, Bytes>,
    unsynced: Vec<Vec<Change>>,
    shown: BTreeMap<Place, Bytes>,
    syncs: u64,
    full: bool,
    sync_fails: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses power: forgets everything that was applied and not synced.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Loses power after the first `batches` unsynced batches had reached the disk by chance: a log keeps a
    /// prefix of what was written.
    pub fn crash_keeping(&self, batches: usize) {
        let mut disk = self.disk();
        let unsynced = std::mem::take(&mut disk.unsynced);
        for batch in unsynced.into_iter().take(batches) {
            carry_out(&mut disk.durable, batch);
        }
        disk.shown = disk.durable.clone();
    }

    /// How many batches were applied since the last sync.
    #[must_use]
    pub fn unsynced_batches(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// How many syncs succeeded.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Whether syncs fail from now on.
    pub fn fail_sync(&self, fails: bool) {
        self.disk().sync_fails = fails;
    }

    /// Whether the disk is full from now on.
    pub fn set_full(&self, full: bool) {
        self.disk().full = full;
    }

    /// Flips a bit of what is stored under `key`. False if there is nothing to damage.
    pub fn corrupt(&self, table: Table, key: &[u8]) -> bool {
        let place = (table, Bytes::copy_from_slice(key));
        let mut disk = self.disk();
        let Disk { durable, shown, .. } = &mut *disk;
        let shown = shown.get_mut(&place).is_some_and(flip_a_bit);
        let durable = durable.get_mut(&place).is_some_and(flip_a_bit);
        shown || durable
    }

    /// No code of this file panics while it holds the lock, so a poisoned one guards whole data.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flip_a_bit(value: &mut Bytes) -> bool {
    let mut damaged = value.to_vec();
    let middle = damaged.len() / 2;
    let Some(byte) = damaged.get_mut(middle) else { return false };
    *byte ^= 1;
    *value = damaged.into();
    true
}

fn carry_out(map: &mut BTreeMap<Place, Bytes>, batch: Vec<Change>) {
    for change in batch {
        match change {
            Change::Put { table, key, value } => map.insert((table, key), value),
            Change::Remove { table, key } => map.remove(&(table, key)),
        };
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.disk().shown.get(&(table, Bytes::copy_from_slice(key))).cloned())
    }

    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if disk.full {
            return Err(StoreError::Full { free: 0, reserve: 0 });
        }
        carry_out(&mut disk.shown, batch.clone());
        disk.unsynced.push(batch);
        Ok(())
    }

    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let mut disk = self.disk();
        carry_out(&mut disk.shown, batch.clone());
        disk.unsynced.push(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if disk.sync_fails {
            return Err(StoreError::Failed("the sync was told to fail".to_owned()));
        }
        for batch in std::mem::take(&mut disk.unsynced) {
            carry_out(&mut disk.durable, batch);
        }
        disk.syncs += 1;
        Ok(())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let disk = self.disk();
        let from = Bytes::copy_from_slice(after.map_or(prefix, |after| after.max(prefix)));
        let entries = disk.shown.range((table, from)..).filter(|((_, key), _)| Some(&key[..]) != after);
        let in_range = entries.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
        Ok(in_range.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
