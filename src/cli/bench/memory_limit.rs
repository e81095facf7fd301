//! `neap bench memory --limit`: what a node takes at the most under loads that fill memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::OwnCluster;
use super::cpu::Resident;
use super::progress;
use super::target::{self, Target};
use crate::cli::exit::Exit;
use crate::cli::load::{RawConnection, request};
use crate::cli::remote::{block_on, failed, print, print_json};
use crate::cli::table::Table;
use crate::client::Endpoint;
use crate::config::units::format_size;

const MIB: usize = 1 << 20;
/// The default share of a cgroup's limit that is `limits.memory`, in percent.
const SHARE: u64 = 60;
const NODES: u16 = 3;
/// Keys of a mebibyte each.
const KEYS: usize = 400;
/// Longer than a node takes to answer anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time in which the others have connections again to a node that stood still.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
/// How long a client rests that was refused.
const RESTS: Duration = Duration::from_millis(50);
/// How long clients that read nothing wait.
const READ_NOTHING_FOR: Duration = Duration::from_secs(3);

/// One kind of load.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Values of a mebibyte are written.
    Writes,
    /// The same, while another node stands still.
    WritesBesidePause,
    /// They are read from all replicas.
    Reads,
    /// Clients ask for them, and read nothing.
    ReadsNobodyTakes,
    /// Many values of a kibibyte are written over many connections.
    Small,
    /// Batches of twenty values of a mebibyte each are written.
    Batches,
    /// The node is killed among writes of a mebibyte, and reads its journals.
    Kill,
}

const LOADS: [(Kind, &str); 7] = [
    (Kind::Writes, "400 PUTs of 1 MiB, 32 connections"),
    (Kind::WritesBesidePause, "the same, a node stands still"),
    (Kind::Reads, "400 GETs of 1 MiB, R = 3, 32 connections"),
    (Kind::ReadsNobodyTakes, "96 GETs of 1 MiB, nobody reads"),
    (Kind::Small, "100000 PUTs of 1 KiB, 256 connections"),
    (Kind::Batches, "64 batches of 20 MiB, 8 connections"),
    (Kind::Kill, "400 PUTs of 1 MiB, SIGKILL, restart"),
];

/// How requests ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    succeeded: u64,
    refused: u64,
    failed: u64,
}

impl Ends {
    fn add(&mut self, status: Option<u16>) {
        match status {
            Some(200..=300) => self.succeeded += 1,
            Some(503 | 504) => self.refused += 1,
            _ => self.failed += 1,
        }
    }

    fn join(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded + other.succeeded,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
        }
    }
}

struct Row {
    name: &'static str,
    ends: Ends,
    peak_bytes: u64,
}

/// Runs the command.
pub fn run(limit: u64, commit: &str, require: bool, json: bool) -> Exit {
    let rows = match measure(limit, commit, json) {
        Ok(rows) => rows,
        Err(message) => return failed(&message, json),
    };
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let peak = rows.iter().map(|row| row.peak_bytes).max();
    let mut targets = vec![Target::new("peak of a node MiB", peak.map(mib), mib(limit))];
    // A bound that refuses all work would be no use.
    let idle = rows.iter().filter(|row| row.ends.succeeded == 0).count();
    targets.push(Target::new("loads of which no request succeeded", Some(idle as f64), 0.0));
    if json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        let targets: Vec<_> = targets.iter().map(Target::json).collect();
        print_json(&json!({ "limit_bytes": limit, "memory_bytes": limit / 100 * SHARE, "commit": commit,
            "rows": rows, "targets": targets }));
    } else {
        let mut table = Table::new(["load", "succeeded", "refused", "failed", "peak MiB"]);
        for Row { name, ends, peak_bytes } in &rows {
            let counts = [ends.succeeded, ends.refused, ends.failed].map(|count| count.to_string());
            let mut cells = vec![(*name).to_owned()];
            cells.extend(counts);
            cells.push(format!("{:.1}", mib(*peak_bytes)));
            table.row(cells);
        }
        let text = format!(
            "3 nodes, limits.memory = {}, commit {commit}\n\n{}\n{}",
            format_size(limit / 100 * SHARE),
            table.render(),
            target::render(&targets)
        );
        print(text.as_bytes());
    }
    if require && !targets.iter().all(Target::is_met) { Exit::Broken } else { Exit::Done }
}

