//! The commands that make clusters of their own, as scripts use them.

use std::process::Command;

use serde_json::Value;

fn json(args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_neap")).args(args).env_remove("NEAP_URL").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), document)
}

#[test]
fn the_demo_kills_a_node_brings_it_back_and_finds_nothing_lost() {
    let (code, document) = json(&["demo", "--nodes", "5", "--for", "6s", "--json"]);
    assert_eq!(code, Some(0), "{document}");
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = [
        "acked_writes",
        "convergence_p999_s",
        "duration_s",
        "errors",
        "events",
        "lost_writes",
        "nodes",
        "ops_per_s",
        "p50_ms",
        "p99_ms",
        "reads",
        "stale_read_rate",
        "writes",
    ];
    assert_eq!(keys, promised);
    assert_eq!((&document["lost_writes"], &document["nodes"]), (&0.into(), &5.into()));
    assert!(
        document["acked_writes"].as_u64() > Some(100) && document["reads"].as_u64() > Some(100),
        "{document}"
    );
    let events: Vec<_> =
        document["events"].as_array().unwrap().iter().map(|event| event["node"].clone()).collect();
    assert_eq!(events, ["n5".into(), Value::Null, "n5".into()]);
}

#[test]
fn bench_kv_measures_a_cluster_of_its_own_beside_a_bare_handler() {
    let (code, document) = json(&[
        "bench",
        "kv",
        "--json",
        "--keys",
        "200",
        "--connections",
        "4",
        "--duration",
        "1s",
        "--warmup",
        "100ms",
        "--commit",
        "fsync",
        "--operations",
        "get:1,put:1",
    ]);
    assert_eq!(code, Some(0), "{document}");
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let promised = [
            "commit",
            "connections",
            "errors",
            "keys",
            "n",
            "operation",
            "ops_per_s",
            "p50_ms",
            "p99_ms",
            "probe",
            "r",
            "value_bytes",
            "w",
        ];
        assert_eq!(keys, promised);
        assert!(row["ops_per_s"].as_f64() > Some(0.0) && row["errors"] == 0, "{row}");
    }
    assert!(document["ceiling"]["ops_per_s"].as_f64() > Some(0.0));
    assert!(document["ratio_to_ceiling"].as_f64() > Some(0.0));
}
