use std::fs;
use std::path::Path;
use std::process::Command;

use neap::protocol::ids::NodeId;
use neap::protocol::membership::{Holding, Memory, RunNumber, RunRecord};
use neap::protocol::time::{Hlc, WallMicros};
use neap::storage::{
    Begun, DataDirectory, DirectoryError, Expectation, Opened, Store, StoreBounds, Table, new_directory_id,
};

fn expectation() -> Expectation {
    Expectation { cluster: "neap".to_owned(), node: NodeId::new("n1").unwrap(), partitions: 64 }
}

fn open(path: &Path) -> Opened {
    DataDirectory::open(path, &expectation(), true, StoreBounds::default()).unwrap()
}

#[test]
fn a_new_directory_begins_with_the_first_run_and_is_new() {
    let temporary = tempfile::tempdir().unwrap();
    let Begun { run, ceiling, holding, .. } = open(&temporary.path().join("made/by/neap")).begun;
    assert_eq!((run.number, run.history.len()), (RunNumber(1), 1));
    assert_eq!((ceiling, holding), (Hlc::ZERO, Holding::New));
}

#[test]
fn each_run_has_a_number_and_an_id_of_its_own_and_knows_those_before_it() {
    let temporary = tempfile::tempdir().unwrap();
    let mut last = open(temporary.path());
    for number in 2..5 {
        let before = (last.directory, last.begun.run.history.clone());
        if number == 3 {
            last.handle.bookkeeping().mark_clean_stop().unwrap();
        }
        drop(last);
        last = open(temporary.path());
        let RunRecord { number: found, history, .. } = &last.begun.run;
        assert_eq!((last.directory, *found, &history[1..]), (before.0, RunNumber(number), &before.1[..]));
        assert!(!before.1.contains(&history[0]));
        assert_eq!(last.begun.clean, number == 3);
    }
}

#[test]
fn what_was_acknowledged_unsynced_may_be_lacking_after_no_clean_stop_whatever_the_next_run_does() {
    for (synced, clean, found) in [
        (true, false, Holding::Complete(Memory::Whole)),
        (true, true, Holding::Complete(Memory::Whole)),
        (false, true, Holding::Complete(Memory::Whole)),
        (false, false, Holding::Lacking(Memory::Whole)),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let opened =
            DataDirectory::open(temporary.path(), &expectation(), synced, StoreBounds::default()).unwrap();
        opened.handle.bookkeeping().mark_holding(Holding::Complete(Memory::Whole)).unwrap();
        if clean {
            opened.handle.bookkeeping().mark_clean_stop().unwrap();
        }
        drop(opened);
        assert_eq!(open(temporary.path()).begun.holding, found, "{synced} {clean}");
        // It lacks until it has pulled: a run that is killed meanwhile has changed nothing about that.
        assert_eq!(open(temporary.path()).begun.holding, found, "{synced} {clean}");
    }
}

#[test]
fn the_ceiling_and_what_is_held_outlive_the_run() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.handle.bookkeeping().raise_ceiling(Hlc(900), WallMicros(7)).unwrap();
    opened.handle.bookkeeping().raise_ceiling(Hlc(500), WallMicros(7)).unwrap();
    opened.handle.bookkeeping().mark_holding(Holding::Complete(Memory::Whole)).unwrap();
    drop(opened);
    let opened = open(temporary.path());
    assert_eq!((opened.begun.ceiling, opened.begun.holding), (Hlc(900), Holding::Complete(Memory::Whole)));
    opened.handle.bookkeeping().raise_ceiling(Hlc(500), WallMicros(7)).unwrap();
    opened.handle.bookkeeping().mark_holding(Holding::Lacking(Memory::Whole)).unwrap();
    drop(opened);
    let opened = open(temporary.path());
    assert_eq!((opened.begun.ceiling, opened.begun.holding), (Hlc(900), Holding::Lacking(Memory::Whole)));
}

#[test]
fn another_nodes_directory_is_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    drop(open(temporary.path()));
    let refused = |change: fn(&mut Expectation)| {
        let mut expected = expectation();
        change(&mut expected);
        DataDirectory::open(temporary.path(), &expected, true, StoreBounds::default())
            .unwrap_err()
            .to_string()
    };
    let path = temporary.path().display();
    assert_eq!(
        refused(|expected| expected.cluster = "sea".to_owned()),
        format!("the data directory {path} has cluster neap, expected sea")
    );
    assert_eq!(
        refused(|expected| expected.node = NodeId::new("n2").unwrap()),
        format!("the data directory {path} has node n1, expected n2")
    );
    assert_eq!(
        refused(|expected| expected.partitions = 128),
        format!("the data directory {path} has number of partitions 64, expected 128")
    );
    // A refusal is no start.
    assert_eq!(open(temporary.path()).begun.run.number, RunNumber(2));
}

#[test]
fn another_format_is_refused_by_name_whatever_else_it_says() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("neap.toml"), "format = 3\nunheard_of = true\n").unwrap();
    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(error.to_string().ends_with("has format 3, expected 2"), "{error}");
}

#[test]
fn an_identity_file_that_makes_no_sense_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    drop(open(temporary.path()));
    let file = temporary.path().join("neap.toml");
    let whole = fs::read_to_string(&file).unwrap();
    for damaged in
        [whole.replace("node", "nod"), whole.replace("directory = \"", "directory = \"x"), String::new()]
    {
        assert_ne!(damaged, whole);
        fs::write(&file, damaged).unwrap();
        let error =
            DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
        assert!(matches!(error, DirectoryError::Identity { .. }), "{error}");
    }
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("thesis.tex"), "").unwrap();
    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(matches!(&error, DirectoryError::Foreign { found, .. } if found == "thesis.tex"), "{error}");
}

