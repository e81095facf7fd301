//! `neap sim`: many seeds, or one scenario.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::latency::Latency;
use super::{progress, show};
use crate::cli::exit::Exit;
use crate::cli::remote::{failed, usage};
use crate::protocol::quorum::Quorum;
use crate::protocol::ring::{MEMBERS_MAX, Ring};
use crate::sim::faults::Level;
use crate::sim::file::{File, parse_quorum};
use crate::sim::report::{Found, Report};
use crate::sim::run::Outcome;
use crate::sim::scenario::{Scenario, ScenarioError, Wanted};
use crate::sim::shrink::{Effort, shrink};

/// Violations after which no further seeds are run.
const ENOUGH: usize = 10;

/// What is run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How many seeds, from the first on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seeds: u64,
    /// Nodes
    #[arg(long, default_value_t = 5)]
    pub(super) nodes: usize,
    /// Zones that the nodes are dealt over
    #[arg(long, default_value_t = 1)]
    pub(super) zones: usize,
    /// N,R,W of the cluster's defaults; heavy faults come with buckets of other kinds as well
    #[arg(long, default_value = "3,2,2", value_name = "N,R,W")]
    pub(super) quorum: String,
    /// How much goes wrong
    #[arg(long, value_parser = levels(), default_value = Level::Light.name())]
    pub(super) faults: Level,
    /// How long messages take: lnkd-ssd, lnkd-disk, ymmr, wan, or a file of delays
    #[arg(long, default_value = "lnkd-ssd", value_name = "PRESET|FILE")]
    pub(super) latency: String,
    /// Operations of each seed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) ops: u64,
    /// A scenario that is written down, in the place of seeds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "nodes", "zones", "quorum", "faults", "latency", "ops"])]
    pub(super) scenario: Option<PathBuf>,
    /// Seeds that run at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: u16,
    /// Runs fresh seeds for so long, and says which
    #[arg(long, value_name = "DURATION", value_parser = crate::config::units::parse_time_taken, conflicts_with = "seeds")]
    pub(super) soak: Option<Duration>,
    /// Prints what happened, even if nothing is wrong
    #[arg(long)]
    pub(super) trace: bool,
    /// How long a failing schedule is made shorter
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = crate::config::units::parse_duration)]
    pub(super) shrink: Duration,
    /// Where a failing schedule is written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) save: PathBuf,
}

/// Takes the name of a level.
fn levels() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::ALL.map(Level::name))
        .map(|given| Level::ALL.into_iter().find(|level| level.name() == given).unwrap_or(Level::Light))
}

/// What is run, checked.
struct Checked {
    latency: Latency,
    wanted: Wanted,
    ring: Arc<Ring>,
    written: Option<Scenario>,
}

/// What a violation was made of it.
pub(super) struct Shrunk {
    /// The shortest schedule.
    pub(super) scenario: Scenario,
    /// Where it was written to, or why not.
    pub(super) file: Result<PathBuf, String>,
    /// Its run, with a trace.
    pub(super) outcome: Outcome,
}

/// Runs the command.
pub(super) fn run(args: &RunArgs, json: bool) -> Exit {
    let checked = match check(args) {
        Ok(checked) => checked,
        Err(complaint) => return usage(&complaint, json),
    };
    let started = Instant::now();
    let report = match run_seeds(args, &checked, json) {
        Ok(report) => report,
        Err(error) => return failed(&error.to_string(), json),
    };
    let wall = started.elapsed();
    let shrunk = report.found.first().and_then(|found| shorten(args, &checked, found, json));
    if json {
        show::json(args, &report, wall);
    } else {
        show::summary(&report, wall);
    }
    for found in &report.found {
        show::violation(args, found, shrunk.as_ref().filter(|_| is_first(&report, found)), json);
    }
    if report.found.is_empty() { Exit::Done } else { Exit::Broken }
}

fn is_first(report: &Report, found: &Found) -> bool {
    report.found.first().is_some_and(|first| first.seed == found.seed)
}

