//! The objective on stale reads: their share, its budget, and how fast that is used up.
//!
//! Burn rates over two windows each: the long one shows that it matters, the short one that it still goes on
//! (Google, "The Site Reliability Workbook", chapter 5).

use super::age::few;
use super::document::{BurnRate, Objective, SloState, SloUnit, StaleRate};
use super::plan::{Burn, Plan, Promise, StaleCounts};
use super::verdict::Findings;
use super::windows::Windows;
use super::words::{between, count, share, span};
use crate::protocol::sli::ReadTally;

/// The share of stale reads; none of nothing.
#[must_use]
pub fn rate(tally: &ReadTally) -> Option<StaleRate> {
    let known = tally.known();
    let of = |reads: u64| reads as f64 / known as f64;
    let suspect = tally.stale.saturating_add(tally.suspect);
    (known > 0).then(|| StaleRate {
        low: of(tally.stale),
        high: of(suspect),
        any_replica_high: of(suspect.saturating_add(tally.behind)),
    })
}

/// The reads that count against the objective: at least, and at most.
fn counted(tally: &ReadTally, counts: StaleCounts) -> (u64, u64) {
    let behind = match counts {
        StaleCounts::Committed => 0,
        StaleCounts::AnyReplica => tally.behind,
    };
    let low = tally.stale.saturating_add(behind);
    (low, low.saturating_add(tally.suspect))
}

/// The upper end of the share over a window; none of too few reads.
fn high_over(plan: &Plan, windows: &Windows, now_us: u64, span_us: u64) -> Option<f64> {
    let tally = windows.reads_over(now_us, span_us);
    let known = tally.known();
    (known > 0 && known >= plan.min_reads).then(|| counted(&tally, plan.stale_counts).1 as f64 / known as f64)
}

/// How it stands.
pub fn objective(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Objective {
    let level = promise.stale;
    let tally = windows.reads_over(now_us, plan.window_us);
    let known = tally.known();
    let (least, most) = counted(&tally, plan.stale_counts);
    let of = |reads: u64| (known > 0).then(|| reads as f64 / known as f64);
    let (low, high) = (of(least), of(most));
    let enough = known > 0 && known >= plan.min_reads;
    let shown = |end: Option<f64>| share(end.unwrap_or(0.0));
    let (window, sampled) = (span(plan.window_us), sampled(&tally));
    let found = format!(
        "{} of {} reads in the last {window} were stale",
        between(&shown(low), &shown(high)),
        count(known)
    );
    let above = |than: f64| enough && high.is_some_and(|high| high > than);
    let mut findings = Findings::default();
    findings.when(above(level.page), SloState::Page, || {
        format!("{found}; the objective is {}{sampled}", share(level.target))
    });
    let burning = |burn: &Burn| {
        let rate = |span_us| high_over(plan, windows, now_us, span_us).map(|high| high / level.target);
        let (long, short) = (rate(burn.long_us)?, rate(burn.short_us)?);
        (long > burn.rate && short > burn.rate).then_some(long)
    };
    for (burns, state) in [(&plan.page_burns, SloState::Page), (&plan.ticket_burns, SloState::Ticket)] {
        for (burn, rate) in burns.iter().filter_map(|burn| burning(burn).map(|rate| (burn, rate))) {
            findings.when(true, state, || burns_away(plan, burn, rate, &sampled));
        }
    }
    findings.when(above(level.ticket), SloState::Ticket, || {
        format!("{found}, above {}; the objective is {}{sampled}", share(level.ticket), share(level.target))
    });
    let (state, why) = findings.or(
        enough,
        || format!("{}{sampled}", few(known, plan.min_reads, "reads of known verdict", &window)),
        || format!("{found}; the objective is {}{sampled}", share(level.target)),
    );
    Objective {
        name: promise.objective("stale_reads"),
        unit: SloUnit::Ratio,
        window_us: plan.window_us,
        target: level.target,
        low,
        high,
        budget_remaining: budget(plan, promise, windows, now_us),
        burn_rates: burn_rates(plan, promise, windows, now_us),
        state,
        why,
    }
}

fn burns_away(plan: &Plan, burn: &Burn, rate: f64, sampled: &str) -> String {
    format!(
        "stale reads used up their budget of {} at {rate:.1} times the rate that it lasts for in the last {}, and \
         above {} times in the last {}{sampled}",
        span(plan.budget_window_us),
        span(burn.long_us),
        burn.rate,
        span(burn.short_us),
    )
}

/// The share of the stale reads that the reads of the budget's window may have had and have not had.
fn budget(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Option<f64> {
    let tally = windows.reads_over(now_us, plan.budget_window_us);
    let allowed = tally.known() as f64 * promise.stale.target;
    (allowed > 0.0).then(|| 1.0 - counted(&tally, plan.stale_counts).1 as f64 / allowed)
}

fn burn_rates(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Vec<BurnRate> {
    let burns = plan.page_burns.iter().chain(&plan.ticket_burns);
    let mut spans: Vec<u64> = burns.flat_map(|burn| [burn.long_us, burn.short_us]).collect();
    spans.sort_unstable();
    spans.dedup();
    let rate = |window_us| {
        let rate = high_over(plan, windows, now_us, window_us).map(|high| high / promise.stale.target);
        BurnRate { window_us, rate }
    };
    spans.into_iter().map(rate).collect()
}

/// What to add where not every read was to have a verdict.
fn sampled(tally: &ReadTally) -> String {
    match tally.unsampled {
        0 => String::new(),
        unsampled => {
            let seen = tally.known().saturating_add(tally.unknown_total());
            let all = seen.saturating_add(unsampled);
            format!(
                " (of {} of the reads, since staleness.probe samples them)",
                share(seen as f64 / all as f64)
            )
        }
    }
}
