//! The cluster's secret, and what a node says about its configuration at start.

use std::fs;

use neap::config::{Config, SecretError, Sources, cluster_secret};

use super::{run, stderr};

fn config(sets: &[&str]) -> Config {
    let set = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::load(&Sources { set, ..Sources::default() }).unwrap()
}

#[test]
fn a_secret_without_a_file_is_that_of_the_cluster_s_name() {
    let secret = |sets: &[&str]| cluster_secret(&config(sets)).unwrap();
    assert_eq!(secret(&[]), secret(&["cluster.name=neap", "node.id=n2"]));
    assert_ne!(secret(&[]), secret(&["cluster.name=spring"]));
    assert_eq!(secret(&[]).as_bytes().len(), 32);
}

#[test]
fn a_secret_is_read_without_the_space_around_it_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    fs::write(&file, "  0123456789abcdef\n").unwrap();
    let secret = cluster_secret(&config(&[&format!("cluster.secret_file={}", file.display())])).unwrap();
    assert_eq!(secret.as_bytes(), b"0123456789abcdef");
    assert_eq!(format!("{secret:?}"), "Secret(hidden)");
}

#[test]
fn a_secret_file_that_is_missing_or_too_short_or_too_long_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let set = format!("cluster.secret_file={}", file.display());
    let refused = || cluster_secret(&config(&[&set])).unwrap_err();
    assert!(matches!(refused(), SecretError::Unreadable { .. }));
    for content in [String::new(), " \n".to_owned(), "0123456789abcde \n".to_owned(), "x".repeat(4_097)] {
        fs::write(&file, content).unwrap();
        let error = refused();
        assert!(matches!(error, SecretError::Length { .. }));
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert!(error.to_string().contains("accepted: 16 to 4096 bytes"), "{error}");
    }
}

#[test]
fn a_node_whose_secret_file_is_missing_ends_with_2() {
    let sets = [
        "cluster.members=n1@127.0.0.1:1,n2@127.0.0.2:1,n3@127.0.0.3:1",
        "cluster.secret_file=/nowhere/secret",
    ];
    let output = run(&["node", "--set", sets[0], "--set", sets[1]]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cluster.secret_file = \"/nowhere/secret\": "), "{}", stderr(&output));
}

#[test]
fn keys_without_effect_are_named_once_and_only_when_they_were_set() {
    let quiet = config(&["cluster.secret_file=/secret", "node.id=n1"]);
    assert!(quiet.unused_keys().is_empty());
    assert!(quiet.warnings().is_empty());
    let set = config(&[
        "hints.window=1h",
        "slo.ticket.hint_age=0.4",
        "slo.page.burn_fast=10",
        "cluster.seeds=a:1",
        "limits.key=9",
    ]);
    assert_eq!(set.unused_keys(), ["cluster.seeds", "hints.window", "slo.ticket.hint_age"]);
    let warnings = set.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].ends_with("cluster.seeds, hints.window, slo.ticket.hint_age"), "{warnings:?}");
    assert!(warnings[1].contains("cluster.secret_file is not set"), "{warnings:?}");
}

#[test]
fn an_objective_that_configuration_alone_rules_out_is_told_at_start() {
    let told = |sets: &[&str]| {
        let mut all = vec!["cluster.secret_file=/secret"];
        all.extend(sets);
        let warnings = config(&all).warnings();
        warnings.into_iter().filter(|warning| !warning.starts_with("no effect")).collect::<Vec<_>>()
    };
    assert!(told(&["staleness.probe=0"])[0].contains("slo.stale_reads can never be seen to be met"));
    let late = ["hints.window=4s", "repair.interval=6s"];
    assert!(told(&late)[0].starts_with("slo.convergence_p999 = 5s cannot be met"), "{:?}", told(&late));
    assert!(told(&["hints.window=4s", "repair.interval=5s"]).is_empty());
    assert!(told(&["hints.window=5s", "repair.interval=6s"]).is_empty());
}
