//! `neap bench memory`: what a node takes of memory and disk, and how long it takes to come back.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::cluster::OwnCluster;
use super::cpu::Resident;
use super::generator::{BUCKET, KEYS_MAX, Load};
use super::memory_limit;
use super::progress;
use super::target::{self, Target};
use crate::cli::exit::Exit;
use crate::cli::load::Distribution;
use crate::cli::remote::{block_on, failed, print, print_json};
use crate::cli::table::Table;
use crate::config::units::parse_size;

const MIB: f64 = 1024.0 * 1024.0;
/// What an idle node may take, in MiB.
const IDLE_MIB: f64 = 64.0;
/// What a node with a million keys of 256 bytes may take, in MiB.
const LOADED_MIB: f64 = 400.0;
/// How long a node with as many may take until it is ready, in seconds.
const READY_S: f64 = 5.0;
/// Enough to fill the groups of a group commit.
const CONNECTIONS: u16 = 256;

/// Arguments of `neap bench memory`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Memory and disk of a node, empty and full, and how fast it restarts",
    long_about = "Makes clusters of their own and tells the memory that is resident of a node: idle, and with its keys. \
                  Then one node is killed and started again, and stopped and started again, each timed from its start \
                  until it is ready. Of several nodes the one counts that takes the most.",
    after_help = "Examples:\n  neap bench memory\n  neap bench memory --nodes 1 --keys 100000 --json\n  \
                  neap bench memory --limit 384MiB --require"
)]
pub struct MemoryArgs {
    /// How many nodes; N is 3, or 1 if that is all there are
    #[arg(long, value_delimiter = ',', default_value = "1,3", value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Vec<u16>,
    /// Keys
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// When a write counts as durable
    #[arg(long, default_value = "fsync", value_parser = ["fsync", "interval", "os"])]
    commit: String,
    /// Tell instead what a node takes at the most with limits.memory = 60 % of this, under loads that fill memory
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with_all = ["nodes", "keys", "value_bytes"])]
    limit: Option<u64>,
    /// End with exit code 5 if a target is missed
    #[arg(long)]
    require: bool,
}

/// What was measured of one cluster.
struct Measured {
    nodes: u16,
    n: u8,
    idle: Resident,
    loaded: Resident,
    restarted: Resident,
    disk_bytes: u64,
    ready_after_kill_s: f64,
    ready_after_stop_s: f64,
}

/// Runs the command.
pub fn run(args: &MemoryArgs, json: bool) -> Exit {
    if let Some(limit) = args.limit {
        return memory_limit::run(limit, &args.commit, args.require, json);
    }
    let progress = progress::steps(4 * args.nodes.len() as u64, json);
    let measured = args.nodes.iter().map(|nodes| measure(args, *nodes, &progress));
    let measured = match measured.collect::<Result<Vec<_>, _>>() {
        Ok(measured) => measured,
        Err(message) => return failed(&message, json),
    };
    progress.finish_and_clear();
    let targets: Vec<_> = measured.iter().flat_map(Measured::targets).collect();
    if json {
        let rows: Vec<_> = measured.iter().map(|measured| measured.json(args)).collect();
        let targets: Vec<_> = targets.iter().map(Target::json).collect();
        print_json(&json!({ "rows": rows, "targets": targets }));
    } else {
        print(render(&measured, &targets, args).as_bytes());
    }
    if args.require && !targets.iter().all(Target::is_met) { Exit::Broken } else { Exit::Done }
}