fn check(args: &RunArgs) -> Result<Checked, String> {
    if let Some(path) = &args.scenario {
        let named = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        let file = File::parse(&text).map_err(|error| named(error.to_string()))?;
        let latency = Latency::named(&file.latency).map_err(|error| named(error.to_string()))?;
        let scenario = file.scenario(latency.legs.clone()).map_err(|error| named(error.to_string()))?;
        let ring = scenario.ring().map_err(|error| named(error.to_string()))?;
        let wanted = Wanted {
            nodes: file.nodes,
            zones: file.zones,
            quorum: scenario.settings.quorum,
            legs: latency.legs.clone(),
            level: Level::None,
            operations: scenario.steps().count() as u64,
        };
        return Ok(Checked { latency, wanted, ring, written: Some(scenario) });
    }
    let quorum = parse_quorum(&args.quorum).map_err(|error| format!("--{error}"))?;
    let Quorum { n, .. } = quorum;
    if args.nodes < usize::from(n) || args.nodes > MEMBERS_MAX {
        return Err(format!("--nodes = {}: {n} (N) to {MEMBERS_MAX} are accepted", args.nodes));
    }
    if args.zones < 1 || args.zones > args.nodes {
        return Err(format!("--zones = {}: 1 to {} (--nodes) are accepted", args.zones, args.nodes));
    }
    let latency = Latency::named(&args.latency).map_err(|error| format!("--{error}"))?;
    let wanted = Wanted {
        nodes: args.nodes,
        zones: args.zones,
        quorum,
        legs: latency.legs.clone(),
        level: args.faults,
        operations: args.ops,
    };
    let ring = Scenario::drawn(args.seed, &wanted).ring().map_err(|error| error.to_string())?;
    Ok(Checked { latency, wanted, ring, written: None })
}

impl Checked {
    fn scenario(&self, seed: u64, trace: bool) -> Scenario {
        let mut scenario = self.written.clone().unwrap_or_else(|| Scenario::drawn(seed, &self.wanted));
        scenario.settings.trace = trace;
        scenario
    }
}

/// Runs all seeds, several at once, and puts their reports together in the order of the seeds.
fn run_seeds(args: &RunArgs, checked: &Checked, json: bool) -> Result<Report, ScenarioError> {
    let until = args.soak.map(|soak| Instant::now() + soak);
    let first = if until.is_some() { fresh_seed() } else { args.seed };
    let seeds = if until.is_some() { u64::MAX } else { args.seeds };
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (done, outcomes) = mpsc::sync_channel(usize::from(args.jobs) * 4);
    let shown = if until.is_some() { 0 } else { seeds };
    let bar = progress::bar(shown, "seeds", json || args.trace);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            let (done, next, stop) = (done.clone(), &next, &stop);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = until.is_some_and(|until| Instant::now() >= until);
                    if number >= seeds || late || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let scenario = checked.scenario(first.wrapping_add(number), args.trace);
                    // Whoever no longer listens has seen enough.
                    if done.send((number, scenario.run(checked.ring.clone()))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut report = Report::default();
        let mut waiting = std::collections::BTreeMap::new();
        let mut awaited = 0;
        for (number, outcome) in outcomes {
            waiting.insert(number, outcome?);
            while let Some(outcome) = waiting.remove(&awaited) {
                awaited += 1;
                if args.trace && !json {
                    show::trace(&outcome);
                }
                if until.is_some() && !json {
                    show::soaked(&outcome);
                }
                report.add(outcome);
                bar.inc(1);
                bar.set_message(format!("{} violations", report.found.len()));
            }
            if report.found.len() >= ENOUGH {
                stop.store(true, Ordering::Relaxed);
            }
        }
        bar.finish_and_clear();
        Ok(report)
    })
}

fn fresh_seed() -> u64 {
    // Without randomness the clock will do: it only has to be another seed than last time.
    getrandom::u64().unwrap_or_else(|_| crate::actors::clock::wall().0) >> 1
}

/// Makes the schedule of a violation shorter, writes it down, and runs it with a trace.
fn shorten(args: &RunArgs, checked: &Checked, found: &Found, json: bool) -> Option<Shrunk> {
    let scenario = checked.scenario(found.seed, false);
    let spinner = progress::bar(0, "runs", json);
    spinner.set_message("looking for a shorter schedule");
    let effort = Effort { runs: 20_000, time: args.shrink };
    let at = (found.violation.invariant, found.operations);
    let mut scenario = shrink(&scenario, checked.ring.clone(), at, effort);
    spinner.finish_and_clear();
    scenario.settings.trace = true;
    let outcome = scenario.run(checked.ring.clone()).ok()?;
    let path = args.save.join(format!("neap-sim-{}.toml", found.seed));
    let text = File::of(&scenario, &checked.latency.name).text();
    let file = std::fs::write(&path, text).map(|()| path.clone());
    let file = file.map_err(|error| format!("{}: {error}", path.display()));
    Some(Shrunk { scenario, file, outcome })
}
