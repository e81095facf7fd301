//! What the cluster says of its own staleness, at the end of the load.

use std::time::Duration;

use serde_json::Value;

use crate::cli::load::{RawConnection, request};
use crate::client::Endpoint;

const PATIENCE: Duration = Duration::from_secs(5);
/// How often, and how many times, is asked while a write is not known to be everywhere: homes are asked for those that
/// they lacked every four seconds.
const AGAIN_EVERY: Duration = Duration::from_millis(500);
const TIMES: usize = 20;

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

/// Asks until all writes are known to have reached all homes, but not for ever.
pub async fn ask(nodes: &[Endpoint]) -> Staleness {
    let mut told = ask_once(nodes).await;
    for _ in 1..TIMES {
        if told.unconverged == 0 {
            break;
        }
        tokio::time::sleep(AGAIN_EVERY).await;
        told = ask_once(nodes).await;
    }
    told
}

/// Asks the first node that answers.
async fn ask_once(nodes: &[Endpoint]) -> Staleness {
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