#[test]
fn a_lost_identity_or_store_is_never_made_anew() {
    let temporary = tempfile::tempdir().unwrap();
    drop(open(temporary.path()));
    let moved = tempfile::tempdir().unwrap();
    let move_away = |name: &str| fs::rename(temporary.path().join(name), moved.path().join(name)).unwrap();
    let move_back = |name: &str| fs::rename(moved.path().join(name), temporary.path().join(name)).unwrap();

    move_away("neap.toml");
    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(matches!(error, DirectoryError::Foreign { .. }), "{error}");
    move_back("neap.toml");

    move_away("store");
    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(matches!(error, DirectoryError::StoreMissing { .. }), "{error}");
    fs::create_dir(temporary.path().join("store")).unwrap();
    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(matches!(error, DirectoryError::Record { .. }), "{error}");
}

#[test]
fn a_directory_whose_making_was_interrupted_is_made_again() {
    let temporary = tempfile::tempdir().unwrap();
    let first = open(temporary.path()).directory;
    let file = temporary.path().join("neap.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"ready\"", "\"creating\"")).unwrap();
    fs::remove_dir_all(temporary.path().join("store")).unwrap();
    fs::create_dir_all(temporary.path().join("store/half")).unwrap();
    let opened = open(temporary.path());
    assert_eq!((opened.directory, opened.begun.run.number), (first, RunNumber(1)));
    assert_eq!(opened.begun.holding, Holding::New);
}

#[test]
fn a_damaged_record_of_the_run_is_refused_until_the_directory_has_a_new_id() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.handle.bookkeeping().mark_holding(Holding::Complete(Memory::Whole)).unwrap();
    let mut record = opened.store.get(Table::Meta, b"directory/run").unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    let key = bytes::Bytes::from_static(b"directory/run");
    let damage = neap::storage::Change::Put { table: Table::Meta, key, value: record.into() };
    opened.store.apply(vec![damage]).unwrap();
    opened.store.sync().unwrap();
    drop(opened);

    let error =
        DataDirectory::open(temporary.path(), &expectation(), true, StoreBounds::default()).unwrap_err();
    assert!(matches!(&error, DirectoryError::Record { record, .. } if record == "directory/run"), "{error}");

    let ids = new_directory_id(temporary.path()).unwrap();
    let opened = open(temporary.path());
    assert_ne!(ids.old, ids.new);
    assert_eq!((opened.directory, opened.begun.run.number), (ids.new, RunNumber(1)));
    assert_eq!(opened.begun.holding, Holding::Lacking(Memory::Gone));
}

#[test]
fn a_refusal_is_remembered_until_the_directory_has_another_id() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    assert!(!opened.begun.run.refused);
    opened.handle.bookkeeping().mark_refused().unwrap();
    opened.handle.bookkeeping().mark_clean_stop().unwrap();
    drop(opened);
    for _ in 0..2 {
        assert!(open(temporary.path()).begun.run.refused);
    }
    new_directory_id(temporary.path()).unwrap();
    assert!(!open(temporary.path()).begun.run.refused);
}

#[test]
fn a_new_directory_id_keeps_the_data_and_the_ceiling() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.store.apply(vec![super::put("a", "1")]).unwrap();
    opened.handle.bookkeeping().raise_ceiling(Hlc(900), WallMicros(7)).unwrap();
    opened.handle.bookkeeping().mark_clean_stop().unwrap();
    drop(opened);
    new_directory_id(temporary.path()).unwrap();
    let opened = open(temporary.path());
    let Begun { run, ceiling, holding, .. } = opened.begun;
    assert_eq!((run.number, ceiling, holding), (RunNumber(1), Hlc(900), Holding::Lacking(Memory::Gone)));
    assert!(opened.store.get(Table::Objects, b"a").unwrap().is_some());
}

#[test]
fn a_new_id_is_for_directories_that_are_there() {
    let temporary = tempfile::tempdir().unwrap();
    let error = new_directory_id(&temporary.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, DirectoryError::Missing { .. }), "{error}");
    let error = new_directory_id(temporary.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Missing { .. }), "{error}");
}

const CHILD_DIRECTORY: &str = "NEAP_TEST_DIRECTORY_OF_CHILD";

/// Not a test of its own: the other process of the next two tests.
#[test]
fn child_that_opens_and_is_killed() {
    let Some(path) = std::env::var_os(CHILD_DIRECTORY) else { return };
    match DataDirectory::open(path.as_ref(), &expectation(), true, StoreBounds::default()) {
        Ok(opened) => {
            opened.handle.bookkeeping().raise_ceiling(Hlc(77), WallMicros(7)).unwrap();
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        Err(error) => println!("child: {error}"),
    }
}

fn run_child(path: &Path) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "storage::directory::child_that_opens_and_is_killed"])
        .env(CHILD_DIRECTORY, path)
        .output()
        .unwrap()
}

#[test]
fn a_second_process_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    let child = run_child(temporary.path());
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let path = temporary.path().display();
    let refusal = format!("child: the data directory {path} is in use by another process");
    assert!(said.contains(&refusal), "{said}");
    let error = new_directory_id(temporary.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::InUse { .. }), "{error}");
    drop(opened);
}

#[test]
fn a_killed_process_leaves_its_run_and_its_ceiling() {
    let temporary = tempfile::tempdir().unwrap();
    for run in 2..4 {
        let child = run_child(temporary.path());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.status), Some(9), "{child:?}");
        let opened = open(temporary.path());
        assert_eq!(opened.begun.ceiling, Hlc(77));
        assert_eq!((opened.begun.run.number, opened.begun.clean), (RunNumber(2 * run - 2), false));
    }
}
