//! A steady load, and the question whether nodes serve, against real nodes.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{neap, run, stderr, stdout};
use crate::cluster;
use neap::cli::processes::LocalCluster;

fn urls(cluster: &LocalCluster) -> String {
    cluster.endpoints().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn operations_are_sent_at_the_rate_and_in_the_mix_that_was_asked_for() {
    cluster::run(async {
        let (cluster, _directory) = cluster::cluster(3, &[]).await;
        let output = run(&["load", "--url", &urls(&cluster), "--rate", "150", "--for", "4s", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let count = |name: &str| document[name].as_u64().unwrap();
        assert_eq!(count("errors"), 0, "{document}");
        // 600 were due. A machine that is slow skips some, and says so.
        let all = count("reads") + count("writes");
        assert!((595..=605).contains(&(all + count("skipped"))), "{document}");
        let share = count("reads") as f64 / all as f64;
        assert!((0.7..0.9).contains(&share), "{document}");
        assert!(document["p99_ms"].as_f64() >= document["p50_ms"].as_f64(), "{document}");
    });
}

#[test]
fn the_load_goes_on_without_a_node_and_sigterm_ends_it_with_0() {
    cluster::run(async {
        let (mut cluster, _directory) = cluster::cluster(3, &[]).await;
        let load = neap(&["load", "--url", &urls(&cluster), "--rate", "100", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.kill(2).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        kill_process(Pid::from_child(&load), Signal::TERM).unwrap();
        let output = load.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let (answered, errors) =
            (document["answered"].as_u64().unwrap(), document["errors"].as_u64().unwrap());
        assert!(answered > 200 && errors < answered / 10, "{document}");
    });
}

#[test]
fn a_load_that_nobody_answers_goes_on_to_its_end_and_fails() {
    let output = run(&["load", "--url", "http://127.0.0.1:1", "--rate", "50", "--for", "1s", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["answered"], 0, "{document}");
    assert!(document["error_kinds"]["not_reached"].as_u64() > Some(10), "{document}");
}

#[test]
fn a_load_that_makes_no_sense_is_refused_by_name() {
    for (flag, value) in [
        ("--rate", "0"),
        ("--rate", "much"),
        ("--read-share", "1.5"),
        ("--bucket", "a b"),
        ("--url", "https://h"),
    ] {
        let output = run(&["load", flag, value, "--for", "1s"]);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {}", stderr(&output));
        assert!(stderr(&output).contains(value), "{flag} {value}: {}", stderr(&output));
    }
}

#[test]
fn readiness_is_asked_of_each_node_and_waited_for() {
    cluster::run(async {
        let (mut cluster, _directory) = cluster::cluster(3, &[]).await;
        let urls = urls(&cluster);
        assert_eq!(run(&["ready", "--url", &urls]).status.code(), Some(0));
        cluster.kill(1).unwrap();
        let output = run(&["ready", "--url", &urls, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&document["ready"], &document["nodes"][1]["ready"]), (&false.into(), &false.into()));
        let waiting =
            neap(&["ready", "--url", &urls, "--wait", "30s"]).stdout(Stdio::null()).spawn().unwrap();
        cluster.spawn(1).unwrap();
        assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    });
}
