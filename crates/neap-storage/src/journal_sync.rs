//! Makes fjall's journal durable without holding up writers.
//!
//! fjall's own `persist` keeps the journal locked for as long as the disk takes, so that nothing is written
//! meanwhile and a group commit never gathers a group. Here the journal file is synced through a second
//! descriptor, while writers go on. That is sound because
//!
//! * a batch reaches the operating system before its commit returns (`PersistMode::Buffer`);
//! * the journal in use is the file `<number>.jnl` with the highest number, and fjall syncs a journal before it
//!   begins the next one, so what was applied before a call is in the newest journal or durable already;
//! * a sync that fails inside fjall poisons the database, which is asked after each sync here.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The ending of the names of fjall's journals.
const EXTENSION: &str = "jnl";

/// How often a newer journal is looked for when the newest found was gone before it could be opened. Each
/// time fjall must have begun and ended a whole journal in between.
const ATTEMPTS: u32 = 8;

/// Syncs the newest journal in a directory.
#[derive(Debug)]
pub(super) struct JournalSync {
    folder: PathBuf,
    open: Mutex<Option<Journal>>,
}

#[derive(Debug)]
struct Journal {
    number: u64,
    file: File,
}

impl JournalSync {
    /// Syncs the journals in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::new(None) }
    }

    /// Makes everything durable that was handed to the operating system before the call.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest()?;
        let journal = match open.take() {
            Some(journal) if journal.number == newest => journal,
            before => {
                let journal = self.open_newest(newest)?;
                // Where fjall fails while it begins a journal, that file is there already and the last one still in use.
                before.map_or(Ok(()), |before| before.file.sync_data())?;
                journal
            }
        };
        journal.file.sync_data()?;
        *open = Some(journal);
        Ok(())
    }

    fn open_newest(&self, mut number: u64) -> io::Result<Journal> {
        for _ in 0..ATTEMPTS {
            match File::open(self.folder.join(format!("{number}.{EXTENSION}"))) {
                Ok(file) => {
                    File::open(&self.folder)?.sync_all()?;
                    return Ok(Journal { number, file });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => number = self.newest()?,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("journals vanish faster than they can be opened"))
    }

    fn newest(&self) -> io::Result<u64> {
        let mut newest = None;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = PathBuf::from(entry?.file_name());
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
                newest = newest.max(number);
            }
        }
        newest.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "there is no journal"))
    }
}
