//! A node's data directory: who it belongs to, and what a start must know of the runs before it.
//!
//! ```text
//! LOCK         held locked by the process that uses the directory
//! neap.toml    format, cluster, node, partitions, directory id
//! store/       the store; its Meta table holds the start record, the clock's ceiling and the complete mark
//! slo.bin      the windows of the objectives; may be missing
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bookkeeping::{Begun, Bookkeeping, BookkeepingError};
use super::identity::{self, Identity, Stage, sync_directory};
use super::{FjallStore, OpenError, StoreBounds, StoreError};
use neap_protocol::ids::{DirectoryId, NodeId};
use neap_protocol::membership::RunId;

const LOCK_FILE: &str = "LOCK";
const STORE: &str = "store";
/// What a freshly made file system may hold of its own.
const LOST_AND_FOUND: &str = "lost+found";

/// Whom a directory must belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// `cluster.name`.
    pub cluster: String,
    /// `node.id`.
    pub node: NodeId,
    /// `cluster.partitions`.
    pub partitions: u32,
}

/// An opened directory, and what this run goes by.
#[derive(Debug)]
pub struct Opened {
    /// The directory, locked for as long as this lives.
    pub handle: DataDirectory,
    /// Its store.
    pub store: Arc<FjallStore>,
    /// Its id.
    pub directory: DirectoryId,
    /// What the run found.
    pub begun: Begun,
}

/// Why a directory was not opened, or its bookkeeping not written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file or directory could not be used. Nothing that was stored is lost.
    #[error("cannot {doing} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process has the directory open. Nothing changed.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is of another format, cluster, node or number of partitions. Nothing changed.
    #[error("the data directory {} has {what} {found}, expected {expected}", path.display())]
    Mismatch {
        /// The directory.
        path: PathBuf,
        /// Which of them.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The identity file makes no sense. Nothing changed.
    #[error("the identity file {} cannot be read: {reason}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory has no identity file, and holds something. Nothing changed.
    #[error("{} is no data directory: it holds {found:?} and no {}", path.display(), identity::FILE)]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// There is no data directory. Nothing changed.
    #[error("{} is no data directory: it has no {}", path.display(), identity::FILE)]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The directory had a store, and it is gone. Nothing changed.
    #[error("the data directory {} has lost its store: {}/{STORE} is missing", path.display(), path.display())]
    StoreMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The store cannot be opened. Nothing that was stored is lost.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error("the data directory's bookkeeping failed: {0}")]
    Store(#[from] StoreError),
    /// A record of the bookkeeping is missing or damaged, so that this run could repeat what an earlier one
    /// said. Nothing changed.
    #[error("the data directory {}: its record {record} is unusable: {reason}", path.display())]
    Record {
        /// The directory.
        path: PathBuf,
        /// The record's key.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gave no random number for the id of a directory or a run. Nothing changed.
    #[error("no id could be drawn: {0}")]
    Random(String),
}

impl DirectoryError {
    pub(super) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), reason: error.to_string() }
    }

    fn bookkeeping(path: &Path, error: BookkeepingError) -> Self {
        let path = path.to_owned();
        match error {
            BookkeepingError::Store(error) => Self::Store(error),
            BookkeepingError::Record { record, reason } => Self::Record { path, record, reason },
        }
    }
}

/// A data directory in use by this process.
#[derive(Debug)]
pub struct DataDirectory {
    bookkeeping: Bookkeeping,
    /// Unlocked as it closes.
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory `path` for the node that `expected` names, or makes it. When this returns, the
    /// run is recorded durably; `synced` says that it acknowledges only what is synced.
    pub fn open(
        path: &Path,
        expected: &Expectation,
        synced: bool,
        bounds: StoreBounds,
    ) -> Result<Opened, DirectoryError> {
        let lock = lock(path)?;
        let (identity, new) = match Identity::read(path)? {
            Some(identity) => {
                identity.check(path, expected)?;
                let interrupted = identity.stage() == Stage::Creating;
                (identity, interrupted)
            }
            None => {
                refuse_foreign(path)?;
                (Identity::new(expected, draw_directory_id()?), true)
            }
        };
        let directory = identity.directory(path)?;
        let store = Arc::new(if new { create(path, identity, bounds)? } else { open_store(path, bounds)? });
        let run = RunId(draw()?);
        let (bookkeeping, begun) = Bookkeeping::begin(store.clone(), run, synced)
            .map_err(|error| DirectoryError::bookkeeping(path, error))?;
        let handle = Self { bookkeeping, _lock: lock };
        Ok(Opened { handle, store, directory, begun })
    }

