//! Where values come from, which wins, and how they are shown.

use std::fs;

use super::{neap, print_config, stderr, stdout};

/// The lines of a printed configuration, without their comments.
fn values(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.split("  # ").next().unwrap()).collect()
}

#[test]
fn a_later_source_wins_and_each_value_names_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("neap.toml");
    fs::write(&file, "[node]\nid = \"file\"\nzone = \"file\"\n\n[cluster]\nname = \"file\"\n").unwrap();
    let output =
        neap(&["node", "--print-config", "--set", "node.id=flag", "--config", file.to_str().unwrap()])
            .env("NEAP_NODE__ID", "environment")
            .env("NEAP_NODE__ZONE", "environment")
            .env("NEAP_URL", "http://127.0.0.1:1")
            .output()
            .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed = stdout(&output);
    for line in [
        "id = \"flag\"  # --set".to_owned(),
        "zone = \"environment\"  # environment NEAP_NODE__ZONE".to_owned(),
        format!("name = \"file\"  # {}:6", file.display()),
        "partitions = 1024  # default".to_owned(),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing from\n{printed}");
    }
}

#[test]
fn the_last_of_two_flags_wins() {
    let printed = stdout(&print_config(&["node.id=n1", "node.id=n2"]));
    assert!(printed.contains("id = \"n2\"  # --set"), "{printed}");
}

#[test]
fn a_printed_configuration_loads_again_to_the_same() {
    let given = [
        "cluster.members=n1@[::1]:7101;zone=b;weight=0.5, n2@h2:7101,n3@h3:7101",
        "peer.listen=[::]:7101",
        "http.cors=[\"https://shop.example\", \"http://localhost:3000\"]",
        "http.hosts=db.example,other.example",
        "cluster.name=tides",
        "cluster.seeds=[\"a:1\", 'b:2']",
        "cluster.secret_file=/a \"quoted\" # path\\",
        "node.data=/data/ü/\t/x",
        "defaults.w=3",
        "defaults.resolution=lww",
        "defaults.read_repair=off",
        "defaults.sloppy=true",
        "limits.value=1000001",
        "limits.timeout=1500ms",
        "slo.stale_reads=0.000001",
        "slo.convergence_p999=7s",
        "slo.page.burn_fast=20",
        "slo.sets.carts.buckets=[\"carts\", \"sess*\"]",
        "slo.sets.carts.age_p95=250ms",
        "storage.commit=os",
        "telemetry.otlp=http://collector:4318",
    ];
    let first = print_config(&given);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let printed = stdout(&first);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("printed.toml");
    fs::write(&file, &printed).unwrap();
    let second = neap(&["node", "--print-config", "--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    let again = stdout(&second);
    assert_eq!(values(&again), values(&printed));
    let set = again.lines().filter(|line| line.contains(" = "));
    assert!(set.into_iter().all(|line| line.contains("printed.toml:")), "{again}");
}

#[test]
fn the_longest_name_of_a_node_prints_what_loads_again() {
    let id = "n".repeat(64);
    let beyond = ["peer.listen=0.0.0.0:7101", "cluster.secret_file=/secret"];
    let printed = stdout(&print_config(&[&[&*format!("node.id={id}")], &beyond[..]].concat()));
    let advertise = format!("peer.advertise={id}:7101");
    assert!(printed.contains(&format!("advertise = \"{id}:7101\"  # default, follows node.id")), "{printed}");
    assert_eq!(print_config(&[&[&*advertise], &beyond[..]].concat()).status.code(), Some(0));
}

#[test]
fn values_that_nobody_gave_follow_the_keys_they_belong_to() {
    let sets = [
        "cluster.members=n1@127.0.0.1:7101,n2@127.0.0.2:7201;zone=b;weight=2",
        "node.id=n2",
        "defaults.n=2",
        "defaults.r=1",
        "defaults.w=1",
        "slo.stale_reads=0.01",
    ];
    let output = print_config(&sets);
    let printed = stdout(&output);
    for line in [
        "zone = \"b\"  # default, follows cluster.members",
        "weight = 2.0  # default, follows cluster.members",
        "advertise = \"127.0.0.2:7201\"  # default, follows cluster.members",
        "w_min = 1  # default, follows defaults.w",
        "stale_reads = 0.005  # default, follows slo.stale_reads",
    ] {
        assert!(printed.contains(line), "{line} is missing from\n{printed}{}", stderr(&output));
    }
}

#[test]
fn json_shows_the_same_settings() {
    let output = neap(&["node", "--print-config", "--json", "--set", "node.id=n7"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["node.id"], serde_json::json!({"value": "n7", "source": "--set"}));
    assert_eq!(document["cluster.partitions"]["value"], 1024);
}

#[test]
fn an_environment_list_is_separated_by_commas_or_a_toml_array() {
    for list in [
        "n1@localhost:1, n2@[::1]:2,n3@127.0.0.1:3",
        "[\"n1@localhost:1\", \"n2@[::1]:2\", \"n3@127.0.0.1:3\"]",
    ] {
        let output = neap(&["node", "--print-config"]).env("NEAP_CLUSTER__MEMBERS", list).output().unwrap();
        let printed = stdout(&output);
        let line = "members = [\"n1@localhost:1;zone=a;weight=1.0\", \"n2@[::1]:2;zone=a;weight=1.0\", \
                    \"n3@127.0.0.1:3;zone=a;weight=1.0\"]  # environment NEAP_CLUSTER__MEMBERS";
        assert!(printed.contains(line), "{printed}{}", stderr(&output));
    }
}

#[test]
fn the_standard_variables_say_where_telemetry_goes_if_nothing_else_does() {
    let with = |variables: &[(&str, &str)], sets: &[&str]| {
        let mut arguments = vec!["node", "--print-config"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = neap(&arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let (to, by) =
        (("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    let printed = with(&[to, by], &[]);
    assert!(
        printed.contains("otlp = \"http://c:4317\"  # environment OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{printed}"
    );
    assert!(printed.contains("protocol = \"grpc\"  # environment OTEL_EXPORTER_OTLP_PROTOCOL"), "{printed}");
    let printed = with(&[to, by], &["telemetry.otlp="]);
    assert!(printed.contains("otlp = \"\"  # --set"), "{printed}");
    for off in [&[to, ("OTEL_SDK_DISABLED", "true")][..], &[by]] {
        let printed = with(off, &[]);
        assert!(printed.contains("otlp = \"\"  # default"), "{printed}");
        assert!(printed.contains("protocol = \"http/protobuf\"  # default"), "{printed}");
    }
}
