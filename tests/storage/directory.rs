use std::fs;
use std::path::Path;
use std::process::Command;

use neap::protocol::ids::{NodeId, StartNumber};
use neap::protocol::time::Hlc;
use neap::storage::{DataDirectory, DirectoryError, Expectation, Opened, Store, Table, new_directory_id};

fn expectation() -> Expectation {
    Expectation { cluster: "neap".to_owned(), node: NodeId::new("n1").unwrap(), partitions: 64 }
}

fn open(path: &Path) -> Opened {
    DataDirectory::open(path, &expectation()).unwrap()
}

#[test]
fn a_new_directory_begins_with_the_first_start_and_is_not_complete() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(&temporary.path().join("made/by/neap"));
    assert!(opened.new && !opened.clean && !opened.complete);
    assert_eq!((opened.start, opened.counter, opened.ceiling), (StartNumber(1), 0, Hlc::ZERO));
}

#[test]
fn a_start_after_no_clean_stop_has_a_higher_number() {
    let temporary = tempfile::tempdir().unwrap();
    let first = open(temporary.path()).directory;
    for start in 2..5 {
        let opened = open(temporary.path());
        assert!(!opened.new && !opened.clean);
        assert_eq!((opened.directory, opened.start, opened.counter), (first, StartNumber(start), 0));
    }
}

#[test]
fn a_start_after_a_clean_stop_continues_the_last_one_once() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.handle.bookkeeping().mark_clean_stop(41).unwrap();
    drop(opened);

    let opened = open(temporary.path());
    assert!(opened.clean);
    assert_eq!((opened.start, opened.counter), (StartNumber(1), 41));
    drop(opened);

    let opened = open(temporary.path());
    assert!(!opened.clean);
    assert_eq!((opened.start, opened.counter), (StartNumber(2), 0));
}

#[test]
fn the_ceiling_and_the_complete_mark_outlive_the_run() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.handle.bookkeeping().raise_ceiling(Hlc(900)).unwrap();
    opened.handle.bookkeeping().raise_ceiling(Hlc(500)).unwrap();
    opened.handle.bookkeeping().set_complete(true).unwrap();
    drop(opened);
    let opened = open(temporary.path());
    assert_eq!((opened.ceiling, opened.complete), (Hlc(900), true));
    opened.handle.bookkeeping().raise_ceiling(Hlc(500)).unwrap();
    opened.handle.bookkeeping().set_complete(false).unwrap();
    drop(opened);
    let opened = open(temporary.path());
    assert_eq!((opened.ceiling, opened.complete), (Hlc(900), false));
}

#[test]
fn another_nodes_directory_is_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    drop(open(temporary.path()));
    let refused = |change: fn(&mut Expectation)| {
        let mut expected = expectation();
        change(&mut expected);
        DataDirectory::open(temporary.path(), &expected).unwrap_err().to_string()
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
    assert_eq!(open(temporary.path()).start, StartNumber(2));
}

#[test]
fn another_format_is_refused_by_name_whatever_else_it_says() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("neap.toml"), "format = 2\nunheard_of = true\n").unwrap();
    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
    assert!(error.to_string().ends_with("has format 2, expected 1"), "{error}");
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
        let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
        assert!(matches!(error, DirectoryError::Identity { .. }), "{error}");
    }
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("thesis.tex"), "").unwrap();
    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
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
    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
    assert!(matches!(error, DirectoryError::Foreign { .. }), "{error}");
    move_back("neap.toml");

    move_away("store");
    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
    assert!(matches!(error, DirectoryError::StoreMissing { .. }), "{error}");
    fs::create_dir(temporary.path().join("store")).unwrap();
    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
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
    assert!(opened.new);
    assert_eq!((opened.directory, opened.start), (first, StartNumber(1)));
}

#[test]
fn a_damaged_start_record_is_refused_until_the_directory_has_a_new_id() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.handle.bookkeeping().set_complete(true).unwrap();
    let mut record = opened.store.get(Table::Meta, b"directory/start").unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    let key = bytes::Bytes::from_static(b"directory/start");
    let damage = neap::storage::Change::Put { table: Table::Meta, key, value: record.into() };
    opened.store.apply(vec![damage]).unwrap();
    opened.store.sync().unwrap();
    drop(opened);

    let error = DataDirectory::open(temporary.path(), &expectation()).unwrap_err();
    assert!(
        matches!(&error, DirectoryError::Record { record, .. } if record == "directory/start"),
        "{error}"
    );

    let ids = new_directory_id(temporary.path()).unwrap();
    let opened = open(temporary.path());
    assert_ne!(ids.old, ids.new);
    assert_eq!((opened.directory, opened.start, opened.complete), (ids.new, StartNumber(1), false));
}

#[test]
fn a_new_directory_id_keeps_the_data_and_the_ceiling() {
    let temporary = tempfile::tempdir().unwrap();
    let opened = open(temporary.path());
    opened.store.apply(vec![super::put("a", "1")]).unwrap();
    opened.handle.bookkeeping().raise_ceiling(Hlc(900)).unwrap();
    opened.handle.bookkeeping().mark_clean_stop(7).unwrap();
    drop(opened);
    new_directory_id(temporary.path()).unwrap();
    let opened = open(temporary.path());
    assert_eq!((opened.start, opened.counter, opened.ceiling), (StartNumber(1), 0, Hlc(900)));
    assert!(!opened.clean);
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
    match DataDirectory::open(path.as_ref(), &expectation()) {
        Ok(opened) => {
            opened.handle.bookkeeping().raise_ceiling(Hlc(77)).unwrap();
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
fn a_killed_process_leaves_its_start_and_its_ceiling() {
    let temporary = tempfile::tempdir().unwrap();
    for start in 2..4 {
        let child = run_child(temporary.path());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.status), Some(9), "{child:?}");
        let opened = open(temporary.path());
        assert_eq!(opened.ceiling, Hlc(77));
        assert_eq!(opened.start, StartNumber(2 * start - 2));
    }
}
