//! The published contract is what the router does.

use super::client::Node;

/// A path with its parts filled in.
fn filled(path: &str) -> String {
    path.replace("{bucket}", "b").replace("{key}", "k").replace(['{', '}'], "")
}

#[test]
fn every_documented_call_is_there_and_every_other_method_is_refused() {
    let node = Node::start();
    let document = node.get("/openapi.json");
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let document = document.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for (path, item) in document["paths"].as_object().unwrap() {
        let item = item.as_object().unwrap();
        let mut target = filled(path);
        if path.ends_with("{bucket}") && path != "/v1/buckets/{bucket}" {
            target.push_str("?key64=aw");
        }
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
            let answer = node.ask(method, &target, &[], b"");
            let Some(operation) = item.get(&method.to_ascii_lowercase()) else {
                assert_eq!(answer.status, 405, "{method} {path}");
                let allow: Vec<_> =
                    answer.header("allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
                assert_eq!(allow.len(), item.len(), "{path}");
                assert!(allow.iter().all(|method| item.contains_key(method)), "{path}");
                continue;
            };
            let status = answer.status.to_string();
            let known = operation["responses"].as_object().unwrap();
            assert!(known.contains_key(&status), "{method} {path} says {status}, which is not documented");
            let not_built = known.contains_key("501") && known.len() == 1;
            assert_eq!(answer.status == 501, not_built, "{method} {path}");
        }
    }
}

#[test]
fn the_page_is_served_with_a_policy_that_lets_it_ask_its_node_alone() {
    let node = Node::start();
    let page = node.get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert_eq!(node.get("/docs?x=1").status, 400);
    assert_eq!(node.get("/openapi.json?x=1").status, 400);
}
