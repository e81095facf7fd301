//! What the documents say of a node, held against one.

use std::collections::BTreeSet;

use super::{cluster, get, run};

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const README: &str = include_str!("../../README.md");

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_counter_is_explained_and_every_explained_counter_is_there() {
    run(async {
        let (cluster, _directory) =
            cluster(1, &["defaults.n=1", "defaults.r=1", "defaults.w=1", "defaults.w_min=1"]).await;
        let health = get(&cluster.endpoints()[0], "/healthz").await.json();
        let counters: BTreeSet<&str> =
            health["counters"].as_object().unwrap().keys().map(String::as_str).collect();
        let (_, tables) = OPERATIONS.split_once("## Counters").unwrap();
        let rows = tables.lines().filter(|line| line.starts_with("| `"));
        let explained: BTreeSet<&str> = rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap())).collect();
        assert_eq!(explained, counters);
    });
}

#[test]
fn every_key_of_the_configuration_that_is_named_is_one() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(["node", "--print-config", "--json", "--set", "node.id=n1"])
        .output()
        .unwrap();
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: BTreeSet<&str> = config.as_object().unwrap().keys().map(String::as_str).collect();
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    let mut named = 0;
    for text in [OPERATIONS, README] {
        for word in quoted(text) {
            let key = word.split([' ', '=']).next().unwrap();
            let Some((section, name)) = key.split_once('.').filter(|(section, _)| sections.contains(section))
            else {
                continue;
            };
            let known = name == "*" || keys.contains(key) || section == "slo";
            assert!(known, "{key} is no key of the configuration");
            named += 1;
        }
    }
    assert!(named > 15, "{named} keys are named");
}
