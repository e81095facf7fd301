//! Values, keys and files that are refused, each for what is wrong with it.

use std::fs;

use super::{neap, print_config, run, stderr};

/// What is set, and what the one line about it must say beside the key and `--set`.
const REFUSED: &[(&str, &[&str])] = &[
    ("cluster.name=", &["\"\"", "1 to 64 characters"]),
    ("cluster.name=a b", &["\"a b\"", "1 to 64 characters"]),
    ("cluster.partitions=1000", &["1000", "power of two"]),
    ("cluster.partitions=0", &["out of range", "1 to 65536"]),
    ("cluster.partitions=many", &["not a whole number", "1 to 65536"]),
    ("cluster.members=n1", &["n1", "id@host:port"]),
    ("cluster.members=[3]", &["not a list of texts", "id@host:port"]),
    ("cluster.members=[", &["not a list of texts", "id@host:port"]),
    ("cluster.seeds=n1", &["\"n1\" is not an address", "host:port"]),
    ("node.id=n/1", &["\"n/1\"", "A-Z a-z 0-9 _ -"]),
    ("node.zone=", &["\"\"", "1 to 64 characters"]),
    ("node.weight=0", &["out of range", "0.001 to 1000"]),
    ("node.weight=NaN", &["out of range", "0.001 to 1000"]),
    ("node.weight=heavy", &["not a number", "0.001 to 1000"]),
    ("node.data=", &["\"\"", "the path of a directory"]),
    ("node.drain_timeout=10", &["not a duration", "such as 250ms"]),
    ("node.drain_timeout=-1s", &["not a duration", "such as 250ms"]),
    ("node.drain_timeout=2h", &["out of range", "0s to 1h"]),
    ("http.listen=8101", &["\"8101\"", "an IP address and a port"]),
    ("http.listen=localhost:8101", &["\"localhost:8101\"", "an IP address and a port"]),
    ("http.cors=*", &["\"*\" is not an origin", "\"https://shop.example\""]),
    ("http.cors=null", &["\"null\" is not an origin", "no path, no wildcard"]),
    ("http.cors=https://a.example/", &["\"https://a.example/\" is not an origin", "no path, no wildcard"]),
    ("http.cors=[1]", &["not a list of texts", "\"https://shop.example\""]),
    ("http.hosts=*.example", &["\"*.example\" is not a host name", "no wildcard"]),
    ("http.hosts=db.example:8101", &["\"db.example:8101\" is not a host name", "without a port"]),
    ("http.workers=257", &["out of range", "0 to 256"]),
    ("http.workers=-1", &["out of range", "0 to 256"]),
    ("http.workers=1.5", &["not a whole number", "0 to 256"]),
    ("peer.listen=127.0.0.1:0", &["\"127.0.0.1:0\"", "a port from 1 to 65535"]),
    ("peer.listen=0.0.0.0:7101", &["cluster.secret_file = \"\" (default)", "head -c 32 /dev/urandom"]),
    ("peer.advertise=n1:99999", &["\"n1:99999\"", "host:port"]),
    ("defaults.n=16", &["out of range", "1 to 15"]),
    ("defaults.r=4", &["defaults.n = 3 (default)", "r from 1 to 3"]),
    ("defaults.w=4", &["defaults.n = 3 (default)", "w from 1 to 3"]),
    ("defaults.w_min=3", &["defaults.w = 2 (default)", "w_min from 1 to 2"]),
    ("defaults.resolution=newest", &["\"newest\"", "\"siblings\" or \"lww\""]),
    ("defaults.blind_write=", &["\"\"", "\"overwrite\" or \"sibling\""]),
    ("defaults.siblings_max=0", &["out of range", "1 to 10000"]),
    ("defaults.siblings_max=many", &["not a whole number", "1 to 10000"]),
    ("defaults.weight=0", &["out of range", "0.1 to 100"]),
    ("defaults.weight=1.234", &["out of range", "two decimals"]),
    ("defaults.weight=much", &["not a number", "0.1 to 100"]),
    ("defaults.read_repair=true", &["\"true\"", "\"blocking\" or \"async\" or \"off\""]),
    ("defaults.sloppy=yes", &["not a truth value", "true or false"]),
    ("storage.commit=sync", &["\"sync\"", "\"fsync\" or \"interval\" or \"os\""]),
    ("limits.value=1MB", &["not a size", "such as 64KiB"]),
    ("limits.value=1GiB", &["out of range", "1B to 64MiB"]),
    ("limits.value=32MiB", &["defaults.n = 3 (default)", "at most 5396KiB"]),
    ("limits.value=8MiB", &["defaults.n = 3 (default)", "at most 5396KiB, or n from 1 to 1"]),
    ("limits.key=0", &["out of range", "1 to 1024"]),
    ("limits.in_flight=0", &["out of range", "1 to 1000000"]),
    ("limits.hold_floods=true", &["limits.hold_floods", "no such key"]),
    ("limits.timeout=2", &["not a duration", "1ms to 10m"]),
    ("limits.timeout=0s", &["out of range", "1ms to 10m"]),
    ("clock.max_skew=1d", &["out of range", "1ms to 1h"]),
    ("hints.window=99999999d", &["not a duration", "1s to 30d"]),
    ("hints.per_target=17GiB", &["hints.total = \"16GiB\" (default)", "at most 16GiB"]),
    ("repair.floor=65MiB", &["repair.ceiling = \"64MiB\" (default)", "at most 64MiB"]),
    ("staleness.probe=1.1", &["out of range", "0 to 1"]),
    ("slo.stale_counts=all", &["\"all\"", "\"committed\" or \"any_replica\""]),
    ("slo.sets.carts.buckets=", &["slo.sets.carts.buckets = []", "a set of no buckets", "\"sess*\""]),
    ("slo.sets.carts.buckets=[\"a b\"]", &["\"a b\" is no bucket", "a list of 1 to 64 names"]),
    ("slo.sets.a b.buckets=carts", &["not the name of a set", "A-Z a-z 0-9 _ -"]),
    ("slo.time_scale=0", &["out of range", "0.0001 to 1"]),
    ("slo.page.burn_fast_short=2h", &["slo.page.burn_fast_long = \"1h\"", "short window"]),
    ("slo.ticket.stale_reads=0.5", &["slo.page.stale_reads = 0.001", "at most 0.001"]),
    ("telemetry.otlp=collector:4318", &["\"collector:4318\"", "http:// or https://"]),
    ("log.level=loud", &["\"loud\"", "\"info\""]),
    ("log.format=xml", &["\"xml\"", "\"text\" or \"json\""]),
];

