//! `neap bench cost`: what it costs to measure, trace and probe: throughput with it against throughput without.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::cluster::{OwnCluster, ask_all};
use super::generator::{BUCKET, Load, Operation, Pace, Run};
use crate::cli::exit::Exit;
use crate::cli::load::Distribution;
use crate::cli::remote::{failed, print, print_json, remark};
use crate::cli::table::Table;
use crate::client::Endpoint;
use crate::config::units::{parse_duration, parse_time_taken};

/// Arguments of `neap bench cost`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "What measuring, tracing and probing cost",
    long_about = "Two clusters of three nodes each, one with what is looked at and one without, are measured in turn; \
                  the ratio of each pair is taken, and of all pairs the median. Traces go to a receiver that takes \
                  and forgets them. A ratio below its bound ends the command with exit code 5 if --require is given.",
    after_help = "Examples:\n  neap bench cost\n  neap bench cost --only probes_1.0 --pairs 3 --duration 2s --json"
)]
pub struct CostArgs {
    /// Connections, spread over the nodes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Keys, all of which are written before anything is measured
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// How long one side of a pair is measured
    #[arg(long, default_value = "3s", value_parser = parse_time_taken)]
    duration: Duration,
    /// How long it runs before it is measured
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    warmup: Duration,
    /// Pairs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    pairs: u8,
    /// Only this comparison
    #[arg(long, value_parser = COMPARISONS.map(|comparison| comparison.name))]
    only: Option<String>,
    /// End with exit code 5 if a ratio is below its bound
    #[arg(long)]
    require: bool,
}

/// Something that costs.
struct Comparison {
    name: &'static str,
    /// What the two clusters are told, `OTLP` standing for the receiver's URL.
    with: &'static [&'static str],
    without: &'static [&'static str],
    /// What is measured of each.
    operations: &'static [(Operation, Operation)],
    bound: f64,
}

const GET: Operation = Operation::Get { r: 1 };
const PUT: Operation = Operation::Put { w: 2 };

const COMPARISONS: [Comparison; 5] = [
    Comparison {
        name: "metrics",
        with: &[],
        without: &["telemetry.metrics=false"],
        operations: &[(GET, GET), (PUT, PUT)],
        bound: 0.95,
    },
    Comparison {
        name: "traces_100%",
        with: &["telemetry.otlp=OTLP", "telemetry.sample=1.0"],
        without: &[],
        operations: &[(GET, GET), (PUT, PUT)],
        bound: 0.80,
    },
    Comparison {
        name: "traces_1%",
        with: &["telemetry.otlp=OTLP", "telemetry.sample=0.01"],
        without: &[],
        operations: &[(GET, GET), (PUT, PUT)],
        bound: 0.95,
    },
    Comparison {
        name: "probes_1.0",
        with: &["staleness.probe=1.0"],
        without: &["staleness.probe=0.0"],
        // What the probes find out a read of all N homes would know anyway.
        operations: &[(GET, Operation::Get { r: 3 })],
        bound: 0.90,
    },
    Comparison {
        name: "probes_0.05",
        with: &["staleness.probe=0.05"],
        without: &["staleness.probe=0.0"],
        operations: &[(GET, GET)],
        bound: 0.95,
    },
];

/// Runs the command.
#[must_use]
pub fn run(args: &CostArgs, json: bool) -> Exit {
    let rows = match bench(args) {
        Ok(rows) => rows,
        Err(message) => return failed(&message, json),
    };
    let missed = rows.iter().any(|row| row["ratio"].as_f64() < row["bound"].as_f64());
    if json {
        print_json(&json!({ "rows": rows }));
    } else {
        print(render(&rows).as_bytes());
    }
    if missed && args.require { Exit::Broken } else { Exit::Done }
}

