//! `neap sim`, as whoever runs it meets it.

use serde_json::Value;

use super::{neap, run, stderr, stdout};

fn json(args: &[&str]) -> Value {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn one_document_says_what_was_injected_what_was_reported_and_what_was_true() {
    let args =
        ["sim", "--seed", "7", "--seeds", "2", "--ops", "600", "--faults", "heavy", "--jobs", "2", "--json"];
    let document = json(&args);
    assert_eq!((&document["seeds"], &document["operations"]), (&2.into(), &1200.into()));
    assert_eq!(document["violations"], serde_json::json!([]));
    let faults = document["faults"].as_object().unwrap();
    assert!(faults.values().map(|count| count.as_u64().unwrap()).sum::<u64>() >= 40, "{faults:?}");
    for (part, field) in
        [("reported", "reads"), ("reported", "failed"), ("truth", "stale_reads"), ("truth", "versions")]
    {
        assert!(!document[part][field].is_null(), "{part}.{field}: {document}");
    }
    let again = json(&args);
    assert_eq!(document["hash"], again["hash"]);
    assert_eq!(document["events"], again["events"]);
}

#[test]
fn people_are_told_the_same_in_words() {
    let output = run(&["sim", "--ops", "300"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["1 seed, 300 operations", "faults ", "stale", "convergence", "violations   none"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    for (args, named) in [
        (&["--quorum", "3,4,1"][..], "quorum = 3,4,1"),
        (&["--quorum", "3"], "quorum = 3"),
        (&["--nodes", "2"], "--nodes = 2"),
        (&["--zones", "9"], "--zones = 9"),
        (&["--latency", "lan"], "lnkd-ssd, lnkd-disk, ymmr, wan"),
        (&["--ops", "0"], "--ops"),
        (&["--faults", "some"], "none, light, heavy"),
        (&["--scenario", "no-such.toml"], "no-such.toml"),
        (&["--scenario", "no-such.toml", "--seed", "3"], "--seed"),
        (&["pbs", "--at", "2h"], "--at"),
        (&["pbs", "--reads", "0"], "--reads"),
    ] {
        let output = run(&[&["sim"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(named), "{args:?}: {}", stderr(&output));
    }
}

fn scenario(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("story.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_story_is_told_as_it_is_written() {
    let (_folder, path) = scenario(
        "seed = 1\nnodes = 3\n\
         [[fault]]\nat_ms = 3400\nkind = 'partition'\nnode = 2\nlasts_ms = 500\n\
         [[step]]\nat_ms = 3500\nnode = 1\nop = 'put'\n\
         [[step]]\nat_ms = 3600\nnode = 3\nop = 'get'\n",
    );
    let output = run(&["sim", "--scenario", &path, "--trace"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["FAULT partition at n2, for 500 ms", "client asks n1: put", "client asks n3: get"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_story_that_makes_no_sense_is_refused_by_name() {
    for (text, named) in [
        ("nodes = 3\n", "seed"),
        ("seed = 1\nnodes = 2\n", "nodes = 2"),
        ("seed = 1\nnoodles = 2\n", "noodles"),
        ("seed = 1\n[[fault]]\nat_ms = 1\nkind = 'flood'\nnode = 1\nlasts_ms = 1\n", "flood"),
        ("seed = 1\n[[fault]]\nat_ms = 1\nkind = 'crash'\nnode = 6\nlasts_ms = 1\n", "node = 6"),
        ("seed = 1\n[[step]]\nat_ms = 1\nnode = 1\nop = 'steal'\n", "steal"),
        ("seed = 1\n[[step]]\nat_ms = 1\nnode = 1\nkye = 3\nop = 'put'\n", "kye"),
        ("seed = 1\n[[step]]\nat_ms = 1\nnode = 1\nkey = 10\nop = 'get'\n", "key = 10"),
    ] {
        let (_folder, path) = scenario(text);
        let output = run(&["sim", "--scenario", &path]);
        assert_eq!(output.status.code(), Some(2), "{text}: {}", stderr(&output));
        let complaint = stderr(&output);
        assert!(complaint.contains(named) && complaint.contains("story.toml"), "{text}: {complaint}");
    }
}

#[test]
fn the_published_experiment_comes_beside_its_model() {
    let args =
        ["sim", "pbs", "--latency", "lnkd-disk", "--quorum", "3,1,1", "--at", "0ms,10ms", "--reads", "500"];
    let document = json(&[&args[..], &["--json"]].concat());
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for field in ["latency", "n", "r", "w", "t_ms", "p_simulated", "p_monte_carlo", "p_published"] {
        assert!(!rows[0][field].is_null(), "{field}: {}", rows[0]);
    }
    assert!(document["t999_ms"]["simulated"].is_number() && document["t999_ms"]["monte_carlo"].is_number());
    assert!(document["latency_ms"]["read"]["3"]["p99"]["simulated"].is_number(), "{document}");
    assert_eq!(document["reads"], 500);
    let output = run(&args);
    assert!(stdout(&output).contains("published"), "{}", stdout(&output));
}

#[test]
fn a_soak_names_each_seed() {
    let mut soak = neap(&["sim", "--soak", "1s", "--ops", "200", "--faults", "heavy"]);
    let text = stdout(&soak.output().unwrap());
    assert!(text.lines().any(|line| line.starts_with("seed ") && line.ends_with("ok")), "{text}");
}
