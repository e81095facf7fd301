//! The store on disk: fjall, a log-structured merge tree.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};

use super::journal_sync::JournalSync;
use super::space::SpaceGuard;
use super::{Change, Store, StoreError, Table};

/// One worker for flushes, so that a long compaction never holds them up, and one for compactions.
const WORKERS: usize = 2;

/// How much nicer the workers are than the threads that serve requests (`nice(2)`): what they do can wait a little,
/// but under a load that never ends it must still get done, or fjall stops writers until it is.
#[cfg(target_os = "linux")]
const WORKERS_NICER_BY: i32 = 5;

/// Usual bytes of a memtable of [`Table::Objects`], at the most.
const OBJECTS_MEMTABLE_BYTES: u64 = 96 * MIB;

/// Memtables that wait for the disk while writes are still taken. With one more, fjall would stop the thread of the shard.
pub const SEALED_MAX: usize = 3;

/// Bytes that are written between two looks at the memtables.
const LOOK_AFTER_BYTES: u64 = 256 * 1024;

/// The most for [`Table::Meta`], whose entries are small.
const META_MEMTABLE_BYTES: u64 = 4 * MIB;

/// Bytes of one file of a tree. A compaction that picks the least work, as fjall's does, rewrites about one
/// file and the ten it overlaps on the next level, so this bounds the space that it needs besides the data.
const FILE_BYTES: u64 = 8 * MIB;

/// The most that one compaction is expected to write before it frees what it replaced: twelve files on the
/// deeper levels, or all of the first two levels, four memtables' files and four files.
const COMPACTION_BYTES: u64 = 12 * FILE_BYTES;

/// Bytes kept free for manifests, the file system's own needs, the node's last words (clock, clean stop), and
/// writes that were admitted at the same moment.
const SLACK_BYTES: u64 = 8 * MIB;

/// Bytes kept free even from the node's own bookkeeping.
const LAST_BYTES: u64 = MIB;

const MIB: u64 = 1024 * 1024;

/// Bounds on what a store takes of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreBounds {
    /// Table files that stay open between reads. More are open while they are written or read.
    pub cached_files: usize,
    /// Bytes of decoded blocks kept in memory. The cache fills as keys are read, so an idle node does not pay for it.
    pub block_cache: u64,
    /// Bytes of recent writes that [`Table::Objects`] gathers in memory before it writes them out as a file. Each time it
    /// begins another memtable, fjall syncs the journal while writers wait, for tens of milliseconds: so that this is
    /// seldom. Writes are refused while [`SEALED_MAX`] of them wait for the disk.
    pub memtable: u64,
}

impl Default for StoreBounds {
    /// fjall's own choice on Linux.
    fn default() -> Self {
        Self { cached_files: 900, block_cache: 64 * MIB, memtable: OBJECTS_MEMTABLE_BYTES }
    }
}

/// [`Store`] on disk.
///
/// Before each write it looks whether the disk has space for all that fjall would then still have to write:
/// what is in memory and not yet in files, one compaction, and some slack. That is [`StoreError::Full`]'s
/// reserve: about 8 MiB for an empty store, growing with the data to about 110 MiB plus what is in memory.
#[derive(Debug)]
pub struct FjallStore {
    database: Handle<Database>,
    objects: Handle<Keyspace>,
    meta: Handle<Keyspace>,
    journal: JournalSync,
    space: SpaceGuard,
    memtable_max: u64,
    /// Bytes written since the memtables were looked at.
    unseen: AtomicU64,
    /// Whether the disk is behind: then they are looked at before each write.
    behind: AtomicBool,
    looking: Mutex<()>,
}

/// fjall's handles do not say what they are.
struct Handle<T>(T);

impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fjall")
    }
}

/// Why a store was not opened. Nothing that was stored is lost.
#[derive(Debug, thiserror::Error)]
#[error("the store in {} cannot be opened: {reason}", path.display())]
pub struct OpenError {
    /// Where it is.
    pub path: PathBuf,
    /// What fjall says.
    pub reason: String,
}

