//! What many runs say together.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::checkers::Violation;
use super::clients::Compared;
use super::faults::Kind;
use super::queue::{MICROS, Time};
use super::run::Outcome;

/// A broken invariant, and where.
#[derive(Debug, Clone)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// After how many steps of the workload.
    pub operations: u64,
    /// What.
    pub violation: Violation,
}

/// Times, in microseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Times(Option<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // Three digits are always to be had.
        Self(Histogram::new(3).ok())
    }
}

impl Times {
    fn add(&mut self, times: &[Time]) {
        if let Some(histogram) = &mut self.0 {
            // It grows as it has to.
            for time in times {
                let _ = histogram.record(time / MICROS);
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// What a share `p` of them stays below, in milliseconds; none if there are none.
    #[must_use]
    pub fn percentile_ms(&self, p: f64) -> Option<f64> {
        let some = self.0.as_ref().filter(|histogram| !histogram.is_empty());
        some.map(|histogram| histogram.value_at_quantile(p) as f64 / 1_000.0)
    }
}

/// What many runs say together.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Steps of their workloads.
    pub operations: u64,
    /// Events.
    pub events: u64,
    /// The hashes of their events, taken together in the order of the seeds.
    pub hash: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Broken invariants.
    pub found: Vec<Found>,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that lacked a version that W homes had when they began.
    pub stale: u64,
    /// What the coordinators said of reads, by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// What they said later of reads whose verdict had been unknown.
    pub late_verdicts: BTreeMap<&'static str, u64>,
    /// Writes that succeeded.
    pub writes: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<&'static str, u64>,
    /// For how long what stale reads returned had been superseded.
    pub exposure: Times,
    /// How much older what stale reads returned was than the newest version they missed.
    pub age: Times,
    /// How long writes took from their commit until every home had them.
    pub convergence: Times,
    /// What the coordinators said beside what was true.
    pub compared: ComparedReport,
    /// How long reads took.
    pub read_took: Times,
    /// How long writes took.
    pub write_took: Times,
    /// Counts of versions.
    pub versions: BTreeMap<&'static str, u64>,
    /// What the code under test counted.
    pub counts: BTreeMap<&'static str, u64>,
}

/// What was said, and what was true of the same reads and writes.
#[derive(Debug, Clone, Default)]
pub struct ComparedReport {
    /// Reads with a verdict other than unknown.
    pub reads: u64,
    /// Those that were called stale.
    pub stale: u64,
    /// Those that were called suspect.
    pub suspect: u64,
    /// Those that were stale.
    pub truly_stale: u64,
    /// Those of whose exposure no more than a bound is known.
    pub bounded_reads: u64,
    /// The exposure of the others that were called so: what was true, and what was said.
    pub exposure: (Times, Times),
    /// And their age.
    pub age: (Times, Times),
    /// Writes of whose convergence no more than a bound is known.
    pub bounded: u64,
    /// And the convergence of the other writes.
    pub convergence: (Times, Times),
}

impl ComparedReport {
    fn add(&mut self, more: &Compared) {
        self.reads += more.reads;
        self.stale += more.stale;
        self.suspect += more.suspect;
        self.truly_stale += more.truly_stale;
        self.bounded += more.bounded;
        self.bounded_reads += more.bounded_reads;
        for (into, pairs) in [
            (&mut self.exposure, &more.exposures),
            (&mut self.age, &more.ages),
            (&mut self.convergence, &more.convergence),
        ] {
            let (truth, said): (Vec<Time>, Vec<Time>) = pairs.iter().copied().unzip();
            into.0.add(&truth);
            into.1.add(&said);
        }
    }

    /// The shares of stale reads: as was said, at the least and at the most, and as was true; none if there are no reads.
    #[must_use]
    pub fn stale_rates(&self) -> Option<(f64, f64, f64)> {
        let share = |count: u64| count as f64 / self.reads as f64;
        (self.reads > 0)
            .then(|| (share(self.stale), share(self.stale + self.suspect), share(self.truly_stale)))
    }
}

impl Report {
    /// Takes in a run. Runs come in the order of their seeds.
    pub fn add(&mut self, outcome: Outcome) {
        let Outcome { seed, tally, violation, .. } = outcome;
        self.seeds += 1;
        self.operations += outcome.operations;
        self.events += outcome.events;
        self.hash = (self.hash.rotate_left(7) ^ outcome.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum(&mut self.faults, outcome.faults);
        sum(&mut self.failed, tally.failed);
        sum(&mut self.verdicts, tally.verdicts);
        sum(&mut self.late_verdicts, tally.late_verdicts);
        sum(&mut self.versions, outcome.versions);
        sum(&mut self.counts, outcome.counts);
        self.reads += tally.reads;
        self.stale += tally.stale;
        self.writes += tally.writes;
        self.exposure.add(&tally.exposures);
        self.age.add(&tally.ages);
        self.convergence.add(&outcome.convergence);
        self.compared.add(&tally.compared);
        self.read_took.add(&tally.read_took);
        self.write_took.add(&tally.write_took);
        if let Some((violation, operations)) = violation {
            self.found.push(Found { seed, operations, violation });
        }
    }

    /// Bounds of the share of stale reads as the coordinators tell it, of all sampled reads, after late verdicts; none if
    /// there were no reads.
    #[must_use]
    pub fn reported_stale_rate(&self) -> Option<(f64, f64)> {
        let of = |verdicts: &BTreeMap<&str, u64>, verdict| verdicts.get(verdict).copied().unwrap_or(0);
        let all = self.verdicts.values().sum::<u64>();
        let judged_late = self.late_verdicts.values().sum::<u64>() - of(&self.late_verdicts, "unknown");
        let stale = of(&self.verdicts, "stale") + of(&self.late_verdicts, "stale");
        let unknown = of(&self.verdicts, "unknown").saturating_sub(judged_late);
        let share = |count: u64| count as f64 / all as f64;
        (all > 0).then(|| (share(stale), share(stale + of(&self.verdicts, "suspect") + unknown)))
    }

    /// The share of reads that were stale; none if there were none.
    #[must_use]
    pub fn stale_rate(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.stale as f64 / self.reads as f64)
    }
}

fn sum<K: Ord>(into: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *into.entry(key).or_default() += count;
    }
}