#[test]
fn every_bad_value_is_named_with_what_would_be_accepted() {
    for (set, parts) in REFUSED {
        let output = print_config(&[set]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{set}: {text}");
        assert!(output.stdout.is_empty(), "{set}");
        assert!(text.starts_with("neap: the configuration has 1 error:\n"), "{set}: {text}");
        let key = set.split('=').next().unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("  {key} = ")), "{set}: {line}");
        for part in parts.iter().chain(&["(--set)", "accepted: "]) {
            assert!(line.contains(part), "{set}: {part} is missing from {line}");
        }
    }
}

#[test]
fn http_and_peers_cannot_listen_at_one_address() {
    let text = stderr(&print_config(&["http.listen=127.0.0.1:7101"]));
    assert!(text.contains("http.listen = \"127.0.0.1:7101\" (--set) contradicts peer.listen"), "{text}");
}

#[test]
fn longer_lists_of_callers_than_any_node_needs_are_refused() {
    for (key, entry) in [("http.hosts", "h"), ("http.cors", "http://h")] {
        let entries =
            |count: usize| (0..count).map(|at| format!("{entry}{at}")).collect::<Vec<_>>().join(",");
        assert_eq!(print_config(&[&format!("{key}={}", entries(100))]).status.code(), Some(0));
        let output = print_config(&[&format!("{key}={}", entries(101))]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("101 entries; accepted: a list of"), "{}", stderr(&output));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_key_that_was_meant() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("typo.toml");
    fs::write(&file, "# first\n[node]\nidd = \"n1\"\n").unwrap();
    let output = run(&["node", "--print-config", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    let line =
        format!("node.idd = \"n1\" ({}:3): there is no such key; did you mean node.id?", file.display());
    assert!(text.contains(&line), "{text}");
}

#[test]
fn an_unknown_environment_key_is_named_with_its_variable() {
    let output = neap(&["node", "--print-config"]).env("NEAP_NODE__ZOEN", "b").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("environment NEAP_NODE__ZOEN") && text.contains("node.zone?"), "{text}");
}

#[test]
fn all_errors_of_all_sources_are_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("neap.toml");
    let content = "stray = 1\n[http]\nworkers = \"two\"\n[defaults]\nr = 9\n[paint]\n[log]\nlevel = 3\n";
    fs::write(&file, content).unwrap();
    let output = neap(&["node", "--config", file.to_str().unwrap(), "--set", "storage.comit=os"])
        .env("NEAP_LIMITS__TIMEOUT", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.starts_with("neap: the configuration has 7 errors:\n"), "{text}");
    for part in [
        "stray = 1 (",
        "neap.toml:3): not a whole number",
        "defaults.r = 9 (",
        "paint = {} (",
        "log.level = 3 (",
        "storage.comit = \"os\" (--set): there is no such key; did you mean storage.commit?",
        "limits.timeout = \"soon\" (environment NEAP_LIMITS__TIMEOUT): not a duration",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_named() {
    let output = run(&["node", "--print-config", "--config", "/nowhere/neap.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--config /nowhere/neap.toml: "), "{}", stderr(&output));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broken.toml");
    fs::write(&file, "[node]\nid = \"n1\"\nzone = \n").unwrap();
    let output = run(&["node", "--print-config", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("broken.toml:3: not TOML: "), "{}", stderr(&output));
}

#[test]
fn a_flag_without_a_value_is_refused() {
    for set in ["node.id", "=n1", ""] {
        let output = print_config(&[set]);
        assert_eq!(output.status.code(), Some(2), "{set}");
        assert!(stderr(&output).contains("section.key=value"), "{}", stderr(&output));
    }
}

#[test]
fn a_key_that_no_set_has_and_a_set_too_many_are_refused() {
    let output = print_config(&["slo.sets.carts.buckets=carts", "slo.sets.carts.age_p59=1s"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean slo.sets.carts.age_p95?"), "{}", stderr(&output));
    let output = print_config(&["slo.sets.carts.age_p95=1s"]);
    assert!(stderr(&output).contains("slo.sets.carts.buckets = [] (default): a set of no buckets"));
    let sets: Vec<_> = (10..27).map(|set| format!("slo.sets.s{set}.buckets=b{set}")).collect();
    let output = print_config(&sets.iter().map(String::as_str).collect::<Vec<_>>());
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.contains("slo.sets.s26.buckets = \"b26\" (--set): one set more than there may be"),
        "{text}"
    );
    assert!(text.contains("at most 16 sets"), "{text}");
}
