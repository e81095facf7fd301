//! Hosts and origins, as the configuration of a real node has them.

use neap::cli::load::RawConnection;

use super::{PATIENCE, cluster, run};

#[test]
fn a_node_is_called_by_the_names_it_is_configured_with_and_by_pages_that_are_listed() {
    run(async {
        let set = [
            "defaults.n=1",
            "defaults.r=1",
            "defaults.w=1",
            "http.hosts=[\"DB.example\"]",
            "http.cors=https://shop.example:443",
        ];
        let (cluster, _directory) = cluster(1, &set).await;
        let node = &cluster.endpoints()[0];
        let port = cluster.nodes()[0].http_port;
        for (host, origin, expected) in [
            ("localhost", None, 404),
            ("127.0.0.1:80", None, 404),
            ("db.example:8101", None, 404),
            ("evil.example", None, 421),
            ("db.example", Some("https://shop.example"), 404),
            ("db.example", Some("https://evil.example"), 403),
            ("localhost", Some("http://localhost:3000"), 403),
            (&format!("127.0.0.1:{port}"), Some(&*format!("http://127.0.0.1:{port}")), 404),
        ] {
            let origin_line = origin.map(|origin| format!("origin: {origin}\r\n")).unwrap_or_default();
            let asked = format!("GET /v1/kv/b/k HTTP/1.1\r\nhost: {host}\r\n{origin_line}\r\n");
            let mut connection = RawConnection::open(node, PATIENCE).await.unwrap();
            let reply = connection.exchange(asked.as_bytes()).await.unwrap();
            assert_eq!(reply.status, expected, "{host} {origin:?}");
        }
    });
}