fn measure(limit: u64, commit: &str, json: bool) -> Result<Vec<Row>, String> {
    let progress = progress::steps(LOADS.len() as u64, json);
    let settings = [
        format!("limits.memory={}", format_size(limit / 100 * SHARE)),
        format!("storage.commit={commit}"),
        "log.level=warn".to_owned(),
    ];
    let mut cluster = OwnCluster::start(NODES, &settings)?;
    let mut rows = Vec::new();
    for (kind, name) in LOADS {
        progress.set_message(name);
        cluster.pids().into_iter().for_each(forget_peak);
        let mut peak_before_end = 0;
        let ends = match kind {
            Kind::WritesBesidePause => {
                cluster.processes().pause(2).map_err(|error| error.to_string())?;
                let ends = load(&cluster.endpoints(), Kind::Writes)?;
                cluster.processes().resume(2).map_err(|error| error.to_string())?;
                cluster.ready()?;
                std::thread::sleep(SETTLES_WITHIN);
                ends
            }
            Kind::Kill => {
                let ends = load(&cluster.endpoints(), Kind::Writes)?;
                peak_before_end = peak(&cluster)?;
                cluster.processes().kill(0).map_err(|error| error.to_string())?;
                cluster.processes().spawn(0).map_err(|error| error.to_string())?;
                cluster.ready()?;
                ends
            }
            kind => load(&cluster.endpoints(), kind)?,
        };
        cluster.check()?;
        rows.push(Row { name, ends, peak_bytes: peak(&cluster)?.max(peak_before_end) });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(rows)
}

/// The most that any node took since it was asked to forget.
fn peak(cluster: &OwnCluster) -> Result<u64, String> {
    let peaks = cluster.pids().into_iter().map(|pid| Some(Resident::of(pid)?.peak_bytes));
    let peaks = peaks.collect::<Option<Vec<_>>>();
    let peak = peaks.and_then(|peaks| peaks.into_iter().max());
    peak.ok_or_else(|| "the memory of a node cannot be told: that needs Linux's /proc".to_owned())
}

/// Has the system forget the most that a process took. Where it does not, the peak is that since the start.
fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn load(nodes: &[Endpoint], kind: Kind) -> Result<Ends, String> {
    let node = nodes.first().ok_or("there are no nodes")?;
    let (connections, requests) = match kind {
        Kind::Small => (256, 100_000),
        Kind::Batches => (8, 64),
        Kind::ReadsNobodyTakes => (96, 96),
        Kind::Writes | Kind::WritesBesidePause | Kind::Reads | Kind::Kill => (32, KEYS),
    };
    let run = async {
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..connections {
            let node = node.clone();
            let numbers = (at..requests).step_by(connections);
            tasks.spawn_local(async move {
                let mut ends = Ends::default();
                let mut connection = None;
                for number in numbers {
                    let status = ask(&node, &mut connection, kind, number).await;
                    ends.add(status);
                    if status.is_some_and(|status| status >= 500) {
                        tokio::time::sleep(RESTS).await;
                    }
                }
                ends
            });
        }
        let mut all = Ends::default();
        while let Some(ended) = tasks.join_next().await {
            all = all.join(ended.map_err(|error| error.to_string())?);
        }
        Ok(all)
    };
    block_on(run).unwrap_or_else(|_| Err("the runtime cannot be started".to_owned()))
}

/// The status of one request; none where none came.
async fn ask(node: &Endpoint, kept: &mut Option<RawConnection>, kind: Kind, number: usize) -> Option<u16> {
    let bytes = match kind {
        Kind::Reads => request("GET", &format!("/v1/kv/large/{number}?r=3"), &[], &[]),
        Kind::ReadsNobodyTakes => return read_nothing(node, number).await,
        Kind::Small => request("PUT", &format!("/v1/kv/small/{number}"), &[], &[7; 1_024]),
        Kind::Batches => {
            request("POST", "/v1/batch", &[("content-type", "application/json")], &batch(number))
        }
        Kind::Writes | Kind::WritesBesidePause | Kind::Kill => {
            request("PUT", &format!("/v1/kv/large/{number}"), &[], &vec![7; MIB])
        }
    };
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => RawConnection::open(node, PATIENCE).await.ok()?,
    };
    let reply = tokio::time::timeout(PATIENCE, connection.exchange(&bytes)).await.ok()?;
    let (status, closes) = {
        let reply = reply.ok()?;
        (reply.status, reply.header("connection") == Some("close"))
    };
    *kept = Some(connection).filter(|_| !closes);
    Some(status)
}

fn batch(number: usize) -> Vec<u8> {
    let value = "AAAA".repeat(MIB / 3);
    let operations: Vec<Value> = (0..20)
        .map(|at| json!({ "op": "put", "bucket": "batch", "key": format!("{}", (number * 20 + at) % KEYS), "value": value }))
        .collect();
    serde_json::to_vec(&json!({ "operations": operations })).unwrap_or_default()
}

/// Asks for a value, and reads none of it for a while.
async fn read_nothing(node: &Endpoint, number: usize) -> Option<u16> {
    use tokio::io::AsyncWriteExt as _;

    let mut stream = tokio::net::TcpStream::connect(node.authority()).await.ok()?;
    let bytes = request("GET", &format!("/v1/kv/large/{number}"), &[], &[]);
    let until = Instant::now() + READ_NOTHING_FOR;
    for _ in 0..4 {
        stream.write_all(&bytes).await.ok()?;
    }
    tokio::time::sleep_until(until.into()).await;
    let mut start = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut start).await.ok()?;
    std::str::from_utf8(start.get(9..12)?).ok()?.parse().ok()
}

impl Row {
    fn json(&self) -> Value {
        let Ends { succeeded, refused, failed } = self.ends;
        json!({ "load": self.name, "succeeded": succeeded, "refused": refused, "failed": failed,
            "peak_bytes": self.peak_bytes })
    }
}
