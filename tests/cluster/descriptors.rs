//! Few open files: clients beyond what they allow are refused, and the store has those that it needs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::logs::program;
use super::*;

/// Settings of a cluster of one node.
const ONE: [&str; 4] = ["defaults.n=1", "defaults.r=1", "defaults.w=1", "defaults.w_min=1"];

fn limited(directory: &std::path::Path, nodes: u16, limit: &str) -> ClusterOptions {
    let mut options = options(directory.to_owned(), nodes, if nodes == 1 { &ONE } else { &[] });
    options.program = program(directory, &format!("{limit}; exec NEAP \"$@\""));
    options
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// What the node says on a connection that was refused, if it gets so far.
fn refusal(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    // One that is closed at once may be reset before it is read.
    let _ = stream.write_all(b"PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nv");
    let _ = stream.read_to_end(&mut said);
    String::from_utf8(said).unwrap()
}

#[test]
fn connections_that_idle_leave_the_store_and_peers_their_files() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = LocalCluster::start(limited(directory.path(), 3, "ulimit -n 1024")).unwrap();
        cluster.ready().await.unwrap();
        let nodes = cluster.endpoints();
        let port = cluster.nodes()[0].http_port;
        let pid = cluster.pids()[0];
        // The connection of one who is in already.
        let mut inside = RawConnection::open(&nodes[0], PATIENCE).await.unwrap();
        let mut idle = Vec::new();
        for round in 0..6 {
            // Those that say something may idle for longer than those that never do.
            idle.extend((0..250).map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
                stream
            }));
            let writing = request("PUT", &format!("/v1/kv/b/{round}?w=3"), &[], b"v");
            let written = inside.exchange(&writing).await.unwrap();
            assert_eq!(written.status, 201, "{:?}", written.body);
            assert!(open_files(pid) < 1_000, "{} files are open", open_files(pid));
        }
        let said = std::cell::RefCell::new(String::new());
        eventually("a refusal is heard", async || {
            said.replace(refusal(TcpStream::connect(("127.0.0.1", port)).unwrap()));
            !said.borrow().is_empty()
        })
        .await;
        let said = said.into_inner();
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert!(said.contains("connection: close\r\n") && said.contains("retry-after: "), "{said}");
        assert!(said.contains("not_applied") && said.contains("connections are served at a time"), "{said}");
        // A peer that was away is in at once, and the disk is written to: by synced writes, through the other nodes too.
        cluster.kill(1).unwrap();
        cluster.spawn(1).unwrap();
        cluster.node_ready(1).await.unwrap();
        eventually("all three write", async || {
            matches!(put(&nodes[2], "/v1/kv/b/k?w=3", "v").await.status, 201 | 204)
        })
        .await;
        drop(idle);
        eventually("there is room again", async || {
            call(&nodes[0], "GET", "/v1/kv/b/k", &[], &[]).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        let health = get(&nodes[0], "/healthz").await.json();
        assert!(health["counters"]["http_connections_refused"].as_u64().unwrap() > 0, "{health}");
        assert_eq!(cluster.pids()[0], pid, "it never ended");
    });
}

#[test]
fn too_few_open_files_end_the_start_with_how_many_are_needed() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = LocalCluster::start(limited(directory.path(), 1, "ulimit -n 500")).unwrap();
        let error = cluster.ready().await.unwrap_err().to_string();
        let what = "500 open files are allowed (ulimit -n, LimitNOFILE), and a node of 1 members needs 512";
        assert!(error.contains("exit status: 2") && error.contains(what), "{error}");
    });
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = LocalCluster::start(limited(directory.path(), 1, "ulimit -S -n 300")).unwrap();
        cluster.ready().await.unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", cluster.pids()[0])).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let figures: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
        assert_eq!(figures[0], figures[1], "{files}");
        assert_ne!(figures[0], "300");
    });
}
