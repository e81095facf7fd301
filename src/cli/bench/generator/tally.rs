//! What came of the requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cli::bench::cpu::Spent;
use crate::cli::load::Latencies;

/// What came of the requests of one run.
#[derive(Default)]
pub struct Tally {
    /// Requests that were answered as they should be, in the time that was measured.
    pub answered: u64,
    /// How long it was.
    pub measured: Duration,
    /// Their latencies.
    pub latencies: Latencies,
    /// The latencies of those that were refused (429 and 503).
    pub refused: Latencies,
    /// Requests that failed, by why.
    pub errors: BTreeMap<Failure, u64>,
    /// What the generator and the nodes spent in the time that was measured.
    pub spent: Spent,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Answered with this status.
    Status(u16),
    /// The connection broke.
    Broken,
    /// Not answered in time.
    TimedOut,
    /// Not even sent: no connection was free for too long.
    NotSent,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub enum Ended {
    /// Answered with this status.
    Answered(u16),
    /// Not answered.
    Failed(Failure),
}

impl Tally {
    /// One more, which began at `from` or should have.
    pub fn take(&mut self, ended: Ended, from: Instant, now: Instant) {
        let micros = u64::try_from(now.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX);
        match ended {
            Ended::Answered(status) if is_success(status) => {
                self.answered += 1;
                self.latencies.record(micros);
            }
            Ended::Answered(status) => {
                if is_refusal(status) {
                    self.refused.record(micros);
                }
                self.fail(Failure::Status(status), 1);
            }
            Ended::Failed(failure) => self.fail(failure, 1),
        }
    }

    /// So many more that failed.
    pub fn fail(&mut self, failure: Failure, many: u64) {
        if many > 0 {
            *self.errors.entry(failure).or_default() += many;
        }
    }

    /// Answers a second.
    pub fn ops_per_s(&self) -> f64 {
        self.answered as f64 / self.measured.as_secs_f64().max(f64::EPSILON)
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Whether a request was answered as it should be.
pub fn is_success(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 300)
}

/// Whether it was refused for now.
pub fn is_refusal(status: u16) -> bool {
    matches!(status, 429 | 503)
}
