//! Everything that was observed since the start of a run, in counters and histograms of fixed size.
//!
//! The record is bounded whatever the number of keys, peers and writes: it names none of them. It takes
//! [`SliRecord::BYTES_MAX`] bytes at the most, 720 kB: 160 kB of histograms, which it has from the start, and what 256
//! shards may say of writes that have not converged.

use std::collections::BTreeMap;

use super::histogram::Times;
use super::observation::{
    ConvergedObserved, LateObserved, Observation, OperationOutcome, Path, ReadObserved, UnconvergedObserved,
    VerdictObserved, WriteObserved,
};
use super::tally::ReadTally;
use super::unconverged::Unconverged;
use crate::quorum::N_MAX;
use crate::staleness::Verdict;
use crate::time::Moment;

/// Requests that may be told apart by their R: 0 to the greatest N.
const R_COUNTS: usize = N_MAX as usize + 1;

/// Operations by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    counts: [u64; OperationOutcome::ALL.len()],
}

impl Outcomes {
    fn count(&mut self, outcome: OperationOutcome) {
        let places = self.counts.iter_mut().zip(OperationOutcome::ALL);
        places.filter(|(_, of)| *of == outcome).for_each(|(count, _)| *count = count.saturating_add(1));
    }

    /// How many ended so.
    #[must_use]
    pub fn of(&self, outcome: OperationOutcome) -> u64 {
        let places = self.counts.iter().zip(OperationOutcome::ALL);
        places.filter(|(_, of)| *of == outcome).map(|(count, _)| *count).sum()
    }
}

/// What was observed since the start.
#[derive(Debug, Clone)]
pub struct SliRecord {
    by_r: [ReadTally; R_COUNTS],
    reads: Outcomes,
    writes: Outcomes,
    conflicts: u64,
    merges: u64,
    ages: Times,
    stale_ages: Times,
    exposures: Times,
    value_ages: Times,
    convergence: BTreeMap<Path, Times>,
    lagging: [u64; R_COUNTS],
    unconverged: Unconverged,
}

impl Default for SliRecord {
    fn default() -> Self {
        Self {
            by_r: [ReadTally::default(); R_COUNTS],
            reads: Outcomes::default(),
            writes: Outcomes::default(),
            conflicts: 0,
            merges: 0,
            ages: Times::default(),
            stale_ages: Times::default(),
            exposures: Times::default(),
            value_ages: Times::default(),
            convergence: Path::ALL.into_iter().map(|path| (path, Times::default())).collect(),
            lagging: [0; R_COUNTS],
            unconverged: Unconverged::default(),
        }
    }
}

impl SliRecord {
    /// Bytes that a record takes at the most: its histograms, one for each path among them, its counters, and what
    /// shards say of writes that have not converged.
    pub const BYTES_MAX: usize =
        (4 + Path::ALL.len()) * Times::BYTES + size_of::<Self>() + Unconverged::BYTES_MAX;

    /// Takes in one observation, made at `now`.
    pub fn take(&mut self, now: Moment, observation: &Observation) {
        match observation {
            Observation::Read(read) => self.take_read(read),
            Observation::Verdict(verdict) => self.take_verdict(verdict),
            Observation::LateVerdict(late) => self.take_late(late),
            // Their R was lost as well.
            Observation::ReadsLost(reads) => tally_of(&mut self.by_r, 0).forget(*reads),
            Observation::Write(write) => self.take_write(write),
            Observation::Converged(converged) => self.take_converged(converged),
            Observation::Merged(merged) => {
                self.merges = self.merges.saturating_add(1);
                self.conflicts = self.conflicts.saturating_add(u64::from(merged.conflict));
            }
            Observation::Unconverged(standing) => self.take_unconverged(now, standing),
            // Legs are of interest as they are lately: the engine has them.
            Observation::Clocks(_) | Observation::Legs(_) | Observation::Dwell(_) => {}
        }
    }

    fn take_read(&mut self, read: &ReadObserved) {
        self.reads.count(read.outcome);
        if read.outcome == OperationOutcome::Ok && !read.sampled {
            let tally = tally_of(&mut self.by_r, read.r);
            tally.unsampled = tally.unsampled.saturating_add(1);
        }
        if let Some(age_us) = read.value_age_us {
            self.value_ages.record(age_us);
        }
    }

