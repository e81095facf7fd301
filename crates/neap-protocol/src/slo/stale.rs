//! The objective on stale reads: their share, its budget, and how fast that is used up.
//!
//! Burn rates over two windows each: the long one shows that it matters, the short one that it still goes on
//! (Google, "The Site Reliability Workbook", chapter 5).
//!
//! The share lies in an interval over all sampled reads that were answered. Reads that could not be judged count as fresh
//! for its lower end and as stale for its upper end, as suspects do. Alerts go by the share among the judged reads. Where
//! that is fine, and the others could make it worse than promised, nobody knows how the objective stands.

use super::age::few;
use super::document::{BurnRate, Objective, SloState, SloUnit, StaleRate};
use super::plan::{Burn, Plan, Promise, StaleCounts};
use super::ring::Ring;
use super::verdict::Findings;
use super::windows::{Silence, Windows};
use super::words::{between, count, share, span};
use crate::ids::NodeId;
use crate::planted::{self, Bug};
use crate::sli::{CAUSE_NAMES, ReadTally};

/// Replicas that a sentence names at the most.
const NAMED_MAX: usize = 4;

/// The share of stale reads; none of no reads.
#[must_use]
pub fn rate(tally: &ReadTally) -> Option<StaleRate> {
    let shares = Shares::of(tally, StaleCounts::Committed)?;
    let any_replica = Shares::of(tally, StaleCounts::AnyReplica)?;
    Some(StaleRate {
        low: Some(shares.low),
        high: Some(shares.high),
        judged: shares.judged,
        any_replica_high: Some(any_replica.high),
    })
}

/// Shares of stale reads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shares {
    /// The truth about all sampled reads is not below this.
    low: f64,
    /// The truth about all sampled reads is not above this.
    high: f64,
    /// The most that it can be among the judged reads; none if no read was judged.
    judged: Option<f64>,
}

impl Shares {
    /// None of no reads.
    fn of(tally: &ReadTally, counts: StaleCounts) -> Option<Self> {
        let behind = match counts {
            StaleCounts::Committed => 0,
            StaleCounts::AnyReplica => tally.behind,
        };
        let least = tally.stale.saturating_add(behind);
        let most = least.saturating_add(tally.suspect);
        let unjudged = if planted::has(Bug::UnjudgedLeftOut) { 0 } else { tally.unknown_total() };
        let (all, known) = (tally.known().saturating_add(unjudged), tally.known());
        let of = |reads: u64, all: u64| reads as f64 / all as f64;
        (all > 0).then(|| Self {
            low: of(least, all),
            high: of(most.saturating_add(unjudged), all),
            judged: (known > 0).then(|| of(most, known)),
        })
    }
}

/// The reads of one window, as far as they are enough to say something.
#[derive(Debug, Clone, Copy)]
struct Over {
    /// The share among judged reads.
    judged: Option<f64>,
    /// The upper end of the share among all sampled reads.
    high: Option<f64>,
}

fn over(plan: &Plan, windows: &Windows, now_us: u64, span_us: u64) -> Over {
    let tally = windows.reads_over(now_us, span_us);
    let shares = Shares::of(&tally, plan.stale_counts);
    let enough = |reads: u64| reads > 0 && reads >= plan.min_reads;
    Over {
        judged: shares.filter(|_| enough(tally.known())).and_then(|shares| shares.judged),
        high: shares.filter(|_| enough(tally.sampled())).map(|shares| shares.high),
    }
}

