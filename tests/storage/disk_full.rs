use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use neap::protocol::ids::NodeId;
use neap::protocol::membership::RunNumber;
use neap::protocol::time::{Hlc, WallMicros};
use neap::storage::{
    Begun, Change, DataDirectory, Expectation, FjallStore, Opened, Store, StoreBounds, StoreError, Table,
};
use tempfile::TempDir;

use super::{put, wait_until};

/// A small file system in memory, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, said plainly, where this process may not mount.
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(directory)),
            other => {
                println!("SKIPPED: no small file system can be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk to the last byte.
    fn fill(&self) {
        let mut ballast =
            File::options().create(true).append(true).open(self.path().join("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn value(i: u32) -> Bytes {
    Bytes::from(i.to_le_bytes().repeat(16 * 1024))
}

fn key(i: u32) -> Bytes {
    format!("key {i:06}").into()
}

fn put_value(store: &FjallStore, i: u32) -> Result<(), StoreError> {
    store.apply(vec![Change::Put { table: Table::Objects, key: key(i), value: value(i) }])
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("128m") else { return };
    let store = FjallStore::open(&disk.path().join("store"), StoreBounds::default()).unwrap();
    for i in 0..100 {
        put_value(&store, i).unwrap();
    }
    store.sync().unwrap();
    for round in 0..3 {
        disk.fill();
        wait_until("a refusal", || matches!(put_value(&store, 1_000), Err(StoreError::Full { .. })));
        store.sync().unwrap();
        for i in 0..100 {
            assert!(store.get(Table::Objects, &key(i)).unwrap() == Some(value(i)), "value {i}");
        }
        assert_eq!(store.scan(Table::Objects, b"key 0000", None, 1_000).unwrap().len(), 100);

        disk.free();
        wait_until("recovery", || put_value(&store, 2_000 + round).is_ok());
        store.sync().unwrap();
        assert!(store.get(Table::Objects, &key(2_000 + round)).unwrap() == Some(value(2_000 + round)));
    }
}

#[test]
fn filled_by_its_own_writes_the_store_refuses_and_stays_whole() {
    let Some(disk) = SmallDisk::mount("160m") else { return };
    let path = disk.path().join("store");
    let store = FjallStore::open(&path, StoreBounds::default()).unwrap();
    let mut applied = 0;
    let refusal = loop {
        match put_value(&store, applied) {
            Ok(()) => applied += 1,
            Err(error) => break error,
        }
        assert!(applied < 10_000, "a disk of 160 MiB took {applied} values of 64 KiB");
    };
    assert!(matches!(refusal, StoreError::Full { .. }), "after {applied} values: {refusal}");
    println!("{applied} values of 64 KiB fitted on 160 MiB; then: {refusal}");
    // Flushes and compactions go on in the background; what they free may admit a few more.
    for _ in 0..300 {
        match put_value(&store, applied) {
            Ok(()) => applied += 1,
            Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    store.sync().unwrap();
    drop(store);
    let store = FjallStore::open(&path, StoreBounds::default()).unwrap();
    for i in 0..applied {
        assert!(store.get(Table::Objects, &key(i)).unwrap() == Some(value(i)), "value {i} of {applied}");
    }
}

#[test]
fn a_node_whose_disk_is_full_of_data_still_starts_and_stops() {
    let Some(disk) = SmallDisk::mount("128m") else { return };
    let expected =
        Expectation { cluster: "neap".to_owned(), node: NodeId::new("n1").unwrap(), partitions: 64 };
    let path = disk.path().join("data");
    let Opened { handle, store, .. } =
        DataDirectory::open(&path, &expected, true, StoreBounds::default()).unwrap();
    store.apply(vec![put("a", "1")]).unwrap();
    let mut ballast = File::create(disk.path().join("ballast")).unwrap();
    while store.apply(vec![put("b", "1")]).is_ok() {
        ballast.write_all(&[0; 64 * 1024]).unwrap();
    }
    handle.bookkeeping().raise_ceiling(Hlc(900), WallMicros(7)).unwrap();
    handle.bookkeeping().mark_clean_stop().unwrap();
    drop((handle, store));

    let opened = DataDirectory::open(&path, &expected, true, StoreBounds::default()).unwrap();
    let Begun { run, ceiling, clean, .. } = opened.begun;
    assert_eq!((run.number, ceiling, clean), (RunNumber(2), Hlc(900), true));
    assert!(opened.store.get(Table::Objects, b"a").unwrap().is_some());
}
