//! Logs that cannot be written: a node counts what it could not say, and goes on.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use neap::cli::processes::{ClusterError, LocalCluster};

use super::*;

/// A program that runs a script, in which NEAP stands for the program under test.
pub fn program(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("program");
    let text = format!("#!/bin/sh\n{}\n", script.replace("NEAP", env!("CARGO_BIN_EXE_neap")));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn start(directory: &Path, errors: &Path) -> Result<LocalCluster, ClusterError> {
    let set = ["defaults.n=1", "defaults.r=1", "defaults.w=1", "defaults.w_min=1", "log.level=debug"];
    let mut options = options(directory.to_owned(), 1, &set);
    options.program = program(directory, &format!("exec NEAP \"$@\" 2>{}", errors.display()));
    LocalCluster::start(options)
}

fn pipe(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Has a node say much: each stranger is worth a line.
fn come_as_strangers(cluster: &LocalCluster, times: usize) {
    for _ in 0..times {
        let mut stranger = TcpStream::connect(("127.0.0.1", cluster.nodes()[0].peer_port)).unwrap();
        stranger.write_all(&[b'x'; 64]).unwrap();
        // Its port is free again at once: there are fewer than strangers of all tests together.
        rustix::net::sockopt::set_socket_linger(&stranger, Some(Duration::ZERO)).unwrap();
    }
}

async fn serves_and_counts_what_it_could_not_say(cluster: &mut LocalCluster, reason: &str) {
    cluster.ready().await.unwrap();
    let endpoint = cluster.endpoints()[0].clone();
    let mut said = 0;
    eventually("lines are counted", async || {
        come_as_strangers(cluster, 1_000);
        said += 1_000;
        assert!(said < 60_000, "{}", get(&endpoint, "/metrics").await.text());
        let written = put(&endpoint, "/v1/kv/b/k", "v").await;
        assert!(matches!(written.status, 201 | 204), "{}", written.text());
        assert_eq!(get(&endpoint, "/v1/kv/b/k").await.body, b"v");
        let metrics = get(&endpoint, "/metrics").await;
        let counts = format!("reason=\"{reason}\"}} ");
        let line = metrics.text().lines().find(|line| line.contains(&counts)).map(str::to_owned);
        line.is_some_and(|line| !line.ends_with(" 0"))
    })
    .await;
    let health = get(&endpoint, "/healthz").await.json();
    assert!(health["counters"]["log_lines_dropped"].as_u64().unwrap() > 0, "{health}");
    // The end needs no log either.
    cluster.stop(0).unwrap();
}

#[test]
fn a_node_whose_log_is_on_a_full_disk_goes_on() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = start(directory.path(), Path::new("/dev/full")).unwrap();
        serves_and_counts_what_it_could_not_say(&mut cluster, "log_not_written").await;
    });
}

#[test]
fn a_node_whose_log_nobody_reads_any_more_goes_on() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let errors = pipe(directory.path());
        let reader = File::options().read(true).write(true).open(&errors).unwrap();
        let mut cluster = start(directory.path(), &errors).unwrap();
        cluster.ready().await.unwrap();
        drop(reader);
        serves_and_counts_what_it_could_not_say(&mut cluster, "log_not_written").await;
    });
}

#[test]
fn a_node_whose_log_is_a_full_pipe_is_not_held_up() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let errors = pipe(directory.path());
        let _never_read = File::options().read(true).write(true).open(&errors).unwrap();
        let mut cluster = start(directory.path(), &errors).unwrap();
        serves_and_counts_what_it_could_not_say(&mut cluster, "log_queue_full").await;
    });
}
