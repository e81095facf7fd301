//! Refuses writes before the disk is full.
//!
//! A log-structured store that meets a full disk in the middle of a flush or a compaction takes no more writes
//! until it is opened anew. So space for that work is kept in reserve, and what would eat into it is refused.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;

/// How long a reckoned reserve is good for.
const MAX_AGE: Duration = Duration::from_millis(50);

/// After how many admitted bytes the reserve is reckoned anew, however young the last reckoning is.
const MAX_UNSEEN_BYTES: u64 = 1024 * 1024;

/// What others could not fill in [`MAX_AGE`]: of free space beyond this the last reading is believed.
const PLENTY_BYTES: u64 = 512 * 1024 * 1024;

/// Decides whether there is space for a write.
#[derive(Debug)]
pub(super) struct SpaceGuard {
    path: PathBuf,
    reserve: Mutex<Option<Reserve>>,
}

#[derive(Debug, Clone, Copy)]
struct Reserve {
    reckoned: Instant,
    bytes: u64,
    /// Bytes that were free then.
    free: u64,
    /// Bytes admitted since it was reckoned.
    unseen: u64,
}

impl Reserve {
    fn is_good(&self) -> bool {
        self.reckoned.elapsed() < MAX_AGE && self.unseen < MAX_UNSEEN_BYTES
    }

    /// What must be free for a write of `bytes`.
    fn needed(&self, bytes: u64) -> u64 {
        self.bytes.saturating_add(self.unseen).saturating_add(bytes)
    }
}

impl SpaceGuard {
    /// Guards the file system that holds `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, reserve: Mutex::new(None) }
    }

    /// Admits a write of `bytes`, if the reserve stays whole. What is to be kept free, `reckon`, changes only as this
    /// store writes and is asked now and then. The free space is read for each write, since others may fill the disk,
    /// unless there is so much that they could not have since it was read.
    pub(super) fn admit(&self, bytes: u64, reckon: impl FnOnce() -> u64) -> Result<(), StoreError> {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = match *reserve {
            Some(last) if last.is_good() => last,
            _ => Reserve { reckoned: Instant::now(), bytes: reckon(), free: self.free()?, unseen: 0 },
        };
        let needed = now.needed(bytes);
        let plenty = now.free >= needed.saturating_add(PLENTY_BYTES);
        let free = if plenty { now.free } else { self.free()? };
        let admitted = free >= needed;
        if admitted {
            now.unseen = now.unseen.saturating_add(bytes);
        }
        *reserve = Some(now);
        if admitted { Ok(()) } else { Err(StoreError::Full { free, reserve: needed }) }
    }

    /// Bytes that may still be written to the file system.
    pub(super) fn free(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.path).map_err(|error| {
            StoreError::Failed(format!("the free space of {} cannot be read: {error}", self.path.display()))
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
