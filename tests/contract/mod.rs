//! A tester that reads the published contract and sends what it finds there, and what it does not, to real nodes: no
//! status, header, media type or body that is not documented, and no 500.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cluster::{call, cluster, run};

/// Where the tester is. Set by `tests/contract/with-schemathesis`.
const TESTER: &str = "NEAP_SCHEMATHESIS";
/// How many examples of each call; few, unless `make contract` asks for more.
const EXAMPLES: &str = "NEAP_CONTRACT_EXAMPLES";
/// Long after it should have ended.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn real_nodes_say_nothing_that_the_published_contract_does_not() {
    let Some(tester) = std::env::var_os(TESTER) else {
        println!("skipped: the schema-driven tester is not here; tests/contract/with-schemathesis brings it");
        return;
    };
    let examples = std::env::var(EXAMPLES).unwrap_or_else(|_| "3".to_owned());
    run(async {
        let (cluster, directory) = cluster(3, &["cluster.partitions=64"]).await;
        let node = &cluster.endpoints()[0];
        // Something to be found.
        for (target, body) in [("/v1/kv/b/k", "v"), ("/v1/buckets/b", "{}")] {
            assert!(call(node, "PUT", target, &[], body.as_bytes()).await.unwrap().status < 300);
        }
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/schemathesis.toml");
        let mut child = std::process::Command::new(tester)
            .arg("--config-file")
            .arg(settings)
            .args(["run", &format!("http://{}/openapi.json", node.authority()), "--max-examples", &examples])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let ended = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("the tester did not end in {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(ended.success(), "what it found is above");
        for node in cluster.endpoints() {
            assert_eq!(call(&node, "GET", "/healthz", &[], b"").await.unwrap().status, 200, "it lives");
        }
    });
}
