//! What a simulation has to say, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::run::{RunArgs, Shrunk};
use crate::cli::remote::{print, print_json, say};
use crate::sim::faults::{Kind, Level};
use crate::sim::report::{Found, Report, Times};
use crate::sim::run::Outcome;

/// Lines of a trace that are shown.
const LINES_MAX: usize = 200;

/// The summary.
pub(super) fn summary(report: &Report, wall: Duration) {
    let seconds = wall.as_secs_f64().max(1e-9);
    let Report { seeds, operations, events, reads, writes, stale, .. } = report;
    let per_second = *operations as f64 / seconds;
    let mut text = format!(
        "simulated    {seeds} {}, {operations} operations, {events} events in {seconds:.1} s: {per_second:.0} \
         operations a second\n",
        if *seeds == 1 { "seed" } else { "seeds" }
    );
    text += &format!(
        "faults       {}\n",
        listed(report.faults.iter().map(|(kind, count)| (kind.name(), *count)))
    );
    let rate = report.stale_rate().map_or_else(String::new, |rate| format!(" ({:.4} %)", rate * 100.0));
    text +=
        &format!("reads        {reads} answered, {stale} stale{rate}; took {}\n", times(&report.read_took));
    text += &format!("staleness    age {}\n", times(&report.age));
    text += &format!("             exposure {}\n", times(&report.exposure));
    let reported = report.reported_stale_rate().map_or_else(String::new, |(low, high)| {
        format!("; reported stale: {:.4} to {:.4} %", low * 100.0, high * 100.0)
    });
    let verdicts = listed(report.verdicts.iter().map(|(verdict, count)| (*verdict, *count)));
    text += &format!("verdicts     {verdicts}{reported}\n");
    let late = listed(report.late_verdicts.iter().map(|(verdict, count)| (*verdict, *count)));
    text += &format!("             of the unknown, later: {late}\n");
    text += &compared(report);
    text += &format!("writes       {writes} succeeded; took {}\n", times(&report.write_took));
    let unconverged = report.versions.get("unconverged").copied().unwrap_or(0);
    let lost = report.versions.get("lost_with_every_disk").copied().unwrap_or(0);
    text +=
        &format!("convergence  {}; {unconverged} had not reached every home\n", times(&report.convergence));
    if lost > 0 {
        text +=
            &format!("             {lost} acknowledged versions were lost with every disk that held them\n");
    }
    text += &format!("failed       {}\n", listed(report.failed.iter().map(|(why, count)| (*why, *count))));
    text += &format!("counted      {}\n", listed(report.counts.iter().map(|(what, count)| (*what, *count))));
    text += &format!("hash         {:016x}\n", report.hash);
    let found = report.found.len();
    text += &match found {
        0 => "violations   none\n".to_owned(),
        _ => format!("violations   {found}\n"),
    };
    print(text.as_bytes());
}

fn listed<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let counts: Vec<String> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// What was said beside what was true of the same reads and writes.
fn compared(report: &Report) -> String {
    let compared = &report.compared;
    let Some((low, high, truth)) = compared.stale_rates() else { return String::new() };
    let mut text = format!(
        "said         stale {:.4} to {:.4} % of {} reads; truly {:.4} %\n             (bounds only: {} stale reads, {} writes)\n",
        low * 100.0,
        high * 100.0,
        compared.reads,
        truth * 100.0,
        compared.bounded_reads,
        compared.bounded
    );
    let pairs =
        [("age", &compared.age), ("exposure", &compared.exposure), ("convergence", &compared.convergence)];
    for (name, (truth, said)) in pairs {
        text += &format!(
            "             {name} {}\n             {:>name_len$} {}\n",
            times(said),
            "truly",
            times(truth),
            name_len = name.len()
        );
    }
    text
}

fn times(times: &Times) -> String {
    let at = |p| times.percentile_ms(p);
    match (at(0.5), at(0.99), at(0.999)) {
        (Some(p50), Some(p99), Some(p999)) => {
            format!("p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms")
        }
        _ => "no time".to_owned(),
    }
}

/// One line for a seed of a soak.
pub(super) fn soaked(outcome: &Outcome) {
    let verdict =
        outcome.violation.as_ref().map_or_else(|| "ok".to_owned(), |(violation, _)| violation.to_string());
    let faults: u64 = outcome.faults.values().sum();
    let Outcome { seed, operations, .. } = outcome;
    print(format!("seed {seed}: {operations} operations, {faults} faults, {verdict}\n").as_bytes());
}

