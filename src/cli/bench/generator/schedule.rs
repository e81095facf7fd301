//! When requests are sent, and which of them count.

use std::time::{Duration, Instant};

use super::connection::UnderWay;
use super::line::Line;
use super::tally::{Ended, Tally};
use super::{LAST_ANSWERS, Pace, Run};
use crate::cli::load::KeyChooser;

/// When a run is measured.
pub struct Timing {
    pub from: Instant,
    pub until: Instant,
    pace: Pace,
    began: Instant,
}

impl Timing {
    pub fn new(run: Run, began: Instant) -> Self {
        let from = began + run.warmup;
        Self { from, until: from + run.duration, pace: run.pace, began }
    }

    pub fn due(&self) -> Option<Due> {
        match self.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Due { began: self.began, rate, number: 0 }),
        }
    }

    pub fn measures(&self, intended: Instant) -> bool {
        (self.from..self.until).contains(&intended)
    }

    /// Of a closed loop, what is answered in time counts; of an open one, what was due in time.
    pub fn judge(&self, tally: &mut Tally, ended: Ended, request: UnderWay, now: Instant) {
        let counts = match self.pace {
            Pace::Closed => (self.from..self.until).contains(&now),
            Pace::Open(_) => self.measures(request.intended),
        };
        if counts {
            tally.take(ended, request.intended, now);
        }
    }

    pub fn is_over(&self, now: Instant, source: &Source, line: &Line) -> bool {
        let all_answered = || {
            source.due.is_none_or(|due| due.next() >= self.until)
                && line.under_way.iter().flatten().all(|request| !self.measures(request.intended))
        };
        match self.pace {
            Pace::Closed => now >= self.until,
            Pace::Open(_) => now >= self.until && (all_answered() || now >= self.until + LAST_ANSWERS),
        }
    }
}

/// The requests to come.
pub struct Source {
    pub keys: KeyChooser,
    pub reads: f64,
    /// None in a closed loop.
    pub due: Option<Due>,
}

/// When requests of an open loop are due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    began: Instant,
    rate: f64,
    pub number: u64,
}

impl Due {
    pub fn next(self) -> Instant {
        self.began + Duration::from_secs_f64(self.number as f64 / self.rate)
    }

    /// How many are still to come before `until`.
    pub fn left_before(self, until: Instant) -> u64 {
        let all = until.saturating_duration_since(self.began).as_secs_f64() * self.rate;
        (all as u64).saturating_sub(self.number)
    }
}
