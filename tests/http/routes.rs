//! The table of routes is what a node serves: each method of each path reaches its call, and any other is refused.

use std::collections::{BTreeMap, BTreeSet};

use neap::http::routes::path::PathHead;
use neap::http::routes::table::{ApiCall, ROUTES, Route, find};
use serde_json::json;

use super::client::{Answer, Node};

const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"];

/// The paths of the REST contract and their methods.
const CONTRACT: [(&str, &str); 29] = [
    ("/", "GET, HEAD"),
    ("/docs", "GET, HEAD"),
    ("/docs/runbook", "GET, HEAD"),
    ("/healthz", "GET, HEAD"),
    ("/metrics", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"),
    ("/problems/{type}", "GET, HEAD"),
    ("/readyz", "GET, HEAD"),
    ("/ui", "GET, HEAD"),
    ("/ui/events", "GET, HEAD"),
    ("/v1/batch", "POST"),
    ("/v1/buckets", "GET, HEAD"),
    ("/v1/buckets/{bucket}", "GET, HEAD, PUT"),
    ("/v1/changes", "GET, HEAD, POST"),
    ("/v1/changes/{id}", "GET, HEAD, DELETE"),
    ("/v1/convergence", "GET, HEAD"),
    ("/v1/hints", "GET, HEAD"),
    ("/v1/hints/sync", "GET, HEAD"),
    ("/v1/hints/{target}/pause", "POST"),
    ("/v1/hints/{target}/resume", "POST"),
    ("/v1/kv/{bucket}", "GET, HEAD, PUT, DELETE"),
    ("/v1/kv/{bucket}/{key}", "GET, HEAD, PUT, DELETE"),
    ("/v1/repair", "GET, HEAD, POST"),
    ("/v1/repair/{id}", "DELETE"),
    ("/v1/ring", "GET, HEAD"),
    ("/v1/ring/{bucket}", "GET, HEAD"),
    ("/v1/ring/{bucket}/{key}", "GET, HEAD"),
    ("/v1/slo", "GET, HEAD"),
    ("/v1/slo/advice", "GET, HEAD"),
];

/// The path of a row for bucket `b` and key `k`. Other names are `7`.
fn filled(route: &Route) -> String {
    let names = route.path.names().map(|name| {
        let given = match name {
            "bucket" => "b",
            "key" => "k",
            _ => "7",
        };
        (format!("{{{name}}}"), given)
    });
    names.fold(route.path.text().to_owned(), |path, (name, given)| path.replace(&name, given))
}

/// The request target of a call. A path without the key has it as `key64`.
fn target(route: &Route, call: Option<ApiCall>) -> String {
    let of_any_key = matches!(call, Some(ApiCall::PutKey64 | ApiCall::DeleteKey64));
    let query = if of_any_key || route.only_with_key64 { "?key64=aw" } else { "" };
    format!("{}{query}", filled(route))
}

const fn body(call: ApiCall) -> &'static [u8] {
    match call {
        ApiCall::Batch => br#"{"operations": []}"#,
        ApiCall::SetBucket => br#"{"w": 3}"#,
        _ => b"v",
    }
}

/// Tells whether the answer is that of the call, in a node whose bucket `b` holds the value `v` under the key `k`.
fn is_of(call: ApiCall, node: &Node, answer: &Answer) -> bool {
    let written = || {
        let (write, _) = node.fake.last_write();
        (write.bucket.as_str() == "b" && write.key.as_bytes() == b"k").then_some(write.body)
    };
    let puts =
        || written().is_some_and(|body| matches!(body, neap::protocol::operation::WriteBody::Put { .. }));
    let deletes =
        || written().is_some_and(|body| matches!(body, neap::protocol::operation::WriteBody::Delete));
    match call {
        ApiCall::Read => answer.status == 200 && answer.body == b"v",
        ApiCall::Put | ApiCall::PutKey64 => matches!(answer.status, 201 | 204) && puts(),
        ApiCall::Delete | ApiCall::DeleteKey64 => answer.status == 204 && deletes(),
        ApiCall::ListKeys => answer.status == 200 && answer.json()["keys"][0]["key64"] == "aw",
        ApiCall::Batch => answer.json() == json!({"results": []}),
        ApiCall::ListBuckets => answer.status == 200 && answer.json()["buckets"].is_array(),
        ApiCall::ShowBucket => answer.json()["name"] == "b" && answer.json()["w"] == 2,
        ApiCall::SetBucket => answer.json()["name"] == "b" && answer.json()["w"] == 3,
        ApiCall::Ring => answer.json()["members"].is_array(),
        ApiCall::PreferenceList | ApiCall::PreferenceListKey64 => {
            answer.json()["key64"] == "aw" && answer.json()["preference_list"].is_array()
        }
        // The table that stands for a node has no objectives, and says so as one that is asked by too many.
        ApiCall::Slo => answer.status == 503 && node.fake.scopes().len() == 1,
        ApiCall::Metrics => answer.body.starts_with(b"# TYPE"),
        ApiCall::Healthz => answer.json()["status"] == "ok",
        ApiCall::Readyz => answer.json()["ready"] == true,
        ApiCall::OpenApi => answer.json()["openapi"].is_string(),
        ApiCall::Docs => answer.header("content-type") == Some("text/html; charset=utf-8"),
        ApiCall::NotBuilt(part) => answer.status == 501 && answer.problem()["parameter"] == part,
    }
}

