//! Refuses writes before the disk is full.
//!
//! A log-structured store that meets a full disk in the middle of a flush or a compaction takes no more writes
//! until it is opened anew. So space for that work is kept in reserve, and what would eat into it is refused.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;

/// How old a reading of the free space may be.
const MAX_AGE: Duration = Duration::from_millis(50);

/// After how many bytes written the free space is read anew, however young the last reading is.
const MAX_UNSEEN_BYTES: u64 = 1024 * 1024;

/// Decides whether there is space for a write.
#[derive(Debug)]
pub(super) struct SpaceGuard {
    path: PathBuf,
    unseen: AtomicU64,
    reading: Mutex<Option<Reading>>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    free: u64,
    reserve: u64,
}

impl SpaceGuard {
    /// Guards the file system that holds `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, unseen: AtomicU64::new(0), reading: Mutex::new(None) }
    }

    /// Admits a write of `bytes`, if the reserve stays whole. `reserve` is asked only when a new reading is
    /// made.
    pub(super) fn admit(&self, bytes: u64, reserve: impl FnOnce() -> u64) -> Result<(), StoreError> {
        let unseen = self.unseen.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let refused = |free, reserve| {
            self.unseen.fetch_sub(bytes, Ordering::Relaxed);
            Err(StoreError::Full { free, reserve })
        };
        let mut last = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Reading { at, free, reserve }) = *last
            && at.elapsed() < MAX_AGE
            && unseen <= MAX_UNSEEN_BYTES
        {
            let left = free.saturating_sub(unseen);
            return if left >= reserve { Ok(()) } else { refused(left, reserve) };
        }
        let free = self.free()?;
        let reserve = reserve();
        *last = Some(Reading { at: Instant::now(), free, reserve });
        self.unseen.store(bytes, Ordering::Relaxed);
        let left = free.saturating_sub(bytes);
        if left >= reserve { Ok(()) } else { refused(left, reserve) }
    }

    /// Bytes that may still be written to the file system.
    pub(super) fn free(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.path).map_err(|error| {
            StoreError::Failed(format!("the free space of {} cannot be read: {error}", self.path.display()))
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
