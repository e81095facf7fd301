//! The demo with real nodes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

#[test]
fn ctrl_c_ends_the_load_and_what_was_written_is_still_judged() {
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
    kill_process_group(Pid::from_child(&demo), Signal::INT).unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    let ended = demo.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{rest}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(rest.contains("lost: 0"), "{rest}");
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
