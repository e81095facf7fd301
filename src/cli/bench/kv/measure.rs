//! Measures what was planned.

use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::args::{Own, Plan, Rate, Target};
use super::layers::{Profiler, Split};
use super::row::{Row, Setting};
use super::{document, render, rounded};
use crate::cli::bench::ceiling::BareServer;
use crate::cli::bench::cluster::{OwnCluster, ask_all, calm, metric};
use crate::cli::bench::generator::{BUCKET, Load, Operation, Pace, Run, Tally};
use crate::cli::bench::progress;
use crate::client::Endpoint;

const SYNCS: &str = "neap_storage_syncs_total";
const DURABLE_WRITES: &str = "neap_storage_durable_writes_total";
/// How long the bare handler is measured at the most: its rate is steady.
const CEILING_DURATION: Duration = Duration::from_secs(3);
const CEILING_WARMUP: Duration = Duration::from_millis(500);

/// A benchmark under way.
pub struct Bench<'a> {
    plan: &'a Plan,
    progress: ProgressBar,
    bare: Option<BareServer>,
    rows: Vec<Value>,
    /// Whether the last row was one of writes.
    wrote: bool,
    ceilings: Vec<f64>,
    /// The bare handler at half of its rate.
    half: Option<Value>,
}

/// A cluster as it is now, and what is measured of it.
struct Scene<'a> {
    load: Load,
    operations: Vec<Operation>,
    n: u8,
    commit: Option<&'a str>,
    probe: Option<f64>,
}

impl<'a> Bench<'a> {
    /// Of this plan; who wants JSON sees no progress.
    pub fn new(plan: &'a Plan, json: bool) -> Self {
        let progress = progress::steps(steps(plan), json);
        Self { plan, progress, bare: None, rows: Vec::new(), wrote: false, ceilings: Vec::new(), half: None }
    }

    /// Measures all of it.
    pub fn run(mut self) -> Result<Value, String> {
        self.bare = Some(BareServer::start(self.plan.value_bytes)?);
        match &self.plan.target {
            Target::Running(nodes) => self.running(nodes)?,
            Target::Own(own) => self.own(own)?,
        }
        self.progress.finish_and_clear();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.ceilings.sort_by(f64::total_cmp);
        let ceiling = self.ceilings.get(self.ceilings.len() / 2).ok_or("nothing was measured")?;
        Ok(document(&self.rows, (*ceiling, self.half), cores))
    }

    fn running(&mut self, nodes: &[Endpoint]) -> Result<(), String> {
        let n = bucket_n(nodes)?;
        let mut written = 0;
        for &keys in &self.plan.keys {
            let load = self.load(nodes.to_vec(), Vec::new(), keys);
            self.fill(&load, written, None)?;
            written = keys;
            let operations = self.plan.operations.clone();
            self.scene(&Scene { load, operations, n, commit: None, probe: None })?;
        }
        Ok(())
    }

    /// One cluster for all: its data stays when its settings change.
    fn own(&mut self, own: &Own) -> Result<(), String> {
        let Some(first) = own.settings().next() else { return Ok(()) };
        let mut cluster = OwnCluster::start(own.nodes, &own.set(first))?;
        let mut written = 0;
        for &keys in &self.plan.keys {
            let load = self.load(cluster.endpoints(), cluster.pids(), keys);
            // On every replica, so that no read at R = 1 misses its key.
            self.fill(&load, written, Some(own.n))?;
            written = keys;
            for (commit, probe) in own.settings() {
                let writes_only = own.commits.first().is_some_and(|first| first != commit);
                let measured = |operation: &Operation| !writes_only || operation.w().is_some();
                let operations: Vec<_> = self.plan.operations.iter().copied().filter(measured).collect();
                if operations.is_empty() {
                    continue;
                }
                self.progress.set_message("waiting until the nodes are ready");
                cluster.go_on_with(&own.set((commit, probe)))?;
                let load = self.load(cluster.endpoints(), cluster.pids(), keys);
                self.calm(&load);
                let (commit, probe) = (Some(commit), Some(probe));
                self.scene(&Scene { load, operations, n: own.n, commit, probe })?;
                cluster.check()?;
            }
        }
        Ok(())
    }

    fn load(&self, nodes: Vec<Endpoint>, pids: Vec<u32>, keys: u64) -> Load {
        let Plan { connections, value_bytes, dist, .. } = *self.plan;
        Load { nodes, pids, bucket: BUCKET, connections, keys, value_bytes, dist }
    }

