//! A directory for nodes of one's own, which goes when the command ends, also by a signal.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// How often a directory is tried to be removed in which a node that is not gone yet makes another file.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Those that are there.
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary directory. It goes with this value, and on SIGINT and SIGTERM, which would end the process before that.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new one.
    pub fn new() -> std::io::Result<Self> {
        static WATCHED: Once = Once::new();
        WATCHED.call_once(|| {
            // Without it the directory stays behind, no more.
            let _ = std::thread::Builder::new().name("neap-scratch".to_owned()).spawn(watch);
        });
        let directory = tempfile::tempdir()?;
        directories(|all| all.push(directory.path().to_owned()));
        Ok(Self(directory))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        directories(|all| all.retain(|path| path != self.0.path()));
    }
}

fn directories<T>(with: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    with(&mut DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for a signal, and ends the process with nothing left behind.
fn watch() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let number = runtime.block_on(async {
        let (mut interrupt, mut term) =
            (signal(SignalKind::interrupt()).ok()?, signal(SignalKind::terminate()).ok()?);
        tokio::select! {
            got = interrupt.recv() => got.map(|()| SignalKind::interrupt().as_raw_value()),
            got = term.recv() => got.map(|()| SignalKind::terminate().as_raw_value()),
        }
    });
    let Some(number) = number else { return };
    for path in directories(std::mem::take) {
        // Its nodes end with this process; until then they may still write.
        for _ in 0..ATTEMPTS {
            if std::fs::remove_dir_all(&path).is_ok() || !path.exists() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    // As a shell tells of a process that a signal ended.
    std::process::exit(128 + number);
}
