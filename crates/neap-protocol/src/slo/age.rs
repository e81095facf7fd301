//! The objective on the staleness age: P95 over the reads of known verdict.
//!
//! A suspect read has no age that anybody knows, but one that it may have at the most. Alerts go by that. The interval that
//! is shown keeps no such ages: there a suspect counts as fresh for the lower end, and as the oldest for the upper.

use super::document::{Objective, SloState, SloUnit};
use super::plan::{Plan, Promise};
use super::ring::Ring;
use super::stale::unjudged;
use super::verdict::Findings;
use super::windows::{Ages, Minute, Windows};
use super::words::{between, count, seconds, share, span};
use crate::sli::{Sparse, Times, VALUE_MAX_US};

/// Whether more than one in twenty are above: then, and only then, P95 is.
fn p95_is_above(known: u64, above: u64) -> bool {
    above.saturating_mul(20) > known
}

/// P95, in seconds, of reads of which the stale ones took `times` and the suspects `suspect_us`.
pub fn p95_s(known: u64, suspect: u64, suspect_us: u64, times: &Sparse) -> Option<f64> {
    let mut all = Times::default();
    all.add(times);
    all.record_many(suspect_us, suspect);
    all.record_many(0, known.saturating_sub(all.count()));
    all.quantile(0.95).map(|us| us as f64 / 1e6)
}

/// Both ends of P95.
pub fn interval_s(ages: &Ages, times: &Sparse) -> (Option<f64>, Option<f64>) {
    let end = |suspect_us| p95_s(ages.known, ages.suspect, suspect_us, times);
    (end(0), end(VALUE_MAX_US))
}

/// For how long minutes have been above without one between that was not, in microseconds. A minute without reads
/// says nothing: it neither counts nor interrupts. The minute that is being filled goes with the one before it, so
/// that its first reads do not make the alert flutter.
fn above_for_us(minutes: &Ring<Minute>, now_us: u64, above: impl Fn(&Minute) -> u64) -> u64 {
    let current = minutes.number(now_us);
    let (mut whole, mut goes_on) = (0_u64, false);
    for (number, minute) in minutes.within(now_us).rev() {
        if number == current || minute.known == 0 {
            continue;
        }
        if !p95_is_above(minute.known, above(minute)) {
            break;
        }
        goes_on |= number + 1 == current;
        whole += 1;
    }
    let part = if goes_on { now_us % minutes.slot_us() } else { 0 };
    whole.saturating_mul(minutes.slot_us()).saturating_add(part)
}

/// Whole minutes within the last `within_us` that were above.
fn minutes_above(minutes: &Ring<Minute>, now_us: u64, within_us: u64, plan: &Plan) -> u64 {
    let current = minutes.number(now_us);
    let first = current.saturating_sub(within_us / minutes.slot_us());
    let lately = minutes.within(now_us).filter(|(number, _)| (first..current).contains(number));
    let above = lately.filter(|(_, minute)| p95_is_above(minute.known, minute.above_ticket)).count() as u64;
    above.saturating_mul(minutes.slot_us() / plan.minute_us.max(1))
}

/// How it stands.
pub fn objective(plan: &Plan, promise: &Promise, windows: &Windows, ages: &Ages, now_us: u64) -> Objective {
    let level = promise.age;
    let target = level.target as f64 / 1e6;
    let (low, high) = interval_s(ages, &ages.ages);
    let text = |end: Option<f64>| seconds(end.unwrap_or(0.0));
    let value = between(&text(low), &text(high));
    let (window, enough) = (span(plan.window_us), ages.known >= plan.min_reads);
    let suspects = match ages.suspect {
        0 => String::new(),
        some => format!(
            " ({} of the reads are suspect: what they missed, if anything, nobody knows)",
            share(some as f64 / ages.known.max(1) as f64)
        ),
    };
    let tally = windows.reads_over(now_us, plan.window_us);
    let unjudged = unjudged(&tally, &windows.silence, now_us);
    let mut findings = Findings::default();
    let lasted = above_for_us(&windows.minutes, now_us, |minute| minute.above_page);
    findings.when(enough && lasted > plan.age_page_for_us, SloState::Page, || {
        format!(
            "P95 of the staleness age has been above {} for {}, longer than {}; over the last {window} it is \
             {value}{suspects}",
            seconds(level.page as f64 / 1e6),
            seconds(lasted as f64 / 1e6),
            span(plan.age_page_for_us),
        )
    });
    let minutes = minutes_above(&windows.minutes, now_us, plan.age_ticket_within_us, plan);
    findings.when(enough && minutes >= plan.age_ticket_minutes, SloState::Ticket, || {
        format!(
            "P95 of the staleness age was above {} in {} minutes of the last {}; {} are reason for a \
             ticket{suspects}",
            seconds(level.ticket as f64 / 1e6),
            count(minutes),
            span(plan.age_ticket_within_us),
            count(plan.age_ticket_minutes),
        )
    });
    // Nobody knows how old the answers to unjudged reads were.
    let unknown = ages.suspect.saturating_add(tally.unknown_total());
    let all = ages.known.saturating_add(tally.unknown_total());
    let most = p95_s(all, unknown, VALUE_MAX_US, &ages.ages);
    let could_be = tally.unknown_total() > 0
        && all >= plan.min_reads
        && most.is_some_and(|most| most > level.ticket as f64 / 1e6);
    findings.when(could_be, SloState::Unknown, || {
        format!(
            "P95 of the staleness age of the {} judged reads in the last {window} is {value}; the objective is \
             {}{unjudged}{suspects}",
            count(ages.known),
            seconds(target)
        )
    });
    let (state, why) = findings.or(
        enough,
        || few(ages.known, plan.min_reads, "reads of known verdict", &window),
        || {
            let known = count(ages.known);
            format!(
                "P95 of the staleness age of {known} reads in the last {window} is {value}; the objective is {}\
                 {suspects}",
                seconds(target)
            )
        },
    );
    Objective {
        name: promise.objective("age_p95"),
        unit: SloUnit::Seconds,
        window_us: plan.window_us,
        target,
        low,
        high,
        budget_remaining: None,
        burn_rates: Vec::new(),
        state,
        why,
    }
}

/// Why nothing is said.
pub fn few(seen: u64, least: u64, what: &str, window: &str) -> String {
    format!("only {} {what} in the last {window}; fewer than {} say nothing", count(seen), count(least))
}
