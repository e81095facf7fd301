//! `neap slo`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::scripted_node::{Script, ScriptedNode};
use super::{neap, run, stderr, stdout};

fn report() -> Value {
    json!({
        "scope": "cluster", "window_s": 3_600.0,
        "reads": {"fresh": 12_300, "stale": 52, "suspect": 8, "behind": 1, "unknown": 40, "unsampled": 7},
        "unknown_causes": {"replica_down": 40, "timeout": 0, "settings": 0},
        "stale_read_rate": {"low": 0.0042, "high": 0.0081, "judged": 0.0049, "any_replica_high": 0.0082},
        "staleness_age_p95_s": 0.0, "exposure_p95_s": 0.0, "stale_age_p95_s": 1.5, "stale_exposure_p95_s": 0.02,
        "convergence": {"p50_s": 0.002, "p999_s": 4.2, "unconverged": 3, "oldest_s": 1.25, "untracked": 2},
        "objectives": [
            {"name": "age_p95", "unit": "s", "window_s": 3_600.0, "target": 0.5, "low": 0.0, "high": 0.0,
             "budget_remaining": null, "burn_rates": [], "state": "ok", "why": "all is well"},
            {"name": "stale_reads", "unit": "ratio", "window_s": 3_600.0, "target": 0.001, "low": 0.0042,
             "high": 0.0049, "budget_remaining": 0.25,
             "burn_rates": [{"window_s": 300.0, "rate": null}, {"window_s": 1_800.0, "rate": 4.9}],
             "state": "page", "why": "0.42 % of 12,400 reads in the last 1h were stale"},
        ],
        "unreachable": ["n3"],
    })
}

fn node() -> ScriptedNode {
    ScriptedNode::start(
        Script::new(200).header("content-type", "application/json").body(report().to_string()),
    )
}

#[test]
fn the_objectives_are_a_table_and_each_says_why() {
    let node = node();
    let output = neap(&["slo"]).env("NEAP_URL", node.url()).output().unwrap();
    assert_eq!((output.status.code(), node.asked_once().target.as_str()), (Some(0), "/v1/slo?scope=cluster"));
    let expected = "\
all nodes together, reads of the last 1h
did not answer, and nothing is known of what they served: n3

objective    value             target     budget left  burn         state
age_p95      0 ms              <= 500 ms  -            -            ok
stale_reads  0.42 % to 0.49 %  <= 0.10 %  25.0 %       4.9x in 30m  page

ok       age_p95: all is well
page     stale_reads: 0.42 % of 12,400 reads in the last 1h were stale

reads: 12,300 fresh, 52 stale, 8 suspect, 1 behind, 40 unknown (replica_down 40); 7 not sampled
stale: 0.49 % of the judged reads, 0.42 % to 0.81 % of all
stale ones: P95 of the age 1.50 s, superseded for 20.0 ms (P95)
writes: P50 2.00 ms, P99.9 4.20 s; 3 unconverged, the oldest for 1.25 s; 2 untracked
";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn as_json_it_is_the_nodes_own_document() {
    let node = node();
    let output = neap(&["slo", "--json", "--scope", "node"]).env("NEAP_URL", node.url()).output().unwrap();
    assert_eq!((output.status.code(), node.asked_once().target.as_str()), (Some(0), "/v1/slo"));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), report());
}

#[test]
fn a_node_that_refuses_is_told_of() {
    let node = ScriptedNode::start(Script::problem(503, "Overloaded", "too many ask"));
    let output = neap(&["slo"]).env("NEAP_URL", node.url()).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(4), ""));
    assert!(stderr(&output).contains("too many ask"), "{}", stderr(&output));
}

#[test]
fn a_watch_shows_it_again_until_it_is_interrupted_and_ends_with_0() {
    let node = node();
    let mut watch = neap(&["slo", "--watch"]);
    let mut child = watch.env("NEAP_URL", node.url()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let headings = lines.map(Result::unwrap).filter(|line| line.starts_with("all nodes together"));
    assert_eq!(headings.take(2).count(), 2);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn its_help_has_an_example() {
    let help = stdout(&run(&["slo", "--help"]));
    assert!(help.contains("neap slo --watch") && help.contains("NEAP_URL"), "{help}");
}
