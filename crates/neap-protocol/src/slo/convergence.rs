//! The objective on convergence: P99.9 over the writes of the window, and none unconverged for long.
//!
//! What has not converged counts in every percentile as at least its present age. Shards do not say which buckets
//! those writes are of: for a set of buckets none of them count for the lower end, and all for the upper.

use super::age::few;
use super::document::{ConvergenceView, Objective, SloState, SloUnit};
use super::plan::{Plan, Promise};
use super::verdict::Findings;
use super::windows::Converged;
use super::words::{between, count, seconds, span};
use crate::sli::Times;

/// Writes that some home lacks, as they stand at the moment of which something is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// Their ages, in microseconds, with their counts.
    pub ages: Vec<(u64, u64)>,
    /// Writes of which it is not known whether all homes have them.
    pub untracked: u64,
}

impl Pending {
    /// The most ages that are kept when they are added up.
    const AGES_MAX: usize = 4_096;

    /// Adds others. The youngest of too many ages count as old as the youngest that is kept: never younger than they are.
    pub fn merge(&mut self, other: &Self) {
        self.untracked = self.untracked.saturating_add(other.untracked);
        self.ages.extend(&other.ages);
        if self.ages.len() > Self::AGES_MAX {
            self.ages.sort_unstable_by(|a, b| b.cmp(a));
            let younger = self.ages.split_off(Self::AGES_MAX);
            let younger = younger.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
            if let Some((_, last)) = self.ages.last_mut() {
                *last = last.saturating_add(younger);
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.older_than(None)
    }

    /// The age of the oldest, in microseconds.
    #[must_use]
    pub fn oldest_us(&self) -> Option<u64> {
        self.ages.iter().filter(|(_, count)| *count > 0).map(|(age_us, _)| *age_us).max()
    }

    fn older_than(&self, level_us: Option<u64>) -> u64 {
        let older = self.ages.iter().filter(|(age_us, _)| level_us.is_none_or(|level| *age_us > level));
        older.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

fn times(converged: &Converged, pending: Option<&Pending>) -> Times {
    let mut times = Times::default();
    times.add(&converged.times);
    for (age_us, count) in pending.into_iter().flat_map(|pending| &pending.ages) {
        times.record_many(*age_us, *count);
    }
    times
}

fn quantile_s(times: &Times, quantile: f64) -> Option<f64> {
    times.quantile(quantile).map(|us| us as f64 / 1e6)
}

/// What writes took, with those that have not converged.
#[must_use]
pub fn view(converged: &Converged, pending: &Pending) -> ConvergenceView {
    let times = times(converged, Some(pending));
    ConvergenceView {
        p50_s: quantile_s(&times, 0.5),
        p999_s: quantile_s(&times, 0.999),
        unconverged: pending.count(),
        oldest_s: pending.oldest_us().map(|us| us as f64 / 1e6),
        untracked: pending.untracked,
    }
}

/// Whether more than one in a thousand are above: then, and only then, P99.9 is.
fn p999_is_above(all: u64, above: u64) -> bool {
    above.saturating_mul(1_000) > all
}

/// How it stands.
pub fn objective(plan: &Plan, promise: &Promise, converged: &Converged, pending: &Pending) -> Objective {
    let level = promise.convergence;
    let target = level.target as f64 / 1e6;
    let high = quantile_s(&times(converged, Some(pending)), 0.999);
    let low = match promise.name {
        None => high,
        Some(_) => quantile_s(&times(converged, None), 0.999),
    };
    let all = converged.count.saturating_add(pending.count());
    let enough = all > 0 && all >= plan.min_reads;
    let is_above = |above: u64, level_us: u64| {
        enough && p999_is_above(all, above.saturating_add(pending.older_than(Some(level_us))))
    };
    let window = span(plan.convergence_window_us);
    let text = |end: Option<f64>| seconds(end.unwrap_or(0.0));
    let found = format!(
        "P99.9 of the convergence of {} writes in the last {window} is {}",
        count(all),
        between(&text(low), &text(high))
    );
    let note = note(promise, pending);
    let (late, oldest) = (pending.older_than(Some(promise.unconverged_us)), pending.oldest_us());
    let mut findings = Findings::default();
    findings.when(late > 0, SloState::Page, || {
        format!(
            "{} not on every home though committed more than {} ago, the oldest {} ago{note}",
            are(late),
            seconds(promise.unconverged_us as f64 / 1e6),
            seconds(oldest.unwrap_or(0) as f64 / 1e6)
        )
    });
    findings.when(is_above(converged.above_page, level.page), SloState::Page, || {
        format!("{found}; the objective is {}{note}", seconds(target))
    });
    findings.when(is_above(converged.above_ticket, level.ticket), SloState::Ticket, || {
        format!(
            "{found}, above {}; the objective is {}{note}",
            seconds(level.ticket as f64 / 1e6),
            seconds(target)
        )
    });
    let (state, why) = findings.or(
        enough,
        || format!("{}{note}", few(all, plan.min_reads, "writes", &window)),
        || format!("{found}; the objective is {}{note}", seconds(target)),
    );
    Objective {
        name: promise.objective("convergence_p999"),
        unit: SloUnit::Seconds,
        window_us: plan.convergence_window_us,
        target,
        low,
        high,
        budget_remaining: None,
        burn_rates: Vec::new(),
        state,
        why,
    }
}

fn writes(number: u64) -> String {
    if number == 1 { "1 write".to_owned() } else { format!("{} writes", count(number)) }
}

fn are(number: u64) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", writes(number))
}

fn note(promise: &Promise, pending: &Pending) -> String {
    let mut notes = Vec::new();
    if promise.name.is_some() && pending.count() > 0 {
        notes.push("which of the unconverged writes are of this set is not known".to_owned());
    }
    if pending.untracked > 0 {
        notes.push(format!(
            "of {} more it is not known whether all homes have them",
            writes(pending.untracked)
        ));
    }
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_ages_are_folded_into_older_ones_and_none_is_lost() {
        let ages =
            |of: std::ops::Range<u64>| Pending { ages: of.map(|age| (age, 1)).collect(), untracked: 1 };
        let mut all = ages(0..4_000);
        all.merge(&ages(4_000..8_000));
        assert_eq!(
            (all.ages.len(), all.count(), all.oldest_us(), all.untracked),
            (4_096, 8_000, Some(7_999), 2)
        );
        assert_eq!(all.older_than(Some(3_903)), 8_000);
    }
}