/// Lets a thread of its own open the database: the workers that fjall starts are as nice as the one that starts them.
fn nicer<T: Send>(open: impl FnOnce() -> T + Send) -> Result<T, fjall::Error> {
    std::thread::scope(|scope| {
        let opening = std::thread::Builder::new().name("neap-open".to_owned()).spawn_scoped(scope, || {
            // On Linux each thread has a niceness of its own, though POSIX gives one to the process.
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::process::nice(WORKERS_NICER_BY) {
                tracing::warn!("what the store does in the background competes with requests: {error}");
            }
            open()
        })?;
        opening.join().map_err(|_| fjall::Error::Poisoned)
    })
}

impl FjallStore {
    /// Opens the store in the directory `path`, or makes an empty one.
    pub fn open(path: &Path, bounds: StoreBounds) -> Result<Self, OpenError> {
        // Drawn when the store is made, and kept by fjall. The replicas of a key get the same writes: were it the same on all of
        // them, they would write out at the same moment, and none of them would be quick.
        let memtable_bytes = rand::random_range(bounds.memtable / 3 * 2..=bounds.memtable);
        let opened = || {
            let database = Database::builder(path)
                .cache_size(bounds.block_cache)
                .worker_threads(WORKERS)
                .max_cached_files(Some(bounds.cached_files))
                .open()?;
            let objects = database.keyspace("objects", || keyspace_options(memtable_bytes))?;
            let meta = database.keyspace("meta", || keyspace_options(META_MEMTABLE_BYTES))?;
            // A new keyspace is durable before anything can be in it.
            database.persist(PersistMode::SyncAll)?;
            Ok((database, objects, meta))
        };
        let (database, objects, meta) = nicer(opened)
            .and_then(|opened| opened)
            .map_err(|error: fjall::Error| OpenError { path: path.to_owned(), reason: error.to_string() })?;
        let store = Self {
            database: Handle(database),
            objects: Handle(objects),
            meta: Handle(meta),
            journal: JournalSync::new(path.to_owned()),
            space: SpaceGuard::new(path.to_owned()),
            memtable_max: bounds.memtable,
            unseen: AtomicU64::new(0),
            behind: AtomicBool::new(false),
            looking: Mutex::new(()),
        };
        // What was read from journals may be more than a memtable is to hold.
        let looked = store.look_at_memtables();
        looked.map_err(|error| OpenError { path: path.to_owned(), reason: error.to_string() })?;
        Ok(store)
    }

    /// Bytes of the memtable of objects that is being written to.
    #[must_use]
    pub fn memtable_bytes(&self) -> u64 {
        self.objects.0.tree.active_memtable().size()
    }