#[test]
fn the_table_has_the_paths_and_methods_of_the_contract() {
    let table: BTreeMap<_, _> = ROUTES.iter().map(|route| (route.path.text(), route.allow())).collect();
    let contract = CONTRACT.map(|(path, allow)| (path, allow.to_owned()));
    assert_eq!(table, contract.into());
}

#[test]
fn each_method_of_a_path_reaches_its_call() {
    for route in &ROUTES {
        for (method, call) in route.calls().filter(|(method, _)| *method != "HEAD") {
            let node = Node::start();
            assert_eq!(node.put("/v1/kv/b/k", b"v").status, 201);
            let target = target(route, Some(call));
            let answer = node.ask(method.as_str(), &target, &[], body(call));
            assert!(is_of(call, &node, &answer), "{method} {target} is not {call:?}: {answer:?}");
        }
    }
}

#[test]
fn head_goes_with_get() {
    let node = Node::start();
    assert_eq!(node.put("/v1/kv/b/k", b"v").status, 201);
    for route in &ROUTES {
        let target = target(route, route.get);
        let [get, head] = ["GET", "HEAD"].map(|method| node.ask(method, &target, &[], b""));
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{target}");
        for name in ["content-type", "allow", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {target}");
        }
        assert_eq!(head.status == 405, route.get.is_none(), "{target}");
    }
}

#[test]
fn each_other_method_is_refused_with_those_that_the_path_has() {
    let node = Node::start();
    for route in &ROUTES {
        let has: BTreeSet<_> = route.calls().map(|(method, _)| method.to_string()).collect();
        for method in METHODS.into_iter().filter(|method| !has.contains(*method)) {
            let target = target(route, None);
            let answer = node.ask(method, &target, &[], b"");
            let allow = answer.header("allow").map(str::to_owned);
            assert_eq!((answer.status, allow), (405, Some(route.allow())), "{method} {target}");
            if method != "HEAD" {
                assert_eq!(answer.problem()["accepted"], route.allow(), "{method} {target}");
            }
        }
    }
}

#[test]
fn no_path_is_of_two_rows() {
    for route in &ROUTES {
        let path = filled(route);
        let rows: Vec<_> =
            ROUTES.iter().filter(|other| other.path.parts(&path, PathHead::of(&path)).is_some()).collect();
        assert_eq!(rows, [route], "{path}");
        assert_eq!(find(&path, true).map(|routed| routed.route), Some(route), "{path}");
    }
}

#[test]
fn the_published_contract_has_the_paths_and_calls_of_the_table() {
    let document = Node::start().get("/openapi.json").json();
    let mut published = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let not_built = operation["tags"][0] == "not built";
            let named = if not_built { &operation["summary"] } else { &operation["operationId"] };
            let named = named.as_str().unwrap().trim_end_matches("_head").to_owned();
            published.insert((path.clone(), method.to_ascii_uppercase(), named));
        }
    }
    let table = ROUTES.iter().flat_map(|route| {
        route.calls().map(|(method, call)| {
            let named = match call {
                ApiCall::NotBuilt(part) => format!("Not built: {part}"),
                built => built.id().unwrap().to_owned(),
            };
            (route.path.text().to_owned(), method.to_string(), named)
        })
    });
    assert_eq!(published, table.collect());
}

#[test]
fn a_bucket_may_have_any_name() {
    let node = Node::start();
    for bucket in ["join", "leave", "remove", "replace", "cordon", "uncordon", "changes", "advice", "sync"] {
        for target in [format!("/v1/ring/{bucket}/k"), format!("/v1/ring/{bucket}?key64=aw")] {
            let answer = node.get(&target);
            assert_eq!((answer.status, &answer.json()["bucket"]), (200, &json!(bucket)), "{target}");
        }
        // Without a key there is no such path, whatever the bucket is called.
        assert_eq!(node.ask("POST", &format!("/v1/ring/{bucket}"), &[], b"").status, 404, "{bucket}");
    }
}