/// All lines of a run.
pub(super) fn trace(outcome: &Outcome) {
    let lines: Vec<String> = outcome.trace.about(None).map(|line| format!("{line}\n")).collect();
    print(lines.concat().as_bytes());
}

/// A violation, and how to come back to it.
pub(super) fn violation(args: &RunArgs, found: &Found, shrunk: Option<&Shrunk>, json: bool) {
    let Found { seed, operations, violation } = found;
    let mut text = format!("\nVIOLATION of invariant {}\n  {}\n", violation.invariant, violation.what);
    text += &format!("  seed {seed}, after {operations} operations\n  replay     {}\n", replay(args, *seed));
    if let Some(Shrunk { scenario, file, outcome }) = shrunk {
        let (steps, faults) = (scenario.steps().count(), scenario.faults.len());
        text += &format!("  shortened  to {steps} operations and {faults} faults");
        text += &match file {
            Ok(path) => format!(": neap sim --scenario {}\n", path.display()),
            Err(error) => format!("; it could not be written to {error}\n"),
        };
        let key = outcome.violation.as_ref().and_then(|(violation, _)| violation.key);
        let lines: Vec<String> = outcome.trace.about(key).map(|line| format!("  {line}\n")).collect();
        let skipped = lines.len().saturating_sub(LINES_MAX);
        if skipped > 0 {
            text += &format!("  … {skipped} lines before\n");
        }
        text += &lines.into_iter().skip(skipped).collect::<String>();
    }
    if json { say(&text) } else { print(text.as_bytes()) }
}

/// The command that runs a seed again.
fn replay(args: &RunArgs, seed: u64) -> String {
    if let Some(path) = &args.scenario {
        return format!("neap sim --scenario {} --trace", path.display());
    }
    let mut command = format!("neap sim --seed {seed}");
    let mut add = |name: &str, given: String, usual: &str| {
        if given != usual {
            command += &format!(" --{name} {given}");
        }
    };
    add("nodes", args.nodes.to_string(), "5");
    add("zones", args.zones.to_string(), "1");
    add("quorum", args.quorum.clone(), "3,2,2");
    add("faults", args.faults.name().to_owned(), Level::Light.name());
    add("latency", args.latency.clone(), "lnkd-ssd");
    add("ops", args.ops.to_string(), "10000");
    command + " --trace"
}

/// The document of `--json`.
pub(super) fn json(args: &RunArgs, report: &Report, wall: Duration) {
    let faults: BTreeMap<&str, u64> = Kind::ALL
        .into_iter()
        .filter_map(|kind| report.faults.get(&kind).map(|count| (kind.name(), *count)))
        .collect();
    let violations: Vec<Value> = report
        .found
        .iter()
        .map(|found| {
            json!({
                "invariant": found.violation.invariant.name(),
                "number": found.violation.invariant.number(),
                "what": found.violation.what,
                "seed": found.seed,
                "operations": found.operations,
                "replay": replay(args, found.seed),
            })
        })
        .collect();
    let ms = |times: &Times| {
        json!({
            "count": times.count(),
            "p50": times.percentile_ms(0.5),
            "p99": times.percentile_ms(0.99),
            "p999": times.percentile_ms(0.999),
        })
    };
    print_json(&json!({
        "seeds": report.seeds,
        "operations": report.operations,
        "events": report.events,
        "wall_s": wall.as_secs_f64(),
        "faults": faults,
        "violations": violations,
        "reported": {
            "reads": report.reads,
            "writes": report.writes,
            "failed": report.failed,
            "verdicts": report.verdicts,
            "late_verdicts": report.late_verdicts,
            "stale_read_rate": report.reported_stale_rate().map(|(low, high)| json!({"low": low, "high": high})),
            "counts": report.counts,
            "staleness_age_ms": ms(&report.compared.age.1),
            "exposure_ms": ms(&report.compared.exposure.1),
            "convergence_ms": ms(&report.compared.convergence.1),
            "read_ms": ms(&report.read_took),
            "write_ms": ms(&report.write_took),
        },
        "truth": {
            "versions": report.versions,
            "stale_reads": report.stale,
            "stale_read_rate": report.stale_rate(),
            "staleness_age_ms": ms(&report.age),
            "exposure_ms": ms(&report.exposure),
            "convergence_ms": ms(&report.convergence),
            "of_what_was_reported": {
                "stale_read_rate": report.compared.stale_rates().map(|(_, _, truth)| truth),
                "staleness_age_ms": ms(&report.compared.age.0),
                "exposure_ms": ms(&report.compared.exposure.0),
                "convergence_ms": ms(&report.compared.convergence.0),
            },
        },
        "hash": format!("{:016x}", report.hash),
    }));
}
