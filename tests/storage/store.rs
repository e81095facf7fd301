use std::process::Command;
use std::sync::Arc;

use neap::storage::{Change, FjallStore, MemoryStore, Store, StoreBounds, StoreError, Table};
use tempfile::TempDir;

use super::{bytes, put, remove};

/// Each kind of store, with what it needs to live.
fn stores() -> Vec<(Arc<dyn Store>, Option<TempDir>)> {
    let directory = tempfile::tempdir().unwrap();
    let fjall = FjallStore::open(&directory.path().join("store"), StoreBounds::default()).unwrap();
    vec![(Arc::new(MemoryStore::new()), None), (Arc::new(fjall), Some(directory))]
}

fn get(store: &dyn Store, key: &str) -> Option<String> {
    let value = store.get(Table::Objects, key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn scan(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let found = store.scan(Table::Objects, prefix.as_bytes(), after.map(str::as_bytes), limit).unwrap();
    found.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

#[test]
fn reads_see_what_is_applied_before_it_is_synced() {
    for (store, _directory) in stores() {
        store.apply(vec![put("a", "1"), put("b", "2")]).unwrap();
        store.apply(vec![put("a", "3"), remove("b")]).unwrap();
        assert_eq!(get(&*store, "a").as_deref(), Some("3"));
        assert_eq!(get(&*store, "b"), None);
        assert_eq!(store.get(Table::Meta, b"a").unwrap(), None);
    }
}

#[test]
fn an_empty_value_is_not_an_absent_one() {
    for (store, _directory) in stores() {
        store.apply(vec![put("a", "")]).unwrap();
        assert_eq!(get(&*store, "a").as_deref(), Some(""));
    }
}

#[test]
fn a_scan_gives_a_prefix_in_order_and_goes_on_where_it_ended() {
    for (store, _directory) in stores() {
        let meta = Change::Put { table: Table::Meta, key: bytes("b9"), value: bytes("") };
        let batch = ["a", "b", "b1", "b2", "b3", "c"].map(|key| put(key, "")).into_iter().chain([meta]);
        store.apply(batch.collect()).unwrap();
        assert_eq!(scan(&*store, "b", None, 10), ["b", "b1", "b2", "b3"]);
        assert_eq!(scan(&*store, "b", None, 2), ["b", "b1"]);
        assert_eq!(scan(&*store, "b", Some("b1"), 2), ["b2", "b3"]);
        assert_eq!(scan(&*store, "b", Some("b15"), 1), ["b2"]);
        assert_eq!(scan(&*store, "b", Some("a"), 1), ["b"]);
        assert_eq!(scan(&*store, "b", Some("b3"), 10), [""; 0]);
        assert_eq!(scan(&*store, "b", Some("c"), 10), [""; 0]);
        assert_eq!(scan(&*store, "", None, 10).len(), 6);
        assert_eq!(scan(&*store, "b", None, 0), [""; 0]);
    }
}

#[test]
fn values_of_a_mebibyte_are_stored_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let value = |i: u8| bytes::Bytes::from(vec![i; 1024 * 1024]);
    let key = |i: u8| bytes(&format!("key {i}"));
    {
        let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
        for i in 0..40 {
            let put = Change::Put { table: Table::Objects, key: key(i), value: value(i) };
            store.apply(vec![put]).unwrap();
        }
        store.sync().unwrap();
    }
    let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
    for i in 0..40 {
        assert!(store.get(Table::Objects, &key(i)).unwrap() == Some(value(i)), "value {i}");
    }
}

#[test]
fn a_crash_of_the_memory_store_forgets_exactly_what_was_not_synced() {
    let store = MemoryStore::new();
    store.apply(vec![put("a", "1"), put("b", "1")]).unwrap();
    store.sync().unwrap();
    store.apply(vec![put("a", "2"), remove("b")]).unwrap();
    store.apply(vec![put("c", "3")]).unwrap();
    store.crash();
    assert_eq!(get(&store, "a").as_deref(), Some("1"));
    assert_eq!(get(&store, "b").as_deref(), Some("1"));
    assert_eq!(get(&store, "c"), None);
    store.sync().unwrap();
    assert_eq!(get(&store, "a").as_deref(), Some("1"));
}

#[test]
fn a_crash_of_the_memory_store_may_keep_a_prefix() {
    let store = MemoryStore::new();
    for value in ["1", "2", "3"] {
        store.apply(vec![put("a", value)]).unwrap();
    }
    store.crash_keeping(2);
    assert_eq!(get(&store, "a").as_deref(), Some("2"));
    assert_eq!(store.unsynced_batches(), 0);
}

#[test]
fn a_sync_that_began_earlier_leaves_what_was_applied_since_to_be_lost() {
    let store = MemoryStore::new();
    store.apply(vec![put("a", "1")]).unwrap();
    store.apply(vec![put("b", "1")]).unwrap();
    let begun = store.applied();
    store.apply(vec![put("a", "2"), put("c", "2")]).unwrap();
    store.sync_up_to(begun);
    assert_eq!(store.unsynced_batches(), 1);
    let changed = store.crash();
    assert_eq!(changed, [(Table::Objects, bytes("a")), (Table::Objects, bytes("c"))]);
    assert_eq!((get(&store, "a").as_deref(), get(&store, "b").as_deref()), (Some("1"), Some("1")));
    store.sync_up_to(begun);
    assert_eq!(get(&store, "c"), None);
}

#[test]
fn a_copy_of_the_memory_store_is_durable_and_goes_its_own_way() {
    let store = MemoryStore::new();
    store.apply(vec![put("a", "1")]).unwrap();
    let copy = store.copy();
    store.apply(vec![put("a", "2")]).unwrap();
    copy.crash();
    assert_eq!((get(&copy, "a").as_deref(), get(&store, "a").as_deref()), (Some("1"), Some("2")));
}

#[test]
fn the_memory_store_fails_as_it_is_told() {
    let store = MemoryStore::new();
    store.apply(vec![put("a", "1")]).unwrap();

    store.set_full(true);
    assert!(matches!(store.apply(vec![put("a", "2")]), Err(StoreError::Full { .. })));
    assert_eq!(get(&store, "a").as_deref(), Some("1"));
    store.set_full(false);

    store.fail_sync(true);
    assert!(matches!(store.sync(), Err(StoreError::Sync(_))));
    store.crash();
    assert_eq!(get(&store, "a"), None);
    store.fail_sync(false);

    store.apply(vec![put("a", "value")]).unwrap();
    store.sync().unwrap();
    assert!(store.corrupt(Table::Objects, b"a"));
    assert!(!store.corrupt(Table::Objects, b"b"));
    store.crash();
    assert_ne!(get(&store, "a").as_deref(), Some("value"));
}

const CHILD_DIRECTORY: &str = "NEAP_TEST_STORE_OF_KILLED_CHILD";

/// Not a test of its own: the process that the next test starts and that kills itself.
#[test]
fn child_that_writes_and_is_killed() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let store = FjallStore::open(directory.as_ref(), StoreBounds::default()).unwrap();
    for i in 0..2_000 {
        store.apply(vec![put(&format!("a{i:04}"), "1"), put(&format!("b{i:04}"), "2")]).unwrap();
        if i % 100 == 0 {
            store.sync().unwrap();
        }
    }
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_killed_process_loses_no_applied_write() {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::store::child_that_writes_and_is_killed"])
        .env(CHILD_DIRECTORY, directory.path())
        .output()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.status), Some(9), "{child:?}");
    let store = FjallStore::open(directory.path(), StoreBounds::default()).unwrap();
    assert_eq!(scan(&store, "a", None, usize::MAX).len(), 2_000);
    assert_eq!(scan(&store, "b", None, usize::MAX).len(), 2_000);
}

#[test]
fn a_memtable_is_written_out_at_its_bound_though_the_store_was_made_with_a_higher_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path(), StoreBounds::default()).unwrap());
    let memtable = 2 << 20;
    let bounds = StoreBounds { memtable, ..StoreBounds::default() };
    let store = FjallStore::open(directory.path(), bounds).unwrap();
    let value: bytes::Bytes = vec![7; 64 << 10].into();
    let (mut most, mut refused) = (0, 0);
    for number in 0..400 {
        let key = bytes::Bytes::from(format!("{number:04}"));
        loop {
            match store.apply(vec![Change::Put {
                table: Table::Objects,
                key: key.clone(),
                value: value.clone(),
            }]) {
                Ok(()) => break,
                Err(StoreError::Behind) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        most = most.max(store.memtable_bytes());
    }
    assert!(most < 2 * memtable, "{most} bytes were in memory, and {refused} writes were refused");
    for number in 0..400 {
        let held = store.get(Table::Objects, format!("{number:04}").as_bytes()).unwrap();
        assert_eq!(held, Some(value.clone()), "{number}");
    }
}