    fn fill(&self, load: &Load, from: u64, w: Option<u8>) -> Result<(), String> {
        let filled = load.fill(from, w, |done| {
            self.progress.set_message(format!("writing keys: {done} of {}", load.keys));
        });
        filled.map_err(|error| format!("the keys could not be written: {error}"))
    }

    fn scene(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let mut rows = if self.plan.rates.contains(&Rate::Max) { self.fastest(scene)? } else { Vec::new() };
        for &rate in self.plan.rates.iter().filter(|rate| **rate != Rate::Max) {
            for &operation in &scene.operations {
                let of = |row: &&Row| row.setting.operation == operation && row.pace == Pace::Closed;
                let fastest = rows.iter().find(of).map_or(0.0, |row| row.tally.ops_per_s());
                let rate = match rate {
                    Rate::Max => continue,
                    Rate::PerSecond(rate) => rate,
                    Rate::Percent(percent) => fastest * percent / 100.0,
                };
                // Nothing was answered: no part of it is a rate.
                if rate > 0.0 {
                    rows.push(self.row(scene, operation, Pace::Open(rate))?);
                }
            }
        }
        if self.ceilings.is_empty() {
            self.ceiling()?;
        }
        if self.half.is_none() && rows.iter().any(|row| row.pace != Pace::Closed) {
            self.half = Some(self.ceiling_at_half()?);
        }
        // Each operation's rows together.
        for operation in &scene.operations {
            let of_it = rows.iter().filter(|row| row.setting.operation == *operation);
            self.rows.extend(of_it.map(|row| row.json(&scene.load)));
        }
        Ok(())
    }

    /// The highest rate of each operation: of all rounds the one whose ratio to the bare handler is the median.
    fn fastest(&mut self, scene: &Scene<'_>) -> Result<Vec<Row>, String> {
        let mut rounds: Vec<Vec<Row>> = scene.operations.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.plan.rounds {
            let ceiling = self.ceiling()?;
            for (rounds, operation) in rounds.iter_mut().zip(&scene.operations) {
                let row = self.row(scene, *operation, Pace::Closed)?;
                rounds.push(Row { ceiling: Some(ceiling), ..row });
            }
        }
        Ok(rounds.into_iter().filter_map(median).collect())
    }

    /// Waits until the nodes, where they are on this machine, have nothing left to do.
    fn calm(&self, load: &Load) {
        if !load.pids.is_empty() {
            self.progress.set_message("waiting until the nodes have nothing left to do");
            calm(&load.pids);
        }
    }

    fn row(&mut self, scene: &Scene<'_>, operation: Operation, pace: Pace) -> Result<Row, String> {
        let Scene { load, n, commit, probe, .. } = scene;
        // Else what the last row has left to flush and to compact would be measured with this one.
        if std::mem::replace(&mut self.wrote, operation.w().is_some()) {
            self.calm(load);
        }
        let setting = Setting { operation, n: *n, commit: commit.map(ToOwned::to_owned), probe: *probe };
        let syncs = *commit == Some("fsync") && operation.w().is_some();
        let counts = || -> Result<(f64, f64), String> {
            Ok((metric(&load.nodes, DURABLE_WRITES)?, metric(&load.nodes, SYNCS)?))
        };
        let before = if syncs { Some(counts()?) } else { None };
        let what = render::setting(&setting, pace);
        let (tally, layers) = self.profiled(load, || self.measure(load, operation, pace, &what))?;
        let writes_per_sync = match before {
            Some((writes, syncs)) => {
                let now = counts()?;
                (now.1 > syncs).then(|| (now.0 - writes) / (now.1 - syncs))
            }
            None => None,
        };
        let row = Row { setting, pace, tally, layers, writes_per_sync, ceiling: None };
        self.progress.println(render::remark(&row));
        self.progress.inc(1);
        Ok(row)
    }

