//! A store in memory, for tests and the simulator: it loses what was not synced when it is told to crash, and
//! fails in every way a disk does when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Change, Store, StoreError, Table};

/// [`Store`] in memory. What is applied and not yet synced can be undone.
#[derive(Debug, Default)]
pub struct MemoryStore {
    disk: Mutex<Disk>,
}

/// Where a value lies.
pub type Place = (Table, Bytes);

#[derive(Debug, Default)]
struct Disk {
    objects: BTreeMap<Bytes, Bytes>,
    meta: BTreeMap<Bytes, Bytes>,
    /// What each batch that is not synced yet replaced, the oldest batch first.
    undo: VecDeque<Vec<(Place, Option<Bytes>)>>,
    /// Batches that were applied.
    applied: u64,
    syncs: u64,
    full: bool,
    sync_fails: bool,
    sync_failed: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses power: forgets everything that was applied and not synced. Gives the places that changed by it.
    pub fn crash(&self) -> Vec<Place> {
        self.crash_keeping(0)
    }

    /// Loses power after the first `batches` unsynced batches had reached the disk by chance: a log keeps a
    /// prefix of what was written. Gives the places that changed by it.
    pub fn crash_keeping(&self, batches: usize) -> Vec<Place> {
        let mut disk = self.disk();
        let mut changed = Vec::new();
        while disk.undo.len() > batches {
            let Some(batch) = disk.undo.pop_back() else { break };
            for ((table, key), before) in batch.into_iter().rev() {
                match before {
                    Some(value) => disk.table(table).insert(key.clone(), value),
                    None => disk.table(table).remove(&key),
                };
                changed.push((table, key));
            }
        }
        disk.undo.clear();
        changed.sort();
        changed.dedup();
        changed
    }

    /// How many batches were applied since the last sync.
    #[must_use]
    pub fn unsynced_batches(&self) -> usize {
        self.disk().undo.len()
    }

    /// How many batches were applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.disk().applied
    }

    /// Makes the first `applied` batches durable: what a sync does that began when so many were applied.
    pub fn sync_up_to(&self, applied: u64) {
        let mut disk = self.disk();
        disk.syncs += 1;
        while disk.applied - (disk.undo.len() as u64) < applied && disk.undo.pop_front().is_some() {}
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

    /// Whether syncs fail just now.
    #[must_use]
    pub fn syncs_fail(&self) -> bool {
        self.disk().sync_fails
    }

    /// Whether a sync has failed since this was last asked.
    pub fn take_failed_sync(&self) -> bool {
        std::mem::take(&mut self.disk().sync_failed)
    }

    /// Whether the disk is full from now on.
    pub fn set_full(&self, full: bool) {
        self.disk().full = full;
    }

    /// A copy of what reads see now, all of it durable: a backup, or a cloned disk.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.disk();
        let (objects, meta) = (disk.objects.clone(), disk.meta.clone());
        Self { disk: Mutex::new(Disk { objects, meta, ..Disk::default() }) }
    }

    /// Flips a bit of what is stored under `key`. False if there is nothing to damage.
    pub fn corrupt(&self, table: Table, key: &[u8]) -> bool {
        self.disk().table(table).get_mut(key).is_some_and(flip_a_bit)
    }

    /// How many objects it holds.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.disk().objects.len()
    }

    /// The key of the `nth` object, in storage order.
    #[must_use]
    pub fn nth_object(&self, nth: usize) -> Option<Bytes> {
        self.disk().objects.keys().nth(nth).cloned()
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

impl Disk {
    fn table(&mut self, table: Table) -> &mut BTreeMap<Bytes, Bytes> {
        match table {
            Table::Objects => &mut self.objects,
            Table::Meta => &mut self.meta,
        }
    }

    fn carry_out(&mut self, batch: Vec<Change>) {
        let undo = batch.into_iter().map(|change| match change {
            Change::Put { table, key, value } => {
                let before = self.table(table).insert(key.clone(), value);
                ((table, key), before)
            }
            Change::Remove { table, key } => {
                let before = self.table(table).remove(&key);
                ((table, key), before)
            }
        });
        let undo = undo.collect();
        self.undo.push_back(undo);
        self.applied += 1;
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.disk().table(table).get(key).cloned())
    }

    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if disk.full {
            return Err(StoreError::Full { free: 0, reserve: 0 });
        }
        disk.carry_out(batch);
        Ok(())
    }

    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        self.disk().carry_out(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if disk.sync_fails {
            disk.sync_failed = true;
            return Err(StoreError::Sync("it was told to fail".to_owned()));
        }
        disk.undo.clear();
        disk.syncs += 1;
        Ok(())
    }

    fn visit(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut disk = self.disk();
        let from = after.map_or(prefix, |after| after.max(prefix));
        let entries =
            disk.table(table).range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded));
        let entries = entries.filter(|(key, _)| Some(&key[..]) != after);
        for (key, value) in entries.take_while(|(key, _)| key.starts_with(prefix)) {
            if each(key.clone(), value.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