/// How it stands.
pub fn objective(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Objective {
    let level = promise.stale;
    let tally = windows.reads_over(now_us, plan.window_us);
    let shares = Shares::of(&tally, plan.stale_counts);
    let (low, high) = (shares.map(|shares| shares.low), shares.map(|shares| shares.high));
    let Over { judged, high: high_of_enough } = over(plan, windows, now_us, plan.window_us);
    let shown = |end: Option<f64>| share(end.unwrap_or(0.0));
    let (window, sampled) = (span(plan.window_us), sampled(&tally));
    let unjudged = unjudged(&tally, &windows.silence, now_us);
    let found = match tally.unknown_total() {
        0 => format!(
            "{} of {} reads in the last {window} were stale",
            between(&shown(low), &shown(high)),
            count(tally.sampled())
        ),
        _ => format!(
            "{} of the {} judged reads in the last {window} were stale, and {} of all {}",
            shares.and_then(|shares| shares.judged).map_or_else(|| "none".to_owned(), share),
            count(tally.known()),
            between(&shown(low), &shown(high)),
            count(tally.sampled())
        ),
    };
    let mut findings = Findings::default();
    let above = |share: Option<f64>, than: f64| share.is_some_and(|share| share > than);
    findings.when(above(judged, level.page), SloState::Page, || {
        format!("{found}; the objective is {}{unjudged}{sampled}", share(level.target))
    });
    let rates = |of: fn(&Over) -> Option<f64>, burn: &Burn| {
        let rate = |span_us| of(&over(plan, windows, now_us, span_us)).map(|share| share / level.target);
        let (long, short) = (rate(burn.long_us)?, rate(burn.short_us)?);
        (long > burn.rate && short > burn.rate).then_some(long)
    };
    let burning = |burn: &Burn| rates(|over| over.judged, burn);
    for (burns, state) in [(&plan.page_burns, SloState::Page), (&plan.ticket_burns, SloState::Ticket)] {
        for (burn, rate) in burns.iter().filter_map(|burn| burning(burn).map(|rate| (burn, rate))) {
            findings.when(true, state, || burns_away(plan, burn, rate, &sampled));
        }
    }
    findings.when(above(judged, level.ticket), SloState::Ticket, || {
        format!(
            "{found}, above {}; the objective is {}{unjudged}{sampled}",
            share(level.ticket),
            share(level.target)
        )
    });
    let burns = plan.page_burns.iter().chain(&plan.ticket_burns);
    let could_burn = burns.clone().any(|burn| rates(|over| over.high, burn).is_some());
    findings.when(above(high_of_enough, level.ticket) || could_burn, SloState::Unknown, || {
        format!("{found}; the objective is {}{unjudged}{sampled}", share(level.target))
    });
    let (state, why) = findings.or(
        judged.is_some(),
        || format!("{}{sampled}", few(tally.known(), plan.min_reads, "reads of known verdict", &window)),
        || format!("{found}; the objective is {}{unjudged}{sampled}", share(level.target)),
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

/// The share of the stale reads that the judged reads of the budget's window may have had and have not had.
fn budget(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Option<f64> {
    let tally = windows.reads_over(now_us, plan.budget_window_us);
    let judged = Shares::of(&tally, plan.stale_counts)?.judged?;
    (promise.stale.target > 0.0).then(|| 1.0 - judged / promise.stale.target)
}

fn burn_rates(plan: &Plan, promise: &Promise, windows: &Windows, now_us: u64) -> Vec<BurnRate> {
    let burns = plan.page_burns.iter().chain(&plan.ticket_burns);
    let mut spans: Vec<u64> = burns.flat_map(|burn| [burn.long_us, burn.short_us]).collect();
    spans.sort_unstable();
    spans.dedup();
    let rate = |window_us| {
        let judged = over(plan, windows, now_us, window_us).judged;
        BurnRate { window_us, rate: judged.map(|judged| judged / promise.stale.target) }
    };
    spans.into_iter().map(rate).collect()
}

/// A clause on the reads that could not be judged: how many, why, and whose silence it was. Empty if there are none.
pub fn unjudged(tally: &ReadTally, silence: &Ring<Silence>, now_us: u64) -> String {
    let unknown = tally.unknown_total();
    if unknown == 0 {
        return String::new();
    }
    let causes = CAUSE_NAMES.into_iter().zip(tally.unknown).chain([("pending", tally.pending)]);
    let causes = causes.filter(|(_, reads)| *reads > 0);
    let causes: Vec<_> = causes.map(|(name, reads)| format!("{name} {}", count(reads))).collect();
    format!(
        "; {} could not be judged ({}){}",
        count(unknown),
        causes.join(", "),
        silent(&silence.total(now_us).reads.into_iter().collect::<Vec<_>>())
    )
}

fn silent(replicas: &[(NodeId, u64)]) -> String {
    let mut replicas: Vec<_> = replicas.iter().filter(|(_, reads)| *reads > 0).collect();
    replicas.sort_by_key(|(replica, reads)| (std::cmp::Reverse(*reads), replica));
    let named: Vec<_> = replicas
        .iter()
        .take(NAMED_MAX)
        .map(|(replica, reads)| format!("{replica} at {}", count(*reads)))
        .collect();
    match replicas.len().saturating_sub(NAMED_MAX) {
        _ if named.is_empty() => String::new(),
        0 => format!(", as replicas were silent: {}", named.join(", ")),
        more => format!(", as replicas were silent: {}, and {more} more", named.join(", ")),
    }
}

/// A remark where not every read was to have a verdict.
fn sampled(tally: &ReadTally) -> String {
    match tally.unsampled {
        0 => String::new(),
        unsampled => {
            let seen = tally.sampled();
            let all = seen.saturating_add(unsampled);
            format!(
                " (of {} of the reads, since staleness.probe samples them)",
                share(seen as f64 / all as f64)
            )
        }
    }
}