    /// Has a memtable that holds too much written out, and notes whether the disk is behind.
    ///
    /// fjall does the first itself, at the bound that it was given when the store was made, some time after a write. So this
    /// is for stores of other bounds, and for writers that are faster than that.
    fn look_at_memtables(&self) -> Result<(), StoreError> {
        let objects = &self.objects.0;
        // Who comes second would seal the new memtable, which is empty.
        let Ok(_alone) = self.looking.try_lock() else { return Ok(()) };
        if self.memtable_bytes() > self.memtable_max / 4 * 5 {
            objects.rotate_memtable().map_err(failed)?;
        }
        self.behind.store(objects.sealed_memtable_count() >= SEALED_MAX, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses a write while the disk is behind.
    fn admit_to_memory(&self, bytes: u64) -> Result<(), StoreError> {
        let unseen = self.unseen.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unseen >= LOOK_AFTER_BYTES || self.behind.load(Ordering::Relaxed) {
            self.unseen.store(0, Ordering::Relaxed);
            self.look_at_memtables()?;
        }
        if self.behind.load(Ordering::Relaxed) { Err(StoreError::Behind) } else { Ok(()) }
    }

    /// Writes what is in memory out to files, and waits for it.
    #[cfg(test)]
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.objects.0.rotate_memtable_and_wait().map_err(failed)?;
        self.meta.0.rotate_memtable_and_wait().map_err(failed)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // The batch goes to the operating system as it commits, which `JournalSync` relies on.
        let mut batch = self.database.0.batch().durability(Some(PersistMode::Buffer));
        for change in changes {
            match change {
                Change::Put { table, key, value } => batch.insert(self.keyspace(table), key, value),
                Change::Remove { table, key } => batch.remove(self.keyspace(table), key),
            }
        }
        batch.commit().map_err(failed)
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        match table {
            Table::Objects => &self.objects.0,
            Table::Meta => &self.meta.0,
        }
    }

    /// Bytes that must stay free.
    fn reserve(&self) -> u64 {
        let unflushed: u64 = [(&self.objects, OBJECTS_MEMTABLE_BYTES), (&self.meta, META_MEMTABLE_BYTES)]
            .into_iter()
            .map(|(keyspace, memtable_bytes)| {
                let sealed = u64::try_from(keyspace.0.sealed_memtable_count()).unwrap_or(u64::MAX);
                keyspace.0.tree.active_memtable().size() + sealed.saturating_mul(memtable_bytes)
            })
            .sum();
        let compaction = self.objects.0.disk_space().saturating_add(unflushed).min(COMPACTION_BYTES);
        unflushed + compaction + SLACK_BYTES
    }
}

fn keyspace_options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(FILE_BYTES);
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .compaction_strategy(std::sync::Arc::new(compaction))
}

fn size_of_change(change: &Change) -> u64 {
    /// The journal's own bytes for each change, and room to spare.
    const OVERHEAD: usize = 64;
    let len = match change {
        Change::Put { key, value, .. } => key.len() + value.len(),
        Change::Remove { key, .. } => key.len(),
    };
    u64::try_from(len + OVERHEAD).unwrap_or(u64::MAX)
}

/// A poisoned database takes no writes any more: one of its workers failed to write a file or to sync a journal, and nobody
/// is left to flush. Only a restart helps, as after a sync that failed here.
fn failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Poisoned => StoreError::Sync("a worker of the store failed".to_owned()),
        _ => StoreError::Failed(error.to_string()),
    }
}

/// Damage of what was read is that key's trouble alone; anything else is the store's.
fn read_failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Storage(
            LsmError::ChecksumMismatch { .. }
            | LsmError::InvalidTag(_)
            | LsmError::InvalidTrailer
            | LsmError::InvalidHeader(_)
            | LsmError::Decompress(_),
        ) => StoreError::Damaged(error.to_string()),
        _ => failed(error),
    }
}