    /// Measures, and finds out where CPU time goes meanwhile if that was asked for.
    fn profiled(
        &self,
        load: &Load,
        measure: impl FnOnce() -> Result<Tally, String>,
    ) -> Result<(Tally, Option<Split>), String> {
        if !self.plan.layers {
            return Ok((measure()?, None));
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = directory.path().join("perf.data");
        let profiler = Profiler::start(&load.pids, &file)?;
        let tally = measure()?;
        Ok((tally, Some(profiler.stop(&file)?)))
    }

    fn measure(&self, load: &Load, operation: Operation, pace: Pace, what: &str) -> Result<Tally, String> {
        let Plan { warmup, duration, .. } = *self.plan;
        let run = Run { operation, pace, warmup, duration, pause: Duration::ZERO };
        let told = |share: f64| {
            self.progress.set_message(format!("{what}: {:.0} %", share.min(1.0) * 100.0));
        };
        load.run(run, told).map_err(|error| format!("a connection failed: {error}"))
    }

    /// The bare handler's rate now.
    fn ceiling(&mut self) -> Result<f64, String> {
        let rate = self.bare(Pace::Closed)?.ops_per_s();
        if rate <= 0.0 {
            return Err("the bare handler answered nothing".to_owned());
        }
        self.ceilings.push(rate);
        Ok(rate)
    }

    /// What this machine's scheduler and this client alone make of a steady rate.
    fn ceiling_at_half(&self) -> Result<Value, String> {
        let rate = self.ceilings.last().copied().unwrap_or_default() / 2.0;
        let Tally { latencies, .. } = self.bare(Pace::Open(rate))?;
        let ms = |quantile| latencies.quantile_ms(quantile).map(|ms| rounded(ms, 3));
        Ok(json!({ "rate": rounded(rate, 0), "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999) }))
    }

    fn bare(&self, pace: Pace) -> Result<Tally, String> {
        let bare = self.bare.as_ref().ok_or("the bare handler has ended")?;
        let load = self.load(vec![bare.endpoint()], vec![bare.pid()], 1);
        let run = Run {
            operation: Operation::Get { r: 1 },
            pace,
            warmup: CEILING_WARMUP.min(self.plan.warmup),
            duration: CEILING_DURATION.min(self.plan.duration),
            pause: Duration::ZERO,
        };
        self.progress.set_message("the bare handler");
        load.run(run, |_| {}).map_err(|error| format!("the bare handler: {error}"))
    }
}

impl Own {
    /// All combinations: restarts are few, as probes change less often.
    fn settings(&self) -> impl Iterator<Item = (&str, f64)> {
        self.probes.iter().flat_map(|probe| self.commits.iter().map(|commit| (commit.as_str(), *probe)))
    }

    fn set(&self, (commit, probe): (&str, f64)) -> Vec<String> {
        let mut set = vec![
            format!("storage.commit={commit}"),
            format!("staleness.probe={probe}"),
            format!("defaults.n={}", self.n),
            format!("defaults.r={}", self.n.min(2)),
            format!("defaults.w={}", self.n.min(2)),
            // W = 1 can be measured too, which the default w_min would refuse.
            "defaults.w_min=1".to_owned(),
            "log.level=warn".to_owned(),
        ];
        if self.sample > 0.0 {
            set.push("telemetry.otlp=OTLP".to_owned());
            set.push(format!("telemetry.sample={}", self.sample));
        }
        set
    }
}

fn median(mut rows: Vec<Row>) -> Option<Row> {
    rows.sort_by(|a, b| a.ratio().unwrap_or(0.0).total_cmp(&b.ratio().unwrap_or(0.0)));
    let middle = rows.len() / 2;
    rows.into_iter().nth(middle)
}

/// How many measurements a plan takes.
fn steps(plan: &Plan) -> u64 {
    let count = |many: usize| many as u64;
    let writing = plan.operations.iter().filter(|operation| operation.w().is_some()).count();
    let operations = match &plan.target {
        Target::Running(_) => count(plan.operations.len()),
        Target::Own(own) => {
            let further = count(own.commits.len().saturating_sub(1)) * count(writing);
            (count(plan.operations.len()) + further) * count(own.probes.len())
        }
    };
    let times = plan.rates.iter().map(|rate| if *rate == Rate::Max { u64::from(plan.rounds) } else { 1 });
    operations * count(plan.keys.len()) * times.sum::<u64>()
}

fn bucket_n(nodes: &[Endpoint]) -> Result<u8, String> {
    let target = format!("/v1/buckets/{BUCKET}");
    let body = ask_all(nodes.get(..1).unwrap_or_default(), &target)?.pop().unwrap_or_default();
    let bucket: Value = serde_json::from_slice(&body).map_err(|error| format!("{target}: {error}"))?;
    let n = bucket.get("n").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok());
    n.ok_or_else(|| format!("{target}: it has no n"))
}