    fn take_verdict(&mut self, observed: &VerdictObserved) {
        tally_of(&mut self.by_r, observed.r).count(observed.verdict);
        match observed.verdict {
            Verdict::Stale => {
                self.ages.record(observed.age_us);
                self.stale_ages.record(observed.age_us);
                self.exposures.record(observed.exposure_us);
            }
            // As much as it may have missed at the most.
            Verdict::Suspect => {
                self.ages.record(observed.age_us);
                self.exposures.record(observed.exposure_us);
            }
            Verdict::Fresh { .. } | Verdict::Behind => {
                self.ages.record(0);
                self.exposures.record(0);
            }
            Verdict::Unknown(_) => {}
        }
    }

    fn take_late(&mut self, late: &LateObserved) {
        tally_of(&mut self.by_r, late.now.r).take_back(late.was);
        self.take_verdict(&late.now);
    }

    fn take_write(&mut self, write: &WriteObserved) {
        if write.counted {
            self.writes.count(write.outcome);
        }
        self.conflicts = self.conflicts.saturating_add(u64::from(write.conflict));
        let known = write.counted && write.outcome == OperationOutcome::Ok;
        let place = self.lagging.get_mut(write.lagging.len().min(R_COUNTS - 1)).filter(|_| known);
        if let Some(count) = place {
            *count = count.saturating_add(1);
        }
    }

    fn take_converged(&mut self, converged: &ConvergedObserved) {
        let times = self.convergence.entry(converged.path).or_default();
        times.record_many(converged.convergence_us, converged.writes);
    }

    fn take_unconverged(&mut self, now: Moment, standing: &UnconvergedObserved) {
        self.unconverged.take(now.0, standing);
    }

    /// Bytes that it takes now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let times = [&self.ages, &self.stale_ages, &self.exposures, &self.value_ages];
        let times = times.into_iter().chain(self.convergence.values()).map(Times::bytes);
        times.sum::<usize>() + self.unconverged.bytes() + size_of::<Self>()
    }

    /// Reads by verdict, of every R.
    #[must_use]
    pub fn tally(&self) -> ReadTally {
        self.by_r.iter().fold(ReadTally::default(), |mut all, tally| {
            all.merge(tally);
            all
        })
    }

    /// Reads by verdict that were asked with `r`.
    #[must_use]
    pub fn tally_of_r(&self, r: u8) -> ReadTally {
        self.by_r.get(usize::from(r).min(R_COUNTS - 1)).copied().unwrap_or_default()
    }

    /// Reads by how they ended.
    #[must_use]
    pub fn reads(&self) -> Outcomes {
        self.reads
    }

    /// Writes that this node counts, by how they ended.
    #[must_use]
    pub fn writes(&self) -> Outcomes {
        self.writes
    }

    /// Writes and merges that left siblings, and all merges.
    #[must_use]
    pub fn conflicts_and_merges(&self) -> (u64, u64) {
        (self.conflicts, self.merges)
    }

    /// Staleness ages of reads of known verdict; 0 unless stale.
    #[must_use]
    pub fn ages(&self) -> &Times {
        &self.ages
    }

    /// Staleness ages of stale reads.
    #[must_use]
    pub fn stale_ages(&self) -> &Times {
        &self.stale_ages
    }

    /// Exposures of reads of known verdict; 0 unless stale.
    #[must_use]
    pub fn exposures(&self) -> &Times {
        &self.exposures
    }

    /// Ages of the values that reads returned.
    #[must_use]
    pub fn value_ages(&self) -> &Times {
        &self.value_ages
    }

    /// Convergence times of writes whose last home had them by `path`.
    #[must_use]
    pub fn convergence(&self, path: Path) -> Option<&Times> {
        self.convergence.get(&path)
    }

    /// Answered writes that so many homes lacked at the answer.
    #[must_use]
    pub fn lagging(&self, homes: usize) -> u64 {
        self.lagging.get(homes).copied().unwrap_or_default()
    }

    /// What has not converged.
    #[must_use]
    pub fn unconverged(&self) -> &Unconverged {
        &self.unconverged
    }
}

/// An R beyond the greatest N is counted as that: no request has one.
fn tally_of(by_r: &mut [ReadTally; R_COUNTS], r: u8) -> &mut ReadTally {
    let [none, others @ ..] = by_r;
    let place = usize::from(r).min(R_COUNTS - 1);
    match place.checked_sub(1).and_then(|place| others.get_mut(place)) {
        Some(tally) => tally,
        None => none,
    }
}
