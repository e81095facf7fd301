//! What is said of the objectives at one moment.

use crate::ids::NodeId;
use crate::sli::{LegView, ReadTally};

/// Of whom it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SloScope {
    /// What this node coordinated.
    Node,
    /// What all nodes that answered did.
    Cluster,
}

impl SloScope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Node, Self::Cluster];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }
}

/// How an objective stands; the worse the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SloState {
    /// Too little was seen to say.
    NoData,
    /// As promised.
    Ok,
    /// Fine as far as is known, and too much is not known.
    Unknown,
    /// Somebody should look in the morning.
    Ticket,
    /// Somebody should look now.
    Page,
}

impl SloState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// In what an objective is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SloUnit {
    /// Seconds.
    Seconds,
    /// A share, 0 to 1.
    Ratio,
}

impl SloUnit {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Ratio => "ratio",
        }
    }
}

/// The true share of stale reads, of all sampled reads that were answered, lies between `low` and `high`. They are none
/// where nothing is known of what some node served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StaleRate {
    /// Suspects, and reads that could not be judged, counted as fresh.
    pub low: Option<f64>,
    /// Both counted as stale.
    pub high: Option<f64>,
    /// Of the judged reads alone, with suspects counted as stale: alerts go by it. None if no read was judged.
    pub judged: Option<f64>,
    /// The upper end with reads that missed a version that was not committed.
    pub any_replica_high: Option<f64>,
}

/// How fast the budget is used up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnRate {
    /// Over this, in microseconds.
    pub window_us: u64,
    /// Times the rate that uses it up exactly; none of too few reads.
    pub rate: Option<f64>,
}

/// One objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Its name, with that of its set of buckets in brackets.
    pub name: String,
    /// In what it is measured.
    pub unit: SloUnit,
    /// Over which time, in microseconds.
    pub window_us: u64,
    /// What is promised at the most.
    pub target: f64,
    /// The truth is not below this; none if nothing was seen.
    pub low: Option<f64>,
    /// The truth is not above this; alerts go by it.
    pub high: Option<f64>,
    /// The share of the budget that is left, below 0 when it is overdrawn; none for objectives without one.
    pub budget_remaining: Option<f64>,
    /// How fast it is used up, the shortest window first; empty for objectives without a budget.
    pub burn_rates: Vec<BurnRate>,
    /// How it stands.
    pub state: SloState,
    /// Why, in a sentence.
    pub why: String,
}

/// What writes took to reach all their homes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ConvergenceView {
    /// The median, in seconds, with what has not converged yet.
    pub p50_s: Option<f64>,
    /// P99.9, in seconds, with what has not converged yet.
    pub p999_s: Option<f64>,
    /// Writes that some home lacks.
    pub unconverged: u64,
    /// The age of the oldest of them, in seconds.
    pub oldest_s: Option<f64>,
    /// Writes of which it is not known whether all homes have them.
    pub untracked: u64,
}

/// All that is said at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SloDocument {
    /// Of whom.
    pub scope: SloScope,
    /// Over which time reads are counted, in microseconds.
    pub window_us: u64,
    /// The reads.
    pub reads: ReadTally,
    /// The share of stale ones; none if nothing was seen.
    pub stale_read_rate: Option<StaleRate>,
    /// P95 of the staleness age over reads of known verdict, in seconds, with suspects as the oldest.
    pub staleness_age_p95_s: Option<f64>,
    /// The same among stale reads.
    pub stale_age_p95_s: Option<f64>,
    /// P95 of the exposure over reads of known verdict, in seconds, with suspects as the longest.
    pub exposure_p95_s: Option<f64>,
    /// The same among stale reads.
    pub stale_exposure_p95_s: Option<f64>,
    /// What writes took.
    pub convergence: ConvergenceView,
    /// What the legs of operations took in the last minute; empty of the cluster.
    pub legs: Vec<LegView>,
    /// Those of all buckets first, then of each set.
    pub objectives: Vec<Objective>,
    /// Nodes that did not answer, or not in the same terms, when the cluster was asked. While there are some, the
    /// objectives have no bounds and are at best in state `unknown`.
    pub unreachable: Vec<NodeId>,
}
