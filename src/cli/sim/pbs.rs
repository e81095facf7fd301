//! `neap sim pbs`: the published experiment of probabilistically bounded staleness.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::latency::Latency;
use super::progress;
use crate::cli::exit::Exit;
use crate::cli::remote::{failed, print, print_json, usage};
use crate::config::units::parse_duration;
use crate::protocol::pbs::{Curve, Experiment, Published, percentile};
use crate::protocol::quorum::Quorum;
use crate::sim::file::parse_quorum;
use crate::sim::pbs::{MeasureError, Measured, Measurement};
use crate::sim::queue::{MILLIS, Time};
use crate::sim::random::Random;

/// Trials of the Monte Carlo.
const TRIALS: u32 = 1_000_000;
/// The longest wait between a commit and its read.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many points there may be.
const POINTS_MAX: usize = 100;
/// The largest N: as many nodes are simulated.
const N_MAX: u8 = 25;
/// What is given of each distribution of times.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// What is measured.
#[derive(Debug, Clone, Args)]
#[command(
    long_about = "Measures how likely a read that begins so long after a write's commit returns the write: with the \
                  protocol code that nodes run, in simulated time, under published delays. Reads and writes go to all \
                  N replicas, each leg crosses the network (the coordinator's own too), and neither read repair nor \
                  hedging nor probes spread a write. Beside it stand the Monte Carlo of the WARS model and, where \
                  there is one, the value that the published fits come to (Bailis et al., VLDB 2012).",
    after_help = "Examples:\n  \
                  neap sim pbs --latency lnkd-disk --quorum 3,1,1 --at 0ms,1ms,5ms,10ms\n  \
                  neap sim pbs --latency wan --quorum 3,1,2 --local-leg --json"
)]
pub(super) struct PbsArgs {
    /// How long messages take: lnkd-ssd, lnkd-disk, ymmr, wan, or a file of delays
    #[arg(long, default_value = "lnkd-ssd", value_name = "PRESET|FILE")]
    latency: String,
    /// N,R,W
    #[arg(long, default_value = "3,1,1", value_name = "N,R,W")]
    quorum: String,
    /// How long after the commit reads begin
    #[arg(long, default_value = "0ms,1ms,5ms,10ms", value_name = "DURATION,…", value_delimiter = ',', value_parser = parse_duration)]
    at: Vec<Duration>,
    /// The coordinator's own leg is local, as it is in production
    #[arg(long)]
    local_leg: bool,
    /// Reads for each point
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    reads: u64,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub(super) fn run(args: &PbsArgs, json: bool) -> Exit {
    let (latency, measurement) = match check(args) {
        Ok(checked) => checked,
        Err(complaint) => return usage(&complaint, json),
    };
    let measured = match measure(&measurement, json) {
        Ok(measured) => measured,
        Err(error) => {
            let broken = matches!(error, MeasureError::Broken(_));
            let failed = failed(&error.to_string(), json);
            return if broken { Exit::Broken } else { failed };
        }
    };
    let mut random = Random::new(args.seed, "monte carlo");
    let mut uniform = || random.uniform();
    let curve = Curve::of((0..TRIALS).map(|_| measurement.experiment.trial(&mut uniform)));
    let result = Outcome { args, latency, measurement, measured, curve };
    if json {
        print_json(&result.json())
    } else {
        print(result.table().as_bytes())
    }
    Exit::Done
}

fn check(args: &PbsArgs) -> Result<(Latency, Measurement), String> {
    let quorum = parse_quorum(&args.quorum).map_err(|error| format!("--{error}"))?;
    if quorum.n > N_MAX {
        return Err(format!("--quorum = {}: N of 1 to {N_MAX} is accepted", args.quorum));
    }
    if let Some(long) = args.at.iter().find(|at| **at > WAIT_MAX) {
        return Err(format!("--at = {long:?}: 0ms to {WAIT_MAX:?} are accepted"));
    }
    if args.at.len() > POINTS_MAX {
        return Err(format!("--at: 1 to {POINTS_MAX} points are accepted, these are {}", args.at.len()));
    }
    let latency = Latency::named(&args.latency).map_err(|error| format!("--{error}"))?;
    let experiment = Experiment { quorum, legs: latency.legs.clone(), local_leg: args.local_leg };
    let nanoseconds = |at: &Duration| Time::try_from(at.as_nanos()).unwrap_or(Time::MAX);
    let points = args.at.iter().map(nanoseconds).collect();
    Ok((latency, Measurement { experiment, points, reads: args.reads, seed: args.seed }))
}

/// Runs all worlds, as many at once as there are cores.
fn measure(measurement: &Measurement, json: bool) -> Result<Measured, MeasureError> {
    let worlds = measurement.worlds();
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (done, results) = mpsc::sync_channel(cores);
    let bar = progress::bar(worlds, "worlds", json);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let world = next.fetch_add(1, Ordering::Relaxed);
                    if world >= worlds || done.send((world, measurement.run(world))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut measured = std::collections::BTreeMap::new();
        for (world, result) in results {
            measured.insert(world, result?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut together = Measured::default();
        measured.into_values().for_each(|measured| together.add(measured));
        let Measured { consistent_after_ms, read_ms, write_ms, .. } = &mut together;
        for times in [consistent_after_ms].into_iter().chain(read_ms).chain(write_ms) {
            times.sort_by(f64::total_cmp);
        }
        Ok(together)
    })
}

struct Outcome<'a> {
    args: &'a PbsArgs,
    latency: Latency,
    measurement: Measurement,
    /// Its times are sorted.
    measured: Measured,
    curve: Curve,
}

struct Row {
    t_ms: f64,
    simulated: f64,
    monte_carlo: f64,
    published: Option<f64>,
}

impl Outcome<'_> {
    fn quorum(&self) -> Quorum {
        self.measurement.experiment.quorum
    }