    /// The bookkeeping of this run.
    #[must_use]
    pub fn bookkeeping(&self) -> &Bookkeeping {
        &self.bookkeeping
    }
}

/// What [`new_directory_id`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDirectoryId {
    /// The id before.
    pub old: DirectoryId,
    /// The id now.
    pub new: DirectoryId,
}

/// Gives the directory `path` a new id, so that a restored backup or a copied disk is a directory of its own.
/// Its data stay; it is not complete until it merged what it may lack from the other homes.
pub fn new_directory_id(path: &Path) -> Result<NewDirectoryId, DirectoryError> {
    let missing = || DirectoryError::Missing { path: path.to_owned() };
    if !path.is_dir() {
        return Err(missing());
    }
    let _lock = lock(path)?;
    let mut identity = Identity::read(path)?.ok_or_else(missing)?;
    let old = identity.directory(path)?;
    if identity.stage() == Stage::Ready {
        // Before the new id is: interrupted in between, the directory is merely incomplete under the old one.
        let store = open_store(path, StoreBounds::default())?;
        Bookkeeping::forget_runs(&store)?;
    }
    let new = draw_directory_id()?;
    identity.set_directory(new);
    identity.write(path)?;
    Ok(NewDirectoryId { old, new })
}

/// Makes the directory if it is not there, and locks it for this process.
fn lock(path: &Path) -> Result<File, DirectoryError> {
    if !path.is_dir() {
        fs::create_dir_all(path)
            .and_then(|()| sync_directory(&path.canonicalize()?.join("..")))
            .map_err(|error| DirectoryError::io("create", path, &error))?;
    }
    let file = path.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(|error| DirectoryError::io("open", &file, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(DirectoryError::io("lock", &file, &error)),
    }
}

/// A directory without identity file must be empty but for what an interrupted or refused start leaves there.
fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    let failed = |error: &io::Error| DirectoryError::io("list", path, error);
    for entry in fs::read_dir(path).map_err(|error| failed(&error))? {
        let found = entry.map_err(|error| failed(&error))?.file_name().to_string_lossy().into_owned();
        if ![LOCK_FILE, LOST_AND_FOUND, identity::TEMPORARY_FILE].contains(&found.as_str()) {
            return Err(DirectoryError::Foreign { path: path.to_owned(), found });
        }
    }
    Ok(())
}

/// Makes an empty store. The identity file says that it is being made until it is whole, so that a later start
/// can tell a store that was never finished from one that was lost.
fn create(path: &Path, mut identity: Identity, bounds: StoreBounds) -> Result<FjallStore, DirectoryError> {
    identity.write(path)?;
    let place = path.join(STORE);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(|error| DirectoryError::io("remove", &place, &error))?;
    }
    let store = FjallStore::open(&place, bounds)?;
    Bookkeeping::make(&store)?;
    sync_directory(path).map_err(|error| DirectoryError::io("sync", path, &error))?;
    identity.set_stage(Stage::Ready);
    identity.write(path)?;
    Ok(store)
}

fn open_store(path: &Path, bounds: StoreBounds) -> Result<FjallStore, DirectoryError> {
    let place = path.join(STORE);
    if place.is_dir() {
        Ok(FjallStore::open(&place, bounds)?)
    } else {
        Err(DirectoryError::StoreMissing { path: path.to_owned() })
    }
}

fn draw_directory_id() -> Result<DirectoryId, DirectoryError> {
    draw().map(DirectoryId)
}

fn draw() -> Result<u64, DirectoryError> {
    getrandom::u64().map_err(|error| DirectoryError::Random(error.to_string()))
}
