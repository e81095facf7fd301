//! The end: is every acknowledged write there, and who lacks what?

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ledger::Ledger;
use super::workload::{BUCKET, number_in};
use crate::cli::load::{RawConnection, key_name, request};
use crate::client::Endpoint;

const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a read is tried that was refused.
const TRIES: u32 = 20;

/// The verdict.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Keys whose last acknowledged write some node could not show by quorum.
    pub lost: u64,
    /// Keys judged.
    pub keys: u64,
    /// For each node, of how many keys it is a replica, and of how many it lacked the last acknowledged write
    /// before anything was repaired.
    pub replicas: BTreeMap<String, Replica>,
}

/// One node's replicas.
#[derive(Debug, Default, Clone, Copy)]
pub struct Replica {
    /// Keys it is a home of.
    pub keys: u64,
    /// Of these, those whose last acknowledged write it lacked.
    pub lacking: u64,
}

/// Asks each replica by itself first (R = 1, while read repair is off: what probes find would be repaired before the next
/// one is asked), then every node by quorum.
pub async fn judge(ledger: &Ledger, nodes: &[(String, Endpoint)]) -> io::Result<Verdict> {
    let mut connections = BTreeMap::new();
    for (name, endpoint) in nodes {
        connections.insert(name.clone(), RawConnection::open(endpoint, TIMEOUT).await?);
    }
    let acked = ledger.acked();
    let mut verdict = Verdict { keys: acked.len() as u64, ..Verdict::default() };
    set_read_repair(&mut connections, "off").await?;
    for (key, number) in &acked {
        for home in homes(&mut connections, *key).await? {
            let Some(connection) = connections.get_mut(&home) else { continue };
            let held = read_own(connection, &home, *key).await?;
            let replica = verdict.replicas.entry(home).or_default();
            replica.keys += 1;
            replica.lacking += u64::from(held.is_none_or(|held| held < *number));
        }
    }
    set_read_repair(&mut connections, "blocking").await?;
    for (key, number) in &acked {
        let mut missing = false;
        for connection in connections.values_mut() {
            let shown = read(connection, *key, "r=2").await?.1;
            missing |= shown.is_none_or(|shown| shown < *number);
        }
        verdict.lost += u64::from(missing);
    }
    Ok(verdict)
}

async fn set_read_repair(
    connections: &mut BTreeMap<String, RawConnection>,
    read_repair: &str,
) -> io::Result<()> {
    let Some(connection) = connections.values_mut().next() else { return Ok(()) };
    let settings = serde_json::json!({ "read_repair": read_repair }).to_string();
    let headers = [("content-type", "application/json")];
    let asked = request("PUT", &format!("/v1/buckets/{BUCKET}"), &headers, settings.as_bytes());
    let mut last = 0;
    for _ in 0..TRIES {
        let exchanged = tokio::time::timeout(TIMEOUT, connection.exchange(&asked)).await;
        match exchanged.map_err(|_| io::ErrorKind::TimedOut)??.status {
            200..=299 => return Ok(()),
            status => last = status,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(io::Error::other(format!("read repair could not be set to {read_repair}: status {last}")))
}

async fn homes(connections: &mut BTreeMap<String, RawConnection>, key: u64) -> io::Result<Vec<String>> {
    let Some(connection) = connections.values_mut().next() else { return Ok(Vec::new()) };
    let asked = request("GET", &format!("/v1/ring/{BUCKET}/{}", key_name(key)), &[], &[]);
    let reply = connection.exchange(&asked).await?;
    let document: serde_json::Value = serde_json::from_slice(reply.body)?;
    let list = document.get("preference_list").and_then(serde_json::Value::as_array);
    Ok(list.into_iter().flatten().filter_map(|home| home.as_str().map(str::to_owned)).collect())
}

/// What the node itself holds: a read at R = 1 that another home answered, because this one was slow, says
/// nothing of it and is made again.
async fn read_own(connection: &mut RawConnection, node: &str, key: u64) -> io::Result<Option<u64>> {
    for _ in 0..TRIES {
        let (acked_by, number) = read(connection, key, "r=1").await?;
        if acked_by == node {
            return Ok(number);
        }
    }
    Err(io::Error::other(format!("{node} leaves its own reads to others")))
}

/// Who answered, and the highest number among the values shown.
async fn read(connection: &mut RawConnection, key: u64, quorum: &str) -> io::Result<(String, Option<u64>)> {
    let asked = request("GET", &format!("/v1/kv/{BUCKET}/{}?{quorum}", key_name(key)), &[], &[]);
    let mut last = 0;
    for _ in 0..TRIES {
        let exchanged = tokio::time::timeout(TIMEOUT, connection.exchange(&asked)).await;
        let reply = exchanged.map_err(|_| io::ErrorKind::TimedOut)??;
        let acked_by = reply.header("neap-acked-by").unwrap_or_default().to_owned();
        match reply.status {
            200 => return Ok((acked_by, number_in(reply.body))),
            300 => return Ok((acked_by, highest(reply.body))),
            404 => return Ok((acked_by, None)),
            status => last = status,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(io::Error::other(format!("a read was refused {TRIES} times, with status {last} at last")))
}

fn highest(siblings: &[u8]) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_slice(siblings).ok()?;
    let values =
        document.get("siblings")?.as_array()?.iter().filter_map(|sibling| sibling.get("value")?.as_str());
    values.filter_map(|value| number_in(&STANDARD.decode(value).ok()?)).max()
}