    fn published(&self) -> Option<Published> {
        let preset = self.latency.preset.filter(|_| !self.args.local_leg)?;
        Published::of(preset, self.quorum())
    }

    fn rows(&self) -> Vec<Row> {
        let published = self.published();
        let points = self.measurement.points.iter().zip(&self.measured.reads);
        let row = |(at, (reads, consistent)): (&Time, &(u64, u64))| {
            let t_ms = *at as f64 / MILLIS as f64;
            Row {
                t_ms,
                simulated: *consistent as f64 / (*reads).max(1) as f64,
                monte_carlo: self.curve.consistent_at(t_ms),
                published: published.and_then(|published| published.consistent_at(t_ms)),
            }
        };
        points.map(row).collect()
    }

    fn t999_ms(&self) -> (f64, f64) {
        let simulated = percentile(&self.measured.consistent_after_ms, 0.999).max(0.0);
        (simulated, self.curve.time_to_ms(0.999))
    }

    fn json(&self) -> Value {
        let Quorum { n, r, w } = self.quorum();
        let rows: Vec<Value> = self
            .rows()
            .into_iter()
            .map(|Row { t_ms, simulated, monte_carlo, published }| {
                json!({
                    "latency": self.latency.name, "n": n, "r": r, "w": w, "t_ms": t_ms,
                    "p_simulated": simulated, "p_monte_carlo": monte_carlo, "p_published": published,
                })
            })
            .collect();
        let (simulated, monte_carlo) = self.t999_ms();
        let latencies = |times: &[Vec<f64>], expected: &dyn Fn(u8, f64) -> f64| {
            let of = |(k, sorted): (u8, &Vec<f64>)| {
                let values = PERCENTILES.map(|(name, p)| {
                    let pair = json!({"simulated": percentile(sorted, p), "monte_carlo": expected(k, p)});
                    (name.to_owned(), pair)
                });
                (k.to_string(), Value::Object(values.into_iter().collect()))
            };
            Value::Object((1..=n).zip(times).map(of).collect())
        };
        json!({
            "rows": rows,
            "t999_ms": {"simulated": simulated, "monte_carlo": monte_carlo},
            "latency_ms": {
                "read": latencies(&self.measured.read_ms, &|k, p| self.curve.read_ms(k, p)),
                "write": latencies(&self.measured.write_ms, &|k, p| self.curve.write_ms(k, p)),
            },
            "reads": self.args.reads,
        })
    }

    fn table(&self) -> String {
        let Quorum { n, r, w } = self.quorum();
        let legs = if self.args.local_leg {
            "the coordinator's own leg is local"
        } else {
            "every leg crosses the network"
        };
        let mut text = format!(
            "{}, N={n} R={r} W={w}: {} reads for each point, {legs}\n\n",
            self.latency.name, self.args.reads
        );
        text += &format!("{:>22} {:>11} {:>11} {:>11}\n", "", "simulated", "Monte Carlo", "published");
        let percent = |p: f64| format!("{:.3} %", p * 100.0);
        let shown = |p: Option<f64>| p.map_or_else(|| "-".to_owned(), percent);
        for Row { t_ms, simulated, monte_carlo, published } in self.rows() {
            text += &format!(
                "{:>22} {:>11} {:>11} {:>11}\n",
                format!("consistent at {t_ms} ms"),
                percent(simulated),
                percent(monte_carlo),
                shown(published)
            );
        }
        let (simulated, monte_carlo) = self.t999_ms();
        let printed =
            self.published().map_or_else(|| "-".to_owned(), |known| format!("{} ms", known.t999_ms));
        text += &format!(
            "{:>22} {:>11} {:>11} {printed:>11}\n",
            "99.9 % after",
            format!("{simulated:.2} ms"),
            format!("{monte_carlo:.2} ms")
        );
        text += &format!("\n{:>22}", "milliseconds until");
        PERCENTILES.iter().for_each(|(name, _)| text += &format!(" {name:>9} {:>9}", "model"));
        text += "\n";
        for (what, times, expected) in [
            ("answer", &self.measured.read_ms, &(|k, p| self.curve.read_ms(k, p)) as &dyn Fn(u8, f64) -> f64),
            ("acknowledgement", &self.measured.write_ms, &|k, p| self.curve.write_ms(k, p)),
        ] {
            for (k, sorted) in (1..=n).zip(times) {
                text += &format!("{:>22}", format!("{what} {k} of {n}"));
                for (_, p) in PERCENTILES {
                    text += &format!(" {:>9.3} {:>9.3}", percentile(sorted, p), expected(k, p));
                }
                text += "\n";
            }
        }
        if self.measured.failed > 0 {
            text += &format!("\n{} operations failed and are not counted\n", self.measured.failed);
        }
        text
    }
}
