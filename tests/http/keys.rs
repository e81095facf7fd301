//! Keys in raw request targets.

use super::client::Node;

fn key_of(node: &Node, target: &str) -> Vec<u8> {
    let answer = node.get(target);
    assert_eq!(answer.status, 404, "{target}: {answer:?}");
    node.fake.last_read().0.key.as_bytes().to_vec()
}

#[test]
fn distinct_keys_stay_distinct_whatever_their_bytes() {
    let node = Node::start();
    for (target, key) in [
        ("/v1/kv/b/%FF", &b"\xff"[..]),
        ("/v1/kv/b/%fe", b"\xfe"),
        ("/v1/kv/b/%EF%BF%BD", b"\xef\xbf\xbd"),
        ("/v1/kv/b/%00", b"\0"),
        ("/v1/kv/b/a+b", b"a+b"),
        ("/v1/kv/b/a%20b", b"a b"),
        ("/v1/kv/b/a%2Bb", b"a+b"),
        ("/v1/kv/b/%2525", b"%25"),
        ("/v1/kv/b/a%3Fb%23c", b"a?b#c"),
        ("/v1/kv/b/a?timeout=1s", b"a"),
        ("http://localhost/v1/kv/b/%FF", b"\xff"),
    ] {
        assert_eq!(key_of(&node, target), key, "{target}");
    }
}

#[test]
fn a_slash_may_stand_plain_or_encoded() {
    let node = Node::start();
    for (target, key) in [
        ("/v1/kv/b/a/b", &b"a/b"[..]),
        ("/v1/kv/b/a%2Fb", b"a/b"),
        ("/v1/kv/b/a%2fb", b"a/b"),
        ("/v1/kv/b/a//b/", b"a//b/"),
        ("/v1/kv/b//a", b"/a"),
        ("/v1/kv/b/...", b"..."),
    ] {
        assert_eq!(key_of(&node, target), key, "{target}");
    }
}

#[test]
fn key64_takes_any_key_for_every_method() {
    let node = Node::start();
    let target = "/v1/kv/b?key64=Li4";
    assert_eq!(node.put(&format!("{target}&w=2&ttl=3650d"), b"1").status, 201);
    assert_eq!(node.fake.last_write().0.key.as_bytes(), b"..");
    assert_eq!(node.fake.last_write().0.w, Some(2));
    assert_eq!(node.get("/v1/kv/b?r=1&key64=Li4%3D").status, 200);
    assert_eq!(node.fake.last_read().0.key.as_bytes(), b"..");
    assert_eq!(node.ask("HEAD", target, &[], b"").body.len(), 0);
    assert_eq!(node.ask("DELETE", target, &[], b"").status, 204);
    assert_eq!(key_of(&node, "/v1/kv/b?key64=_w=="), b"\xff");
    assert_eq!(key_of(&node, "/v1/kv/b?key64=YS9i"), key_of(&node, "/v1/kv/b/a/b"));
}

#[test]
fn a_context_of_one_key_is_refused_for_another() {
    let node = Node::start();
    let put = node.put("/v1/kv/b/k", b"1");
    let context = put.header("neap-context").unwrap();
    for target in ["/v1/kv/b/K", "/v1/kv/c/k"] {
        let foreign = node.ask("PUT", target, &[("Neap-Context", context)], b"2");
        assert_eq!(foreign.status, 400, "{target}");
        assert_eq!(foreign.problem()["parameter"], "Neap-Context");
    }
    let same = node.ask("PUT", "/v1/kv/b?key64=aw", &[("Neap-Context", context)], b"2");
    assert_eq!(same.status, 204);
}
