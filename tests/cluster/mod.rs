//! Real clusters: processes of the program, their sockets and their disks.

mod batch;
mod callers;
mod compose;
mod damage;
mod descriptors;
mod disks;
mod documents;
mod keys;
mod kill;
mod kv;
mod logs;
mod memory;
mod overload;
mod panics;
mod power;
mod program;
mod refusals;
mod replies;

mod settings;
mod sizes;
mod slo;
mod staleness;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use neap::cli::load::{RawConnection, request};
use neap::cli::processes::{ClusterOptions, LocalCluster};
use neap::client::Endpoint;
use tempfile::TempDir;

use crate::http::takes_json;

/// Generous: these machines are shared and slow at times.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test's future.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test));
}

pub fn options(directory: PathBuf, nodes: u16, set: &[&str]) -> ClusterOptions {
    ClusterOptions {
        nodes,
        directory,
        program: env!("CARGO_BIN_EXE_neap").into(),
        name: "test".to_owned(),
        set: set.iter().map(|set| (*set).to_owned()).collect(),
    }
}

/// A cluster that is ready, in a directory that goes with it.
pub async fn cluster(nodes: u16, set: &[&str]) -> (LocalCluster, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = LocalCluster::start(options(directory.path().to_owned(), nodes, set)).unwrap();
    cluster.ready().await.unwrap();
    (cluster, directory)
}

/// A reply, whole.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub context: Option<String>,
    pub acked_by: Vec<String>,
    pub write_id: Option<String>,
    pub etag: Option<String>,
    pub retry_after: Option<String>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request over a connection of its own. Documents are sent as JSON.
pub async fn call(
    endpoint: &Endpoint,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut connection = RawConnection::open(endpoint, PATIENCE).await?;
    let mut headers = headers.to_vec();
    if takes_json(target) {
        headers.push(("content-type", "application/json"));
    }
    let reply = connection.exchange(&request(method, target, &headers, body)).await?;
    let header = |name: &str| reply.header(name).map(str::to_owned);
    let acked_by = header("neap-acked-by").unwrap_or_default();
    Ok(Reply {
        status: reply.status,
        body: reply.body.to_vec(),
        context: header("neap-context"),
        acked_by: acked_by.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        write_id: header("neap-write-id"),
        etag: header("etag"),
        retry_after: header("retry-after"),
    })
}

pub async fn get(endpoint: &Endpoint, target: &str) -> Reply {
    call(endpoint, "GET", target, &[], &[]).await.unwrap()
}

pub async fn put(endpoint: &Endpoint, target: &str, body: &str) -> Reply {
    call(endpoint, "PUT", target, &[], body.as_bytes()).await.unwrap()
}

/// Asks again until the answer is the wanted one.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !ask().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
