//! A directory for nodes of one's own, which goes when the command ends, also by a signal.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// How often it is tried, while processes of this one are still ending.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Those that are there. Held for good once a signal ends the process: nothing is begun, nor ended otherwise, from then on.
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

/// Begins a process that may write there.
pub fn begin<T>(spawn: impl FnOnce() -> T) -> T {
    directories(|_| spawn())
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
    directories(|all| {
        for _ in 0..ATTEMPTS {
            for child in children() {
                // One that has ended meanwhile is what is wanted.
                let _ = kill_process(child, Signal::KILL);
            }
            all.retain(|path| std::fs::remove_dir_all(path).is_err() && path.exists());
            if all.is_empty() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        // As a shell tells of a process that a signal ended.
        std::process::exit(128 + number);
    })
}

/// The processes that this one began and has not waited for, so that no other can have their numbers.
fn children() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let child = all.filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, which may hold anything, come the state and the parent.
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(number).filter(|_| parent == own)
    });
    child.collect()
}
