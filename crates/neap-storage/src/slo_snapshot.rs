//! The windows of the objectives, kept in a file of the data directory from run to run.
//!
//! Losing them costs history and no data, so nothing about this file ever keeps a node from starting: what cannot be
//! read is told, and the windows begin empty.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use neap_protocol::slo::SloSummary;

use super::slo_summary;

/// The file's name in the data directory.
pub const FILE: &str = "slo.bin";
const TEMPORARY_FILE: &str = "slo.bin.new";
/// More than any snapshot takes.
const BYTES_MAX: u64 = 64 << 20;

/// Where the windows are kept.
#[derive(Debug, Clone)]
pub struct SloSnapshot {
    directory: PathBuf,
    /// The number of the newest that was saved. Held while one is: two at once would write the same file.
    newest: Arc<Mutex<u64>>,
}

impl SloSnapshot {
    /// In the data directory `directory`.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), newest: Arc::default() }
    }

    /// What the last run kept; none if there is nothing, or nothing that can be read, which is then told.
    #[must_use]
    pub fn load(&self) -> Option<SloSummary> {
        let path = self.directory.join(FILE);
        let unread = |why: &dyn std::fmt::Display| {
            tracing::warn!("the windows of the objectives begin empty: {}: {why}", path.display());
        };
        let read = File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, BYTES_MAX), &mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => slo_summary::decode(&bytes).map_err(|error| unread(&error)).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                unread(&error);
                None
            }
        }
    }

    /// Puts `bytes` in the place of the last, all or nothing. `number` rises from one to the next: one that comes late,
    /// after a newer one, is left out.
    ///
    /// # Errors
    ///
    /// What the system says; the last snapshot is then still there.
    pub fn save(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if number < *newest {
            return Ok(());
        }
        *newest = number;
        let temporary = self.directory.join(TEMPORARY_FILE);
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, self.directory.join(FILE))
    }
}
