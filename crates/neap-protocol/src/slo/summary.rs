//! What a node knows of its objectives, as one value: it can be evaluated, stored, sent, and added up with those of
//! others.

use super::convergence::{self, Pending};
use super::document::{Objective, SloDocument, SloScope, SloState, StaleRate};
use super::plan::{BucketPattern, Plan, Promise};
use super::windows::Windows;
use super::{age, stale};
use crate::ids::NodeId;

/// The windows of one promise, with what tells whether another's are of the same buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summarised {
    /// The set's name; none for all buckets.
    pub name: Option<String>,
    /// Its buckets.
    pub buckets: Vec<BucketPattern>,
    /// What happened lately.
    pub windows: Windows,
}

impl Summarised {
    /// Nothing happened.
    #[must_use]
    pub fn empty(plan: &Plan, promise: &Promise) -> Self {
        let (name, buckets) = (promise.name.clone(), promise.buckets.clone());
        Self { name, buckets, windows: Windows::new(plan, promise) }
    }

    fn is_of_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.buckets == other.buckets
    }
}

/// What one node, or several together, know at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SloSummary {
    /// The moment, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// A promise each, that about all buckets first.
    pub promises: Vec<Summarised>,
    /// Writes that some home lacks.
    pub pending: Pending,
}

impl SloSummary {
    /// Nothing happened.
    #[must_use]
    pub fn empty(plan: &Plan, at_us: u64) -> Self {
        let promises = plan.promises().map(|promise| Summarised::empty(plan, promise)).collect();
        Self { at_us, promises, pending: Pending::default() }
    }

    /// Adds what another knows. Sets that this one does not have, or has with other buckets, are left out.
    pub fn merge(&mut self, other: &Self) {
        for theirs in &other.promises {
            if let Some(mine) = self.promises.iter_mut().find(|mine| mine.is_of_the_same(theirs)) {
                mine.windows.merge(self.at_us, &theirs.windows);
            }
        }
        self.pending.merge(&other.pending);
    }

    /// How the objectives stand.
    #[must_use]
    pub fn evaluate(&self, plan: &Plan, scope: SloScope, unreachable: Vec<NodeId>) -> SloDocument {
        let windows = self.promises.iter().map(|summarised| &summarised.windows);
        evaluate(plan, windows, &self.pending, self.at_us, (scope, unreachable))
    }
}

/// How the objectives stand at `now_us`. The windows are those of the plan's promises, in their order.
pub fn evaluate<'a>(
    plan: &Plan,
    windows: impl Iterator<Item = &'a Windows> + Clone,
    pending: &Pending,
    now_us: u64,
    (scope, unreachable): (SloScope, Vec<NodeId>),
) -> SloDocument {
    let mut document = SloDocument {
        scope,
        window_us: plan.window_us,
        reads: Default::default(),
        stale_read_rate: None,
        staleness_age_p95_s: None,
        stale_age_p95_s: None,
        exposure_p95_s: None,
        stale_exposure_p95_s: None,
        convergence: Default::default(),
        legs: Vec::new(),
        objectives: Vec::new(),
        unreachable,
    };
    for (promise, windows) in plan.promises().zip(windows) {
        let ages = windows.ages.total(now_us);
        let converged = windows.converged.total(now_us);
        if promise.name.is_none() {
            let known_stale = ages.ages.iter().map(|(_, count)| count).sum();
            document.reads = windows.reads_over(now_us, plan.window_us);
            document.stale_read_rate = stale::rate(&document.reads);
            document.staleness_age_p95_s = age::interval_s(&ages, &ages.ages).1;
            document.exposure_p95_s = age::interval_s(&ages, &ages.exposures).1;
            document.stale_age_p95_s = age::p95_s(known_stale, 0, 0, &ages.ages);
            document.stale_exposure_p95_s = age::p95_s(known_stale, 0, 0, &ages.exposures);
            document.convergence = convergence::view(&converged, pending);
        }
        document.objectives.push(age::objective(plan, promise, windows, &ages, now_us));
        document.objectives.push(stale::objective(plan, promise, windows, now_us));
        document.objectives.push(convergence::objective(plan, promise, &converged, pending));
    }
    if !document.unreachable.is_empty() {
        let away = names(&document.unreachable);
        document.objectives.iter_mut().for_each(|objective| without(objective, &away));
        document.stale_read_rate = document.stale_read_rate.map(|rate| StaleRate {
            low: None,
            high: None,
            any_replica_high: None,
            ..rate
        });
    }
    document
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Says of an objective that nothing is known of what some nodes served. What the others know may still be reason enough
/// to tell somebody.
fn without(objective: &mut Objective, away: &str) {
    let Objective { state, why, .. } = objective;
    let of_the_others = std::mem::take(why);
    *why = match *state {
        SloState::Page | SloState::Ticket => format!("{of_the_others}; {away} did not answer"),
        SloState::NoData | SloState::Ok | SloState::Unknown => {
            *state = SloState::Unknown;
            format!(
                "nothing is known of what {away} served, since no answer came; of the others: {of_the_others}"
            )
        }
    };
    (objective.low, objective.high) = (None, None);
}