fn measure(args: &MemoryArgs, nodes: u16, progress: &ProgressBar) -> Result<Measured, String> {
    let n: u8 = if nodes < 3 { 1 } else { 3 };
    let settings = [
        format!("storage.commit={}", args.commit),
        format!("defaults.n={n}"),
        format!("defaults.r={}", n.min(2)),
        format!("defaults.w={}", n.min(2)),
        format!("defaults.w_min={}", n.min(2)),
        "log.level=warn".to_owned(),
    ];
    let mut cluster = OwnCluster::start(nodes, &settings)?;
    progress.set_message(format!("{nodes} nodes, idle"));
    cluster.calm();
    let idle = resident(&cluster)?;
    progress.inc(1);

    let load = Load {
        nodes: cluster.endpoints(),
        pids: cluster.pids(),
        bucket: BUCKET,
        connections: CONNECTIONS,
        keys: args.keys,
        value_bytes: args.value_bytes,
        dist: Distribution::Uniform,
    };
    let told = |done| progress.set_message(format!("{nodes} nodes, writing keys: {done} of {}", args.keys));
    load.fill(0, Some(n), told).map_err(|error| format!("the keys could not be written: {error}"))?;
    let loaded = resident(&cluster)?;
    progress.inc(1);

    // At once: what is still in memory only has to be read from the journal.
    progress.set_message(format!("{nodes} nodes, one killed"));
    let failed = |error: crate::cli::processes::ClusterError| error.to_string();
    cluster.processes().kill(0).map_err(failed)?;
    let ready_after_kill_s = start_first(&mut cluster)?;
    progress.inc(1);
    progress.set_message(format!("{nodes} nodes, one stopped"));
    cluster.calm();
    if !cluster.processes().stop(0).map_err(failed)? {
        return Err("a node did not stop cleanly".to_owned());
    }
    let disk_bytes = cluster.processes().nodes().first().map_or(0, |node| bytes_in(&node.data));
    let ready_after_stop_s = start_first(&mut cluster)?;
    cluster.calm();
    let restarted = resident(&cluster)?;
    progress.inc(1);
    Ok(Measured { nodes, n, idle, loaded, restarted, disk_bytes, ready_after_kill_s, ready_after_stop_s })
}

/// Starts the first node; how long it takes until it is ready, in seconds.
fn start_first(cluster: &mut OwnCluster) -> Result<f64, String> {
    let started = Instant::now();
    cluster.processes().spawn(0).map_err(|error| error.to_string())?;
    match block_on(cluster.processes().node_ready(0)) {
        Ok(ready) => ready.map_err(|error| error.to_string())?,
        Err(_) => return Err("the runtime cannot be started".to_owned()),
    }
    Ok(started.elapsed().as_secs_f64())
}

fn resident(cluster: &OwnCluster) -> Result<Resident, String> {
    let all = cluster.pids().into_iter().map(Resident::of).collect::<Option<Vec<_>>>();
    let largest = all.into_iter().flatten().max_by_key(|resident| resident.bytes);
    largest.ok_or_else(|| "the memory of a node cannot be told: that needs Linux's /proc".to_owned())
}

/// Bytes of all files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        // It has just been compacted away.
        Err(_) => 0,
    });
    bytes.sum()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

impl Measured {
    fn targets(&self) -> Vec<Target> {
        let name = |what: &str| format!("{what}, {} nodes, N={}", self.nodes, self.n);
        vec![
            Target::new(name("idle MiB"), Some(mib(self.idle.bytes)), IDLE_MIB),
            Target::new(name("loaded MiB"), Some(mib(self.loaded.bytes)), LOADED_MIB),
            Target::new(name("ready after a kill s"), Some(self.ready_after_kill_s), READY_S),
            Target::new(name("ready after a stop s"), Some(self.ready_after_stop_s), READY_S),
        ]
    }

    fn json(&self, args: &MemoryArgs) -> Value {
        let seconds = |seconds: f64| (seconds * 1_000.0).round() / 1_000.0;
        json!({
            "nodes": self.nodes, "n": self.n, "keys": args.keys, "value_bytes": args.value_bytes, "commit": args.commit,
            "idle_bytes": self.idle.bytes, "loaded_bytes": self.loaded.bytes,
            "peak_bytes": self.loaded.peak_bytes, "restarted_bytes": self.restarted.bytes,
            "disk_bytes": self.disk_bytes, "ready_after_kill_s": seconds(self.ready_after_kill_s),
            "ready_after_stop_s": seconds(self.ready_after_stop_s),
        })
    }
}

fn render(measured: &[Measured], targets: &[Target], args: &MemoryArgs) -> String {
    let mut table = Table::new([
        "nodes",
        "N",
        "idle MiB",
        "loaded MiB",
        "peak MiB",
        "restarted MiB",
        "disk MiB",
        "ready after kill s",
        "ready after stop s",
    ]);
    for row in measured {
        let bytes =
            [row.idle.bytes, row.loaded.bytes, row.loaded.peak_bytes, row.restarted.bytes, row.disk_bytes];
        let mut cells = vec![row.nodes.to_string(), row.n.to_string()];
        cells.extend(bytes.map(|bytes| format!("{:.1}", mib(bytes))));
        cells.extend([row.ready_after_kill_s, row.ready_after_stop_s].map(|seconds| format!("{seconds:.2}")));
        table.row(cells);
    }
    let MemoryArgs { keys, value_bytes, commit, .. } = args;
    format!(
        "{keys} keys of {value_bytes} bytes, commit {commit}\n\n{}\n{}",
        table.render(),
        target::render(targets)
    )
}
