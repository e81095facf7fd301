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
fn bench_kv_measures_a_cluster_of_its_own_beside_a_bare_handler_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let (saved, baseline) = (folder.path().join("saved.json"), folder.path().join("baseline.json"));
    let row = serde_json::json!({
        "operation": "get", "n": 3, "r": 1, "read_share": 1.0, "commit": "fsync", "probe": 0.05, "keys": 200,
        "value_bytes": 256, "connections": 4, "nodes": 3, "ratio_to_ceiling": 400.0,
    });
    std::fs::write(&baseline, serde_json::json!({ "rows": [row] }).to_string()).unwrap();
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
        "get:1,mix:0.5:1:1",
        "--save",
        saved.to_str().unwrap(),
        "--against",
        baseline.to_str().unwrap(),
    ]);
    // The row that the baseline says was a thousand times faster.
    assert_eq!(code, Some(1), "{document}");
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&saved).unwrap()).unwrap(), document);
    let rows = document["rows"].as_array().unwrap();
    let of = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("operation"), ["get", "get", "mix", "mix"]);
    assert_eq!(of("loop"), ["closed", "open", "closed", "open"]);
    assert!(of("writes_per_sync")[2].as_f64() >= Some(1.0), "{document}");
    for pair in rows.chunks(2) {
        let rate = |row: &Value| row["ops_per_s"].as_f64().unwrap();
        assert!(pair[0]["ratio_to_ceiling"].as_f64() > Some(0.0), "{pair:?}");
        assert!((pair[1]["rate"].as_f64().unwrap() - rate(&pair[0]) / 2.0).abs() <= 1.0, "{pair:?}");
    }
    for row in rows {
        let object = row.as_object().unwrap();
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
        assert!(promised.iter().all(|name| object.contains_key(*name)), "{row}");
        assert!(row["ops_per_s"].as_f64() > Some(0.0) && row["errors"] == 0, "{row}");
        assert_eq!((&row["n"], &row["commit"], &row["probe"]), (&3.into(), &"fsync".into(), &0.05.into()));
    }
    assert!(document["ceiling"]["ops_per_s"].as_f64() > Some(0.0));
    assert!(document["ratio_to_ceiling"].as_f64() > Some(0.0));
}

#[test]
fn bench_overload_refuses_what_is_too_much_and_nothing_fails_otherwise() {
    let (code, document) = json(&[
        "bench",
        "overload",
        "--json",
        "--duration",
        "2s",
        "--in-flight",
        "2",
        "--times",
        "10",
        "--keys",
        "100",
    ]);
    assert_eq!(code, Some(0), "{document}");
    assert_eq!((&document["connections"], &document["failed_otherwise"]), (&60.into(), &0.into()));
    for kind in ["unloaded", "accepted", "refused"] {
        assert!(document[kind]["per_s"].as_f64() > Some(0.0), "{kind}: {document}");
        assert!(document[kind]["p99_ms"].as_f64() > Some(0.0), "{kind}: {document}");
    }
    let resident = document["resident"].as_array().unwrap();
    assert!(resident.len() >= 2 && resident.iter().all(|at| at["bytes"].as_array().unwrap().len() == 3));
    assert_eq!(document["targets"].as_array().unwrap().len(), 4);
}

#[test]
fn bench_memory_fills_a_node_kills_it_and_stops_it() {
    let arguments = ["bench", "memory", "--json", "--nodes", "1", "--keys", "2000"];
    let (code, document) = json(&arguments);
    assert_eq!(code, Some(0), "{document}");
    let row = &document["rows"][0];
    assert_eq!((&row["n"], &row["keys"]), (&1.into(), &2000.into()));
    let figure = |name: &str| row[name].as_f64().unwrap();
    assert!(figure("loaded_bytes") > 1e6 && figure("idle_bytes") > 1e6, "{row}");
    assert!(figure("disk_bytes") > 2_000.0 * 256.0, "{row}");
    assert!(figure("ready_after_kill_s") > 0.0 && figure("ready_after_stop_s") > 0.0, "{row}");
    assert_eq!(document["targets"].as_array().unwrap().len(), 4);
}

/// In one a shard may wait for milliseconds until it is zeroed.
#[cfg(target_os = "linux")]
#[test]
fn a_node_takes_no_huge_pages() {
    super::run(async {
        let (cluster, _directory) =
            super::cluster(1, &["defaults.n=1", "defaults.r=1", "defaults.w=1"]).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pids()[0])).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        // Kernels before 5.0 do not tell.
        assert!(line.is_none_or(|line| line.trim() == "0"), "{line:?}");
    });
}

fn neap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
    command.args(args).env_remove("NEAP_URL");
    command
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_its_name_and_nothing_begun() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("n1");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (http, peer, named) in [
        (taken.local_addr().unwrap(), free, "http.listen"),
        (free, taken.local_addr().unwrap(), "peer.listen"),
    ] {
        let settings = [
            "node.id=n1".to_owned(),
            format!("cluster.members=n1@{peer}"),
            format!("node.data={}", data.display()),
            format!("http.listen={http}"),
            format!("peer.listen={peer}"),
            format!("peer.advertise={peer}"),
            "defaults.n=1".to_owned(),
            "defaults.r=1".to_owned(),
            "defaults.w=1".to_owned(),
        ];
        let mut args = vec!["node"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let output = neap(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(named) && said.contains("cannot be listened on"), "{said}");
        assert!(!data.exists(), "nothing was begun");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = neap(&["node", "--print-config", "--set", "node.id=n1"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the output cannot be written"));
}

#[test]
fn a_command_line_that_is_none_is_one_document_too() {
    let (code, document) = json(&["put", "--w", "16", "b", "k", "v", "--json"]);
    assert_eq!(code, Some(2));
    let title = document["error"]["title"].as_str().unwrap();
    assert!(title.contains("16") && title.contains("--w"), "{title}");
    for (args, code, says) in [
        (&["node", "--set", "limits.key=0", "--json"][..], 2, "limits.key"),
        (&["sim", "--quorum", "1", "--json"], 2, "quorum"),
        (&["sim", "pbs", "--quorum", "1", "--json"], 2, "quorum"),
        (&["sim", "--scenario", "/nope", "--json"], 2, "/nope"),
        (&["bench", "kv", "--url", "http://127.0.0.1:1", "--json"], 1, "127.0.0.1:1"),
    ] {
        let (given, document) = json(args);
        let title = document["error"]["title"].as_str().unwrap_or_default().to_owned();
        assert!(given == Some(code) && title.contains(says), "{args:?}: {given:?} {document}");
    }
}

#[test]
fn a_bench_that_is_interrupted_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut bench = neap(&["bench", "kv", "--keys", "2000", "--commit", "os", "--operations", "get:1"])
        .env("TMPDIR", temporary.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let entries = || std::fs::read_dir(temporary.path()).unwrap().count();
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let wait = |until: &mut dyn FnMut() -> bool| {
        while !until() {
            assert!(std::time::Instant::now() < patience);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let made = || {
        let paths = std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.join("n3").exists()).count()
    };
    wait(&mut || made() == 1);
    let pid = rustix::process::Pid::from_child(&bench);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = bench.wait().unwrap();
    assert_eq!((status.code(), entries()), (Some(128 + 15), 0));
}
