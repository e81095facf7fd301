//! Tests of storage.

mod directory;
mod disk_full;
mod group_commit;
mod keys;
mod record;
mod slo_snapshot;
mod store;

use std::time::{Duration, Instant};

use bytes::Bytes;
use neap::storage::{Change, Table};

/// How long something that must happen is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `happened` says so.
fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> Change {
    Change::Put { table: Table::Objects, key: bytes(key), value: bytes(value) }
}

fn remove(key: &str) -> Change {
    Change::Remove { table: Table::Objects, key: bytes(key) }
}
