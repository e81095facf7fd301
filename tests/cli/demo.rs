//! The demo with real nodes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Starts a demo that would take an hour, lets `interrupt` end it once it is under load, and looks at the verdict.
fn a_demo_that_ends_early(interrupt: impl FnOnce(Pid)) {
    // A group of its own, all of which a terminal's Ctrl-C would go to.
    let mut demo = Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(["demo", "--nodes", "3", "--for", "1h"])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("95/5") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0, "it ended before the first row");
    }
    interrupt(Pid::from_child(&demo));
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    let ended = demo.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{rest}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(rest.contains("lost: 0"), "{rest}");
}

#[test]
fn ctrl_c_ends_the_load_and_what_was_written_is_still_judged() {
    a_demo_that_ends_early(|demo| kill_process_group(demo, Signal::INT).unwrap());
}

#[test]
fn sigterm_does_the_same() {
    a_demo_that_ends_early(|demo| kill_process(demo, Signal::TERM).unwrap());
}

#[test]
fn a_directory_that_holds_something_is_not_kept_in() {
    let used = tempfile::tempdir().unwrap();
    std::fs::write(used.path().join("n1"), "from an earlier run").unwrap();
    let demo =
        Command::new(env!("CARGO_BIN_EXE_neap")).arg("demo").arg("--keep").arg(used.path()).output().unwrap();
    assert_eq!(demo.status.code(), Some(2));
    assert_eq!(std::fs::read_dir(used.path()).unwrap().count(), 1);
}
