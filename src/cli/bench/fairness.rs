//! `neap bench fairness`: what a bucket that floods and one that is quiet do to each other.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::cluster::{OwnCluster, metric};
use super::generator::{BUCKET, KEYS_MAX, Load, Operation, Pace, Run, Tally};
use super::progress;
use super::target::{self, Target};
use crate::cli::exit::Exit;
use crate::cli::load::Distribution;
use crate::cli::remote::{failed, print, print_json};
use crate::cli::table::Table;
use crate::config::units::parse_time_taken;

const NODES: u16 = 3;
/// The bucket of the quiet clients.
const QUIET: &str = "bench-quiet";
/// Connections of the quiet clients.
const QUIET_CONNECTIONS: u16 = 16;
/// The share of what it does alone that a flood may lose beside a quiet bucket.
const LOST: f64 = 0.1;
/// How long the flood goes before and after what is measured.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a client of the flood waits after it was refused.
const PAUSE: Duration = Duration::from_millis(10);
/// Requests that were refused for overload, whatever the reason.
const REFUSED: &str = "neap_overload_refused_total";

/// Arguments of `neap bench fairness`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "A bucket that floods beside one that is quiet: what they do to each other",
    long_about = "Makes a cluster of three nodes. A few clients of a quiet bucket send requests at a low, steady rate: first \
                  alone, then while many connections flood another bucket, each with its next request as soon as the last \
                  was answered, and last in the flooding bucket itself, which shows what being apart is worth. The flood is \
                  measured without the quiet bucket, too, before and after: it is to keep nine tenths of its rate.\n\n\
                  The nodes share the machine with the flood's clients: once all cores are busy, what a request waits for \
                  is the scheduler, which knows nothing of buckets.",
    after_help = "Examples:\n  neap bench fairness\n  neap bench fairness --operations put:2 --connections 64 --json"
)]
pub struct FairnessArgs {
    /// Connections of the flood
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Requests a second of the quiet bucket
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// What both ask: get:R, put:W, mix:SHARE:R:W
    #[arg(long, value_delimiter = ',', default_value = "get:2,put:2")]
    operations: Vec<Operation>,
    /// Requests that a node takes at once (limits.in_flight); its usual number unless it is given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Option<u32>,
    /// Keys of each bucket
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// How long each part is measured
    #[arg(long, default_value = "10s", value_parser = parse_time_taken)]
    duration: Duration,
    /// End with exit code 5 if a target is missed
    #[arg(long)]
    require: bool,
}

/// What was measured of one operation.
struct Row {
    operation: Operation,
    alone: Tally,
    apart: Tally,
    within: Tally,
    /// The flood, while the quiet bucket was apart from it.
    flood: Tally,
    /// The flood without the quiet bucket, before and after.
    flood_alone: [Tally; 2],
    /// Requests that were refused meanwhile.
    refused: f64,
}

/// Runs the command.
pub fn run(args: &FairnessArgs, json: bool) -> Exit {
    let progress = progress::steps(5 * args.operations.len() as u64, json);
    let rows = match measure(args, &progress) {
        Ok(rows) => rows,
        Err(message) => return failed(&message, json),
    };
    progress.finish_and_clear();
    let targets: Vec<Target> = rows.iter().map(Row::target).collect();
    if json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        let targets: Vec<Value> = targets.iter().map(Target::json).collect();
        print_json(&json!({
            "rows": rows, "connections": args.connections, "rate": args.rate, "in_flight": args.in_flight,
            "nodes": NODES, "targets": targets,
        }));
    } else {
        print(render(args, &rows, &targets).as_bytes());
    }
    if args.require && !targets.iter().all(Target::is_met) { Exit::Broken } else { Exit::Done }
}