impl Store for FjallStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace(table).get(key).map_err(read_failed)?;
        Ok(value.map(Bytes::from))
    }

    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let bytes: u64 = batch.iter().map(size_of_change).sum();
        self.admit_to_memory(bytes)?;
        // Each byte is written twice: to the journal now, to a file of the tree later.
        self.space.admit(bytes.saturating_mul(2), || self.reserve())?;
        self.commit(batch)
    }

    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let free = self.space.free()?;
        if free < LAST_BYTES {
            return Err(StoreError::Full { free, reserve: LAST_BYTES });
        }
        self.commit(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let well = || {
            let persisted = self.database.0.persist(PersistMode::Buffer);
            persisted.map_err(|error| StoreError::Sync(error.to_string()))
        };
        well()?;
        let synced = self.journal.sync();
        synced.map_err(|error| StoreError::Sync(format!("the journal cannot be synced: {error}")))?;
        well()
    }

    fn visit(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};

        let from = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        for entry in self.keyspace(table).range::<&[u8], _>((from, Unbounded)) {
            let (key, value) = entry.into_inner().map_err(read_failed)?;
            if !key.starts_with(prefix) || each(Bytes::from(key), Bytes::from(value)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str, value: Bytes) -> Change {
        Change::Put { table: Table::Objects, key: Bytes::from_static(key.as_bytes()), value }
    }

    /// Flips a bit in the middle of each file of the trees that holds `needle`, next to it.
    fn damage_files_with(folder: &Path, needle: &[u8]) -> usize {
        let mut damaged = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                damaged += damage_files_with(&path, needle);
            } else if path.extension().is_none_or(|extension| extension != "jnl") {
                let mut bytes = std::fs::read(&path).unwrap();
                let at = bytes.windows(needle.len()).position(|window| window == needle);
                if let Some(at) = at {
                    bytes[at] ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                    damaged += 1;
                }
            }
        }
        damaged
    }

    #[test]
    fn damage_on_disk_is_an_error_for_that_key_which_a_write_heals() {
        let directory = tempfile::tempdir().unwrap();
        {
            let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
            let needle = Bytes::from("needle".repeat(2_000));
            store.apply(vec![put("good", Bytes::from("hay".repeat(5_000))), put("hurt", needle)]).unwrap();
            store.flush().unwrap();
            store.sync().unwrap();
        }
        assert!(damage_files_with(&directory.path().join("keyspaces"), b"needleneedle") > 0);
        let journals = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        for journal in journals.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")) {
            std::fs::remove_file(journal).unwrap();
        }

        let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
        let error = store.get(Table::Objects, b"hurt").unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        let error = store.scan(Table::Objects, b"h", None, 10).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert_eq!(store.get(Table::Objects, b"good").unwrap(), Some(Bytes::from("hay".repeat(5_000))));

        store.apply(vec![put("hurt", Bytes::from_static(b"healed"))]).unwrap();
        store.sync().unwrap();
        assert_eq!(store.get(Table::Objects, b"hurt").unwrap(), Some(Bytes::from_static(b"healed")));
    }

    #[test]
    fn once_nothing_can_be_flushed_any_more_each_write_says_that_the_process_must_end() {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
        store.apply(vec![put("a", Bytes::from_static(b"1"))]).unwrap();
        std::fs::remove_dir_all(directory.path().join("keyspaces")).unwrap();
        let _ = store.objects.0.rotate_memtable();
        let error = (0..1_000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            store.apply(vec![put("a", Bytes::from_static(b"2"))]).err()
        });
        assert!(matches!(error, Some(StoreError::Sync(_))), "{error:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn workers_are_nicer_than_those_who_wait_for_them() {
        let niceness = |stat: &str| -> i32 {
            // After the name, which may hold anything, `nice` is the 17th field.
            stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
        };
        let of_thread = |path: &Path| niceness(&std::fs::read_to_string(path.join("stat")).unwrap());
        let mine = of_thread(Path::new("/proc/thread-self"));
        let directory = tempfile::tempdir().unwrap();
        let _store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "fjall:worker")
        };
        // Those of other tests come and go.
        let workers: Vec<i32> = threads
            .filter(named)
            .filter_map(|path| std::fs::read_to_string(path.join("stat")).ok().map(|stat| niceness(&stat)))
            .collect();
        assert!(workers.len() >= WORKERS, "{workers:?}");
        assert!(workers.iter().all(|nice| *nice == (mine + WORKERS_NICER_BY).min(19)), "{mine}: {workers:?}");
        assert_eq!(of_thread(Path::new("/proc/thread-self")), mine);
    }

    #[test]
    fn the_reserve_covers_what_is_in_memory_and_stays_small_for_a_small_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
        let empty = store.reserve();
        assert!(empty < SLACK_BYTES + MIB, "{empty}");
        store.apply(vec![put("a", Bytes::from(vec![7; 4 * 1024 * 1024]))]).unwrap();
        assert!(store.reserve() >= empty + 8 * MIB, "{}", store.reserve());
    }
}
