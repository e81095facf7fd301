//! The windows of the objectives, kept in a file of the data directory from run to run.
//!
//! Losing them costs history and no data, so nothing about this file ever keeps a node from starting: what cannot be
//! read is told, and the windows begin empty.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::slo::SloSummary;

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
            Ok(bytes) => SloSummary::from_bytes(&bytes).map_err(|error| unread(&error)).ok(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn summary(at_us: u64) -> SloSummary {
        SloSummary::empty(&Config::load(&Sources::default()).unwrap().slo.plan(), at_us)
    }

    #[test]
    fn what_was_kept_last_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = SloSnapshot::of(directory.path());
        assert!(snapshot.load().is_none());
        for (number, at_us) in [(1, 5), (3, 7), (2, 6)] {
            snapshot.save(number, &summary(at_us).to_bytes()).unwrap();
        }
        assert_eq!(SloSnapshot::of(directory.path()).load().unwrap().at_us, 7);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = SloSnapshot::of(directory.path());
        let mut bytes = summary(5).to_bytes();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        for damage in [bytes.as_slice(), b"", b"neapslo"] {
            fs::write(directory.path().join(FILE), damage).unwrap();
            assert!(snapshot.load().is_none());
        }
        fs::remove_file(directory.path().join(FILE)).unwrap();
        fs::create_dir(directory.path().join(FILE)).unwrap();
        assert!(snapshot.load().is_none());
    }
}
