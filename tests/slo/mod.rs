//! The engine of the objectives over hours of simulated time: what fires, when, and when it is over.

mod age;
mod convergence;
mod merging;
mod record;
mod recorder;
mod stale;

use neap::config::{Config, Sources};
use neap::protocol::ids::{BucketName, NodeId};
use neap::protocol::sli::{
    ConvergedObserved, Observation, OperationOutcome, Path, ReadObserved, UnconvergedObserved,
    VerdictObserved,
};
use neap::protocol::slo::{Objective, Plan, Slo, SloDocument, SloState};
use neap::protocol::staleness::{UnknownCause, Verdict};
use neap::protocol::time::{Moment, WallMicros};

pub const SECOND: u64 = 1_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
/// The beginning of a slot of every window there is.
pub const BEGIN: u64 = 20_000 * 30 * DAY;

pub fn plan(sets: &[&str]) -> Plan {
    let set = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::load(&Sources { set, ..Sources::default() }).unwrap().slo.plan()
}

pub const FRESH: Verdict = Verdict::Fresh { all: true };
pub const UNKNOWN: Verdict = Verdict::Unknown(UnknownCause::Timeout);

pub fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

pub fn verdict(of: &str, verdict: Verdict, age_us: u64) -> Observation {
    let missed_by = vec![NodeId::new("n1").unwrap()];
    Observation::Verdict(VerdictObserved {
        bucket: bucket(of),
        began: Moment(0),
        r: 1,
        verdict,
        exposure_us: age_us / 2,
        age_us,
        value_age_us: None,
        missed_by,
        silent: match verdict {
            Verdict::Unknown(_) => vec![NodeId::new("n3").unwrap()],
            _ => Vec::new(),
        },
    })
}

pub fn read(of: &str, sampled: bool) -> Observation {
    Observation::Read(ReadObserved {
        bucket: bucket(of),
        began: Moment(0),
        r: 1,
        outcome: OperationOutcome::Ok,
        duration_us: 900,
        value_age_us: Some(5),
        siblings: 1,
        sampled,
    })
}

pub fn converged(of: &str, convergence_us: u64) -> Observation {
    Observation::Converged(ConvergedObserved {
        bucket: bucket(of),
        path: Path::Direct,
        convergence_us,
        writes: 1,
    })
}

pub fn unconverged(ages: &[(u64, u64)], untracked: u64) -> Observation {
    Observation::Unconverged(UnconvergedObserved { shard: 0, ages: ages.to_vec(), max_lagging: 1, untracked })
}

/// What is observed of a read that began at `at`; anything else as it is.
pub fn began(mut observation: Observation, at: Moment) -> Observation {
    match &mut observation {
        Observation::Read(read) => read.began = at,
        Observation::Verdict(verdict) => verdict.began = at,
        _ => {}
    }
    observation
}

/// An engine in simulated time.
pub struct Timeline {
    pub slo: Slo,
    pub now: u64,
}

impl Timeline {
    pub fn new(sets: &[&str]) -> Self {
        Self { slo: Slo::new(plan(sets)), now: BEGIN }
    }

    /// Takes in what is observed of a read that began just now.
    pub fn take(&mut self, observation: &Observation) {
        self.slo.take(WallMicros(self.now), &began(observation.clone(), Moment(self.now)));
    }

    pub fn many(&mut self, times: u64, observation: &Observation) {
        (0..times).for_each(|_| self.take(observation));
    }

    /// For so many minutes, `fresh` and `stale` reads at the beginning of each; then it is at the end of the last.
    pub fn minutes(&mut self, minutes: u64, fresh: u64, stale: (u64, u64)) {
        for _ in 0..minutes {
            self.many(fresh, &verdict("b", FRESH, 0));
            self.many(stale.0, &verdict("b", Verdict::Stale, stale.1));
            self.now += MINUTE;
        }
    }

    pub fn document(&mut self) -> SloDocument {
        self.slo.evaluate(WallMicros(self.now))
    }

    pub fn objective(&mut self, name: &str) -> Objective {
        let document = self.document();
        document.objectives.into_iter().find(|objective| objective.name == name).unwrap()
    }

    pub fn state(&mut self, name: &str) -> SloState {
        self.objective(name).state
    }
}
