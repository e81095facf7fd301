//! The client commands as a shell sees them: what they send, what they print, how they end.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::scripted_node::{Script, ScriptedNode};

fn neap_with_input(url: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(arguments)
        .env("NEAP_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn neap(node: &ScriptedNode, arguments: &[&str]) -> Output {
    neap_with_input(&node.url(), arguments, b"")
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn siblings() -> Script {
    let body = json!({ "context": "ctx", "siblings": [
        { "value": "b25l", "content_type": "text/plain", "version_time": "2026-01-01T00:00:00Z", "deleted": false },
        { "value": "/wA=", "content_type": "image/png", "version_time": "2026-01-01T00:00:01Z", "deleted": false },
        { "value": null, "content_type": null, "version_time": "2026-01-01T00:00:02Z", "deleted": true },
    ] });
    let script = Script::new(300).header("content-type", "application/json").header("neap-context", "ctx");
    script.body(body.to_string())
}

#[test]
fn a_value_is_printed_byte_for_byte_and_alone() {
    let node =
        ScriptedNode::start(Script::new(200).header("neap-context", "ctx").body(*b"\xff\x00 no newline"));
    let output = neap(&node, &["get", "b", "k", "--r", "1", "--timeout", "250ms"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"\xff\x00 no newline");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(node.asked_once().target, "/v1/kv/b/k?r=1&timeout=250ms");
}

#[test]
fn a_value_as_json_is_one_document_with_the_headers_as_fields() {
    let script = Script::new(200)
        .header("content-type", "text/plain")
        .header("neap-context", "ctx")
        .header("neap-replicas", "acked=2 required=2 total=3")
        .header("neap-acked-by", "n1,n3")
        .header("neap-lagging-replicas", "1")
        .header("neap-staleness-bound", "unproven")
        .body("v");
    let node = ScriptedNode::start(script);
    let document = document(&neap(&node, &["get", "b", "k", "--json"]));
    assert_eq!(document["value"], "dg==");
    assert_eq!(document["content_type"], "text/plain");
    assert_eq!(document["context"], "ctx");
    assert_eq!(document["replicas"], json!({ "acked": 2, "required": 2, "total": 3 }));
    assert_eq!(document["acked_by"], json!(["n1", "n3"]));
    assert_eq!(document["lagging_replicas"], 1);
    assert_eq!(document["staleness_bound"], "unproven");
    assert_eq!(document["siblings"], json!([]));
}

#[test]
fn siblings_are_listed_with_the_delete_flagged() {
    let node = ScriptedNode::start(siblings());
    let output = neap(&node, &["get", "b", "k"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for part in
        ["2 concurrent values", "text/plain\none\n", "2 bytes that are not text", "deleted", "context: ctx"]
    {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let document = document(&neap(&node, &["get", "b", "k", "--json"]));
    assert_eq!(document["value"], Value::Null);
    assert_eq!(document["siblings"][0]["value"], "b25l");
}

#[test]
fn a_put_sends_its_value_and_all_its_options() {
    let node = ScriptedNode::start(Script::new(204).header("neap-context", "next"));
    let id = "000102030405060708090a0b0c0d0e0f";
    let options =
        ["--w", "3", "--ttl", "3h", "--context", "ctx", "--write-id", id, "--content-type", "text/plain"];
    let output = neap(&node, &[&["put", "b", "k", "value"], &options[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = node.asked_once();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("PUT", "/v1/kv/b/k?ttl=3h&w=3"));
    assert_eq!(asked.body, b"value");
    assert_eq!(asked.headers["neap-context"], "ctx");
    assert_eq!(asked.headers["neap-write-id"], id);
    assert_eq!(asked.headers["content-type"], "text/plain");
    assert!(String::from_utf8_lossy(&output.stdout).contains("context: next"));
}

#[test]
fn a_put_without_a_value_reads_standard_input_and_draws_a_write_id() {
    let node = ScriptedNode::start(Script::new(201));
    for arguments in [&["put", "b", "k"][..], &["put", "b", "k", "-"]] {
        assert_eq!(neap_with_input(&node.url(), arguments, b"\x00\xfe").status.code(), Some(0));
    }
    let asked = node.asked();
    assert!(asked.iter().all(|asked| asked.body == b"\x00\xfe"));
    assert_ne!(asked[0].headers["neap-write-id"], asked[1].headers["neap-write-id"]);
}

#[test]
fn a_delete_carries_its_context() {
    let node = ScriptedNode::start(Script::new(204));
    assert_eq!(neap(&node, &["delete", "b", "a/b", "--context", "ctx"]).status.code(), Some(0));
    let asked = node.asked_once();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("DELETE", "/v1/kv/b/a%2Fb"));
    assert_eq!(asked.headers["neap-context"], "ctx");
}

#[test]
fn each_refusal_is_a_sentence_and_its_exit_code() {
    let codes =
        [(400, 2), (404, 3), (409, 1), (412, 1), (413, 2), (422, 2), (429, 4), (501, 1), (503, 4), (504, 4)];
    for (status, code) in codes {
        let node = ScriptedNode::start(Script::problem(status, "The title", "the detail"));
        let output = neap(&node, &["get", "b", "k", "--json"]);
        assert_eq!(output.status.code(), Some(code), "status {status}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "neap: The title: the detail\n");
        assert_eq!(document(&output)["error"]["detail"], "the detail");
        let plain = neap(&node, &["get", "b", "k"]);
        assert!(plain.stdout.is_empty(), "{plain:?}");
    }
}

#[test]
fn a_deleted_key_is_not_found_and_its_context_is_told() {
    let node = ScriptedNode::start(
        Script::problem(404, "Key not found", "it was deleted").header("neap-context", "c"),
    );
    let output = neap(&node, &["get", "b", "k", "--json"]);
    assert_eq!((output.status.code(), &document(&output)["context"]), (Some(3), &json!("c")));
}

#[test]
fn wrong_usage_sends_nothing() {
    let node = ScriptedNode::start(Script::new(200));
    for arguments in [
        &["get", "no bucket", "k"][..],
        &["get", "b", ""],
        &["put", "b", "k", "v", "--write-id", "12"],
        &["get", "b", "k", "--url", "https://h:1"],
        &["bucket", "set", "b", "n"],
        &["bucket", "set", "b", "n=1", "n=2"],
    ] {
        assert_eq!(neap(&node, arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert!(node.asked().is_empty());
}

#[test]
fn a_cluster_that_is_not_there_is_a_failure_that_names_the_variable() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = neap_with_input(&url, &["get", "b", "k", "--json"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NEAP_URL"));
    assert_eq!(document(&output)["error"]["outcome"], "not_applied");
}

#[test]
fn a_bucket_is_set_with_typed_properties() {
    let node = ScriptedNode::start(Script::new(200).body(r#"{"name":"s","n":3}"#));
    let output = neap(&node, &["bucket", "set", "s", "n=3", "resolution=lww", "sloppy=false", "ttl=3h"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = node.asked_once();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("PUT", "/v1/buckets/s"));
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body, json!({ "n": 3, "resolution": "lww", "sloppy": false, "ttl": "3h" }));
}

#[test]
fn the_ring_is_a_table_for_people_and_the_nodes_document_as_json() {
    let ring = json!({ "cluster": "neap", "epoch": 1, "fingerprint": "ff", "partitions": 64, "n": 3, "members": [
        { "id": "n1", "zone": "a", "weight": 1.0, "address": "h:1", "state": "up", "partitions": 64, "first": 64 },
    ], "incomplete_partitions": 0 });
    let node = ScriptedNode::start(Script::new(200).body(ring.to_string()));
    let text = String::from_utf8(neap(&node, &["ring"]).stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("n1") && line.contains("up")), "{text}");
    assert_eq!(document(&neap(&node, &["ring", "--json"])), ring);
}

#[test]
fn the_preference_list_of_a_key_is_asked_for_by_its_bytes() {
    let list = json!({ "partition": 7, "preference_list": ["n3", "n1", "n2"] });
    let node = ScriptedNode::start(Script::new(200).body(list.to_string()));
    for (key, target) in [("a/b c", "/v1/ring/b/a%2Fb%20c"), ("a/..", "/v1/ring/b?key64=YS8uLg")] {
        let output = neap(&node, &["ring", "key", "b", key]);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(shown, "partition 7, homes in order: n3, n1, n2\n");
        assert_eq!(node.asked().last().unwrap().target, target);
    }
}

fn page(keys: &[&str], continuation: Option<&str>) -> Script {
    let key = |key64: &&str| json!({ "key64": key64, "version_time": "2026-01-01T00:00:00Z", "versions": 1 });
    let mut page = json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() });
    if let Some(token) = continuation {
        page["continuation"] = json!(token);
    }
    Script::new(200).header("content-type", "application/json").body(page.to_string())
}

#[test]
fn keys_are_printed_byte_for_byte_one_a_line() {
    let node = ScriptedNode::start(page(&["YQ", "_w"], None));
    let output = neap(&node, &["keys", "b", "--prefix", "a/", "--start", "a/m", "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"a\n\xff\n");
    assert_eq!(node.asked_once().target, "/v1/kv/b?prefix=a%2F&start=a%2Fm&limit=1000&timeout=1s");
}

#[test]
fn pages_are_fetched_until_the_limit_and_json_says_where_to_go_on() {
    let node = ScriptedNode::start(page(&["YQ", "Yg"], Some("next")));
    let output = neap(&node, &["keys", "b", "--start", "a", "--limit", "4", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = document(&output);
    assert_eq!(document["keys"].as_array().unwrap().len(), 4);
    assert_eq!((&document["keys"][1]["key64"], &document["continuation"]), (&json!("Yg"), &json!("next")));
    let targets: Vec<_> = node.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/v1/kv/b?start=a&limit=4", "/v1/kv/b?limit=2&token=next"]);
    for wrong in
        [&["keys", "b", "--limit", "0"][..], &["keys", "a.b"], &["keys", "b", "--start", "a", "--token", "t"]]
    {
        assert_eq!(neap(&node, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn pages_without_keys_are_passed_over_until_the_end_and_nothing_but_keys_is_printed() {
    let nothing = page(&[], Some("next"));
    let node = ScriptedNode::start_in_turn(vec![nothing.clone(), nothing, page(&["YQ"], None)]);
    let output = neap(&node, &["keys", "b", "--limit", "5"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"a\n"[..]), "{output:?}");
    assert_eq!(output.stderr, b"", "progress is for terminals");
    assert_eq!(node.asked().len(), 3);
}

#[test]
fn a_page_that_fails_after_others_is_asked_for_again_and_at_last_says_where_to_go_on() {
    let busy = Script::problem(504, "Deadline", "too slow");
    let node =
        ScriptedNode::start_in_turn(vec![page(&["YQ"], Some("next")), busy.clone(), page(&["Yg"], None)]);
    let output = neap(&node, &["keys", "b"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"a\nb\n"[..]), "{output:?}");
    assert!(node.asked().last().unwrap().target.ends_with("&token=next"));

    let node = ScriptedNode::start_in_turn(vec![page(&["YQ"], Some("next")), busy.clone()]);
    let output = neap(&node, &["keys", "b"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(4), &b"a\n"[..]), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--token next goes on"), "{output:?}");
    assert_eq!(node.asked().len(), 6);

    let node = ScriptedNode::start(busy);
    assert_eq!(neap(&node, &["keys", "b"]).status.code(), Some(4));
    assert_eq!(node.asked().len(), 1, "whoever has nothing yet is told at once");
}

#[test]
fn a_value_without_an_end_is_refused_once_it_is_too_long() {
    let node = ScriptedNode::start(Script::new(204));
    let output = Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(["put", "b", "k", "-"])
        .env("NEAP_URL", node.url())
        .stdin(std::fs::File::open("/dev/zero").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("16 MiB"), "{output:?}");
    assert_eq!(node.asked().len(), 0);
}
