//! A collector that runs the committed configuration.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use neap::client::{Call, Connection, Endpoint};

use super::spans::{Span, read_spans};
use crate::cluster::{PATIENCE, call, eventually};

/// The process; it ends with this value.
pub struct Collector {
    child: Child,
    traces: PathBuf,
    http: u16,
    prometheus: u16,
}

impl Collector {
    /// Starts it and waits until it serves. Traces are decided on after `decision_wait`.
    pub async fn start(program: &Path, directory: &Path, decision_wait: &str) -> Self {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let [grpc, http, prometheus, health, own] = free_ports();
        let traces = directory.join("traces.json");
        let log = directory.join("collector.log");
        let at = |port: u16| format!("127.0.0.1:{port}");
        let child = Command::new(program)
            .arg("--config")
            .arg(tree.join("otel/collector.yaml"))
            .arg("--config")
            .arg(tree.join("tests/otel/overlay.yaml"))
            .env("NEAP_OTEL_GRPC", at(grpc))
            .env("NEAP_OTEL_HTTP", at(http))
            .env("NEAP_OTEL_PROMETHEUS", at(prometheus))
            .env("NEAP_OTEL_HEALTH", at(health))
            .env("NEAP_OTEL_SELF_HOST", "127.0.0.1")
            .env("NEAP_OTEL_SELF_PORT", own.to_string())
            .env("NEAP_OTEL_DECISION_WAIT", decision_wait)
            .env("NEAP_TEST_TRACES", &traces)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self { child, traces, http, prometheus };
        let health = Endpoint::loopback(health);
        eventually("the collector serves", async || {
            let ended = started.child.try_wait().unwrap();
            assert!(ended.is_none(), "the collector ended: {}", std::fs::read_to_string(&log).unwrap());
            call(&health, "GET", "/readyz", &[], &[]).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        started
    }

    /// Where OTLP over HTTP is taken.
    pub fn otlp(&self) -> Endpoint {
        Endpoint::loopback(self.http)
    }

    /// All spans that were kept so far.
    pub fn kept(&self) -> Vec<Span> {
        read_spans(&std::fs::read_to_string(&self.traces).unwrap_or_default())
    }

    /// What Prometheus would scrape.
    pub async fn scraped(&self) -> String {
        let mut connection = Connection::open(&Endpoint::loopback(self.prometheus), PATIENCE).await.unwrap();
        let reply = connection.send(&Call::get("/metrics"), PATIENCE).await.unwrap();
        String::from_utf8(reply.body.to_vec()).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of the series of `metric` whose labels contain all of `labels`, the sum.
pub fn sum(scraped: &str, metric: &str, labels: &[&str]) -> f64 {
    let series = scraped.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let own = series.strip_prefix(metric)?.strip_prefix('{')?;
        labels.iter().all(|label| own.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    series.sum()
}

/// Ports that are free now, out of the range that the system gives to outgoing connections.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let mut held = Vec::new();
    while held.len() < COUNT {
        let port = 10_000 + (rand::random::<u16>() % 22_000);
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    std::array::from_fn(|at| held[at].local_addr().unwrap().port())
}
