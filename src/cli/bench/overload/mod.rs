//! `neap bench overload`: what becomes of a cluster that is asked for more than it can do.

mod report;

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;

use report::Measured;

use super::cluster::OwnCluster;
use super::cpu::Resident;
use super::generator::{BUCKET, KEYS_MAX, Load, Operation, Pace, Run, Tally};
use super::progress;
use super::target::Target;
use crate::cli::exit::Exit;
use crate::cli::load::Distribution;
use crate::cli::remote::{failed, print, print_json, usage};
use crate::config::units::{parse_duration, parse_time_taken};

const NODES: u16 = 3;
/// How long the unloaded cluster is measured.
const UNLOADED: Duration = Duration::from_secs(5);
/// What of the recovery is looked at together.
const WINDOW: Duration = Duration::from_millis(250);
/// How much longer than before requests may take when all is as before; P99 of a short window is not exact.
const RECOVERED_TIMES: f64 = 2.0;
/// When recovery is given up.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
const SAMPLE: Duration = Duration::from_secs(1);

/// Arguments of `neap bench overload`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "More connections than permits: who is refused, how fast, and what it takes to recover",
    long_about = "Makes a cluster of three nodes, each of which takes a small number of requests at once \
                  (limits.in_flight), and sends requests over many times as many connections, each its next one as soon \
                  as it was answered or refused. Tells how long accepted requests took against those of an unloaded \
                  cluster (one connection a node), how long refusals took, the memory of each node every second, and \
                  how long it takes until all is as before.",
    after_help = "Examples:\n  neap bench overload\n  neap bench overload --duration 10s --in-flight 8 --times 20 --json"
)]
pub struct OverloadArgs {
    /// How long the overload lasts
    #[arg(long, default_value = "60s", value_parser = parse_time_taken)]
    duration: Duration,
    /// Requests that a node takes at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    in_flight: u16,
    /// How many times as many connections there are
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=100))]
    times: u16,
    /// How long a connection waits after it was refused; with 0ms refusals take most of a machine that clients share
    #[arg(long, default_value = "10ms", value_parser = parse_duration)]
    pause: Duration,
    /// What is asked: get:R, put:W, mix:SHARE:R:W
    #[arg(long, default_value = "mix:0.8:2:2")]
    operation: Operation,
    /// Keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// When a write counts as durable
    #[arg(long, default_value = "interval", value_parser = ["fsync", "interval", "os"])]
    commit: String,
    /// End with exit code 5 if a target is missed
    #[arg(long)]
    require: bool,
}

/// Runs the command.
pub fn run(args: &OverloadArgs, json: bool) -> Exit {
    let progress = progress::steps(3, json);
    let connections = u32::from(NODES) * u32::from(args.in_flight) * u32::from(args.times);
    let Some(connections) = u16::try_from(connections).ok().filter(|connections| *connections <= 8_192)
    else {
        let said = format!("--in-flight and --times: {connections} connections; up to 8192 are accepted");
        return usage(&said, json);
    };
    let measured = match measure(args, connections, &progress) {
        Ok(measured) => measured,
        Err(message) => return failed(&message, json),
    };
    progress.finish_and_clear();
    let targets = measured.targets();
    if json {
        print_json(&measured.json(args, &targets));
    } else {
        print(measured.render(args, &targets).as_bytes());
    }
    if args.require && !targets.iter().all(Target::is_met) { Exit::Broken } else { Exit::Done }
}

fn measure(args: &OverloadArgs, connections: u16, progress: &ProgressBar) -> Result<Measured, String> {
    let settings = [
        format!("storage.commit={}", args.commit),
        format!("limits.in_flight={}", args.in_flight),
        "defaults.w_min=1".to_owned(),
        "staleness.probe=0.05".to_owned(),
        "log.level=error".to_owned(),
    ];
    let mut cluster = OwnCluster::start(NODES, &settings)?;
    let text = |error: io::Error| format!("a connection failed: {error}");
    let calm_load = Load {
        nodes: cluster.endpoints(),
        pids: cluster.pids(),
        bucket: BUCKET,
        connections: NODES,
        keys: args.keys,
        value_bytes: args.value_bytes,
        dist: Distribution::Zipfian,
    };
    progress.set_message("writing the keys");
    let fill = Load { connections: NODES * args.in_flight.min(16), ..calm_load.clone() };
    fill.fill(0, Some(3), |_| {}).map_err(text)?;
    cluster.calm();

    progress.set_message("unloaded");
    let run = |warmup, duration, pause| Run {
        operation: args.operation,
        pace: Pace::Closed,
        warmup,
        duration,
        pause,
    };
    let unloaded = calm_load.run(run(SAMPLE, UNLOADED, Duration::ZERO), |_| {}).map_err(text)?;
    progress.inc(1);

    let overload = Load { connections, ..calm_load.clone() };
    let run_overload = run(Duration::ZERO, args.duration, args.pause);
    let told = |share: f64| progress.set_message(format!("overload: {:.0} %", share.min(1.0) * 100.0));
    let (overloaded, resident) = watched(&overload, run_overload, told)?;
    progress.inc(1);

    progress.set_message("recovery");
    let recovery =
        recover(&calm_load, run(Duration::ZERO, WINDOW, Duration::ZERO), &unloaded).map_err(text)?;
    cluster.check()?;
    Ok(Measured { connections, unloaded, overloaded, recovery, resident })
}

/// Runs the load, and looks at the nodes' memory meanwhile.
fn watched(load: &Load, run: Run, told: impl Fn(f64) + Sync) -> Result<(Tally, Vec<Vec<u64>>), String> {
    std::thread::scope(|scope| {
        let driven = scope.spawn(|| load.run(run, &told));
        let mut resident = Vec::new();
        let mut next = Instant::now();
        while !driven.is_finished() {
            let now = Instant::now();
            if now >= next {
                let all = load.pids.iter().map(|pid| Resident::of(*pid).map_or(0, |resident| resident.bytes));
                resident.push(all.collect());
                next += SAMPLE;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let tally = driven.join().map_err(|_| "the load generator panicked".to_owned())?;
        Ok((tally.map_err(|error| format!("a connection failed: {error}"))?, resident))
    })
}

/// How long it takes until two windows in a row are as before.
fn recover(load: &Load, window: Run, unloaded: &Tally) -> io::Result<Option<Duration>> {
    let began = Instant::now();
    let mut well_since = None;
    while began.elapsed() < RECOVERY_TIMEOUT {
        let at = began.elapsed();
        let tally = load.run(window, |_| {})?;
        let p99 = tally.latencies.quantile_ms(0.99).zip(unloaded.latencies.quantile_ms(0.99));
        let well = tally.failed() == 0 && p99.is_some_and(|(now, before)| now <= before * RECOVERED_TIMES);
        match (well, well_since) {
            (true, Some(since)) => return Ok(Some(since)),
            (true, None) => well_since = Some(at),
            (false, _) => well_since = None,
        }
    }
    Ok(None)
}
