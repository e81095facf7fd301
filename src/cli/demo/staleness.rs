//! What the cluster says of its own staleness, at the end of the load.

use std::time::Duration;

use serde_json::Value;

use crate::cli::load::{RawConnection, request};
use crate::client::Endpoint;

const PATIENCE: Duration = Duration::from_secs(5);

/// Of all reads and writes of the load, as all nodes together tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Staleness {
    /// The share of stale reads, at the least and at the most.
    pub stale_read_rate: Option<(f64, f64)>,
    /// P99.9 of the convergence time, in seconds, with what has not converged.
    pub convergence_p999_s: Option<f64>,
    /// Writes that some home lacks.
    pub unconverged: u64,
}

/// Asks the first node that answers.
pub async fn ask(nodes: &[Endpoint]) -> Staleness {
    for node in nodes {
        if let Some(told) = ask_one(node).await {
            return told;
        }
    }
    Staleness::default()
}

async fn ask_one(node: &Endpoint) -> Option<Staleness> {
    let mut connection = RawConnection::open(node, PATIENCE).await.ok()?;
    let asked = request("GET", "/v1/slo?scope=cluster", &[], &[]);
    let reply = tokio::time::timeout(PATIENCE, connection.exchange(&asked)).await.ok()?.ok()?;
    let document: Value = serde_json::from_slice(reply.body).ok()?;
    let number = |at: &str| document.pointer(at).and_then(Value::as_f64);
    Some(Staleness {
        stale_read_rate: number("/stale_read_rate/low").zip(number("/stale_read_rate/high")),
        convergence_p999_s: number("/convergence/p999_s"),
        unconverged: document.pointer("/convergence/unconverged").and_then(Value::as_u64).unwrap_or(0),
    })
}