fn bench(args: &CostArgs) -> Result<Vec<Value>, String> {
    let mut rows = Vec::new();
    for comparison in &COMPARISONS {
        if args.only.as_deref().is_none_or(|only| only == comparison.name) {
            rows.extend(compare(args, comparison)?);
        }
    }
    Ok(rows)
}

fn compare(args: &CostArgs, comparison: &Comparison) -> Result<Vec<Value>, String> {
    let mut clusters = Vec::new();
    for settings in [comparison.with, comparison.without] {
        let mut set: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        set.extend(["storage.commit=interval", "defaults.w_min=1", "log.level=warn"].map(ToOwned::to_owned));
        let cluster = OwnCluster::start(3, &set)?;
        load(args, &cluster).fill(0, Some(3), |_| {}).map_err(|error| error.to_string())?;
        clusters.push(cluster);
    }
    let [with, without] = clusters.as_slice() else { return Err("two clusters are needed".to_owned()) };
    let mut rows = Vec::new();
    for (operation, other) in comparison.operations {
        let (mut ratios, mut rates) = (Vec::new(), (Vec::new(), Vec::new()));
        for pair in 0..args.pairs {
            // Whatever the machine does meanwhile does not always hit the same side.
            let first = pair % 2 == 0;
            let mut rate = (0.0, 0.0);
            for side in [first, !first] {
                let (cluster, operation) = if side { (with, operation) } else { (without, other) };
                let run = Run {
                    operation: *operation,
                    pace: Pace::Closed,
                    warmup: args.warmup,
                    duration: args.duration,
                    pause: Duration::ZERO,
                };
                let measured = load(args, cluster).run(run, |_| {}).map_err(|error| error.to_string())?;
                *(if side { &mut rate.0 } else { &mut rate.1 }) = measured.ops_per_s();
            }
            remark(&format!(
                "{} {operation}: {:.0}/s with, {:.0}/s without: {:.3}",
                comparison.name,
                rate.0,
                rate.1,
                rate.0 / rate.1
            ));
            ratios.push(rate.0 / rate.1);
            rates.0.push(rate.0);
            rates.1.push(rate.1);
        }
        let spans = spans(&with.endpoints());
        rows.push(json!({
            "cost": comparison.name, "operation": operation.to_string(), "against": other.to_string(),
            "with_ops_per_s": rounded(median(&mut rates.0), 0),
            "without_ops_per_s": rounded(median(&mut rates.1), 0),
            "ratio": rounded(median(&mut ratios), 3), "bound": comparison.bound, "pairs": args.pairs,
            "spans_delivered": spans.map(|spans| spans.0), "spans_dropped": spans.map(|spans| spans.1),
        }));
    }
    Ok(rows)
}

fn load(args: &CostArgs, cluster: &OwnCluster) -> Load {
    Load {
        nodes: cluster.endpoints(),
        pids: cluster.pids(),
        bucket: BUCKET,
        connections: args.connections,
        keys: args.keys,
        value_bytes: 256,
        dist: Distribution::Zipfian,
    }
}

/// How many spans the nodes delivered and dropped; none where they cannot be asked.
fn spans(nodes: &[Endpoint]) -> Option<(u64, u64)> {
    let (mut delivered, mut dropped) = (0, 0);
    for body in ask_all(nodes, "/healthz").ok()? {
        let health: Value = serde_json::from_slice(&body).ok()?;
        let count = |name: &str| health.pointer(&format!("/counters/{name}")).and_then(Value::as_u64);
        delivered += count("spans_delivered")?;
        dropped += count("spans_dropped")?;
    }
    Some((delivered, dropped))
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

fn render(rows: &[Value]) -> String {
    let columns = [
        "cost",
        "operation",
        "against",
        "with_ops_per_s",
        "without_ops_per_s",
        "ratio",
        "bound",
        "spans_delivered",
        "spans_dropped",
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let shown = columns.map(|column| match row.get(column) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        });
        table.row(shown.to_vec());
    }
    format!("{}\n", table.render())
}