fn measure(args: &FairnessArgs, progress: &ProgressBar) -> Result<Vec<Row>, String> {
    let mut settings = vec!["staleness.probe=0.05".to_owned(), "log.level=error".to_owned()];
    settings.extend(args.in_flight.map(|many| format!("limits.in_flight={many}")));
    let mut cluster = OwnCluster::start(NODES, &settings)?;
    let flood = Load {
        nodes: cluster.endpoints(),
        pids: cluster.pids(),
        bucket: BUCKET,
        connections: args.connections,
        keys: args.keys,
        value_bytes: args.value_bytes,
        dist: Distribution::Zipfian,
    };
    let quiet = Load { bucket: QUIET, connections: QUIET_CONNECTIONS, ..flood.clone() };
    progress.set_message("writing the keys");
    for bucket in [BUCKET, QUIET] {
        let fill = Load { bucket, connections: 16, ..flood.clone() };
        fill.fill(0, Some(3), |_| {}).map_err(|error| format!("the keys could not be written: {error}"))?;
    }
    let mut rows = Vec::new();
    for &operation in &args.operations {
        cluster.calm();
        progress.set_message(format!("{operation}: the quiet bucket alone"));
        let steady = Run {
            operation,
            pace: Pace::Open(f64::from(args.rate)),
            warmup: MARGIN,
            duration: args.duration,
            pause: Duration::ZERO,
        };
        let alone = of(quiet.run(steady, |_| {}))?;
        progress.inc(1);
        progress.set_message(format!("{operation}: the flood alone"));
        let greedy = Run { pace: Pace::Closed, pause: PAUSE, ..steady };
        let before = of(flood.run(greedy, |_| {}))?;
        progress.inc(1);
        progress.set_message(format!("{operation}: beside a flood"));
        let refused = metric(&flood.nodes, REFUSED)?;
        let (apart, flooding) = beside(&flood, &quiet, steady)?;
        let refused = metric(&flood.nodes, REFUSED)? - refused;
        progress.inc(1);
        progress.set_message(format!("{operation}: the flood alone once more"));
        let flood_alone = [before, of(flood.run(greedy, |_| {}))?];
        progress.inc(1);
        progress.set_message(format!("{operation}: in the flooding bucket"));
        let (within, _) = beside(&flood, &Load { bucket: BUCKET, ..quiet.clone() }, steady)?;
        progress.inc(1);
        cluster.check()?;
        rows.push(Row { operation, alone, apart, within, flood: flooding, flood_alone, refused });
    }
    Ok(rows)
}

/// The quiet clients, and the flood that goes on around them.
fn beside(flood: &Load, quiet: &Load, steady: Run) -> Result<(Tally, Tally), String> {
    let around = Run { pace: Pace::Closed, duration: steady.duration + MARGIN, pause: PAUSE, ..steady };
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.run(around, |_| {}));
        let quiet = of(quiet.run(steady, |_| {}))?;
        let flooding = flooding.join().map_err(|_| "the load generator panicked".to_owned())?;
        Ok((quiet, of(flooding)?))
    })
}

fn of(tally: std::io::Result<Tally>) -> Result<Tally, String> {
    tally.map_err(|error| format!("a connection failed: {error}"))
}

impl Row {
    fn target(&self) -> Target {
        let [before, after] = self.flood_alone.each_ref().map(Tally::ops_per_s);
        let alone = (before + after) / 2.0;
        let lost = (alone > 0.0).then(|| 1.0 - self.flood.ops_per_s() / alone);
        Target::new(
            format!("{}, the flood loses beside a quiet bucket, share of alone", self.operation),
            lost,
            LOST,
        )
    }

    /// p99 of the quiet bucket beside the flood, as a multiple of alone.
    fn times(&self) -> Option<f64> {
        let p99 = |tally: &Tally| tally.latencies.quantile_ms(0.99);
        p99(&self.apart).zip(p99(&self.alone)).map(|(beside, alone)| beside / alone)
    }

    fn parts(&self) -> [(&'static str, &Tally); 6] {
        let [before, after] = &self.flood_alone;
        [
            ("alone", &self.alone),
            ("beside a flood", &self.apart),
            ("in the flooding bucket", &self.within),
            ("the flood beside it", &self.flood),
            ("the flood alone, before", before),
            ("the flood alone, after", after),
        ]
    }

    fn json(&self) -> Value {
        let parts = self.parts().map(|(name, tally)| {
            let Tally { latencies, .. } = tally;
            json!({
                "part": name, "per_s": tally.ops_per_s().round(), "p50_ms": latencies.quantile_ms(0.5),
                "p99_ms": latencies.quantile_ms(0.99), "max_ms": latencies.max_ms(), "failed": tally.failed(),
            })
        });
        json!({
            "operation": self.operation.to_string(), "parts": parts, "refused": self.refused,
            "quiet_p99_times_alone": self.times(),
        })
    }
}

fn render(args: &FairnessArgs, rows: &[Row], targets: &[Target]) -> String {
    let mut table =
        Table::new(["operation", "quiet requests", "per second", "p50 ms", "p99 ms", "max ms", "failed"]);
    for row in rows {
        for (name, tally) in row.parts() {
            let Tally { latencies, .. } = tally;
            let ms = [latencies.quantile_ms(0.5), latencies.quantile_ms(0.99), latencies.max_ms()];
            let mut cells =
                vec![row.operation.to_string(), name.to_owned(), format!("{:.0}", tally.ops_per_s())];
            cells.extend(ms.map(|ms| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"))));
            cells.push(tally.failed().to_string());
            table.row(cells);
        }
    }
    let times: String = rows
        .iter()
        .filter_map(|row| Some((row.operation, row.times()?)))
        .map(|(operation, times)| {
            format!(
                "{operation}: p99 of the quiet bucket beside the flood is {times:.1} times that of alone\n"
            )
        })
        .collect();
    format!(
        "a quiet bucket of {} requests a second, a flood of {} connections; {:.0} requests were refused\n\n{}\n{}{}",
        args.rate,
        args.connections,
        rows.iter().map(|row| row.refused).sum::<f64>(),
        table.render(),
        times,
        target::render(targets)
    )
}
