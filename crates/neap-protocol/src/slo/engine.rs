//! The engine: takes in what is observed, and says how the objectives stand.

use super::convergence::Pending;
use super::document::{SloDocument, SloScope};
use super::expected::ExpectedVerdicts;
use super::plan::Plan;
use super::summary::{SloSummary, Summarised, evaluate};
use super::windows::Windows;
use crate::ids::BucketName;
use crate::sli::{
    ConvergedObserved, Observation, OperationOutcome, RecentLegs, SHARDS_MAX, Unconverged, untracked_at_start,
};
use crate::time::WallMicros;

/// Writes that the run before this one followed, or may have, when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost {
    writes: u64,
    until_us: u64,
}

/// The objectives of one node.
#[derive(Debug, Clone)]
pub struct Slo {
    plan: Plan,
    promises: Vec<Summarised>,
    /// One for each promise.
    expected: Vec<ExpectedVerdicts>,
    unconverged: Unconverged,
    legs: RecentLegs,
    lost: Option<Lost>,
    now_us: u64,
}

impl Slo {
    /// Bytes that the windows of so many sets and of all buckets take at the most; 2.3 MB each if every slot holds every
    /// value that can be told apart, some tens of kilobytes with usual traffic. Then what is kept of legs.
    #[must_use]
    pub const fn bytes_max(sets: usize) -> usize {
        (sets + 1) * (Windows::BYTES_MAX + ExpectedVerdicts::BYTES_MAX)
            + Unconverged::BYTES_MAX
            + SHARDS_MAX
            + RecentLegs::BYTES_MAX
    }

    /// Bytes that it takes now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.promises.iter().map(|mine| mine.windows.bytes()).sum::<usize>()
            + self.expected.iter().map(ExpectedVerdicts::bytes).sum::<usize>()
            + self.unconverged.bytes()
            + self.legs.bytes()
    }

    /// An engine to which nothing has happened yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let promises: Vec<_> = plan.promises().map(|promise| Summarised::empty(&plan, promise)).collect();
        Self {
            plan,
            expected: promises.iter().map(|_| ExpectedVerdicts::default()).collect(),
            promises,
            unconverged: Unconverged::default(),
            legs: RecentLegs::default(),
            lost: None,
            now_us: 0,
        }
    }

    /// What it goes by.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Time does not go back here, whatever a wall clock does.
    fn advance(&mut self, now: WallMicros) -> u64 {
        self.now_us = self.now_us.max(now.0);
        self.now_us
    }

    /// Counts the reads whose verdicts are late.
    fn count_pending(&mut self, now_us: u64) {
        for (mine, expected) in self.promises.iter_mut().zip(&mut self.expected) {
            for pending in expected.overdue(now_us) {
                mine.windows.pending(now_us, pending);
            }
        }
    }

    /// Takes in one observation, made at `now`. Reads say when they began by a monotonic clock that shows the same as
    /// `now`.
    pub fn take(&mut self, now: WallMicros, observation: &Observation) {
        let now_us = self.advance(now);
        match observation {
            Observation::Read(read) if read.outcome == OperationOutcome::Ok && !read.sampled => {
                self.each(&read.bucket, |windows| windows.unsampled(now_us));
            }
            Observation::Read(read) if read.outcome == OperationOutcome::Ok => {
                self.each_with_expected(&read.bucket, |_, expected| expected.answered(read.began.0));
            }
            Observation::Verdict(verdict) => self.each_with_expected(&verdict.bucket, |windows, expected| {
                windows.verdict(now_us, verdict, expected.judged(verdict.began.0));
            }),
            Observation::LateVerdict(late) => {
                self.each(&late.now.bucket, |windows| windows.late(now_us, late))
            }
            // Of which buckets they were was lost as well: they may be of any set.
            Observation::ReadsLost(reads) => {
                self.promises.iter_mut().for_each(|mine| mine.windows.lost(now_us, *reads));
            }
            Observation::Converged(converged) => {
                let ConvergedObserved { bucket, convergence_us, writes, .. } = converged;
                self.each(bucket, |windows| windows.converged(now_us, *convergence_us, *writes));
            }
            Observation::Unconverged(standing) => self.unconverged.take(now_us, standing),
            Observation::Legs(legs) => self.legs.take(now_us, legs),
            Observation::Read(_)
            | Observation::Write(_)
            | Observation::Merged(_)
            | Observation::Dwell(_)
            | Observation::Clocks(_) => {}
        }
    }

    fn each(&mut self, bucket: &BucketName, take: impl Fn(&mut Windows)) {
        self.each_with_expected(bucket, |windows, _| take(windows));
    }

    fn each_with_expected(
        &mut self,
        bucket: &BucketName,
        take: impl Fn(&mut Windows, &mut ExpectedVerdicts),
    ) {
        let mine = self.promises.iter_mut().zip(&mut self.expected);
        let covering = self.plan.promises().zip(mine).filter(|(promise, _)| promise.covers(bucket));
        covering.for_each(|(_, (mine, expected))| take(&mut mine.windows, expected));
    }

    fn pending(&self) -> Pending {
        let lost = self.lost.filter(|lost| self.now_us < lost.until_us).map_or(0, |lost| lost.writes);
        let untracked = self.unconverged.untracked().saturating_add(lost);
        Pending { ages: self.unconverged.ages(self.now_us).collect(), untracked }
    }

    /// How the objectives stand at `now`.
    pub fn evaluate(&mut self, now: WallMicros) -> SloDocument {
        let now_us = self.advance(now);
        self.count_pending(now_us);
        let windows = self.promises.iter().map(|mine| &mine.windows);
        let document = evaluate(&self.plan, windows, &self.pending(), now_us, (SloScope::Node, Vec::new()));
        SloDocument { legs: self.legs.view(now_us), ..document }
    }

    /// All that it knows at `now`.
    pub fn summary(&mut self, now: WallMicros) -> SloSummary {
        let at_us = self.advance(now);
        self.count_pending(at_us);
        SloSummary { at_us, promises: self.promises.clone(), pending: self.pending() }
    }

    /// Goes on from what the run before this one left, whose windows are added to these. What that followed is not
    /// followed any more: for as long as the convergence window lasts, it is said to be untracked. A run that did not end
    /// `clean` may have followed something after it last said so, so that at least one write is.
    pub fn resume(&mut self, now: WallMicros, left: Option<&SloSummary>, clean: bool) {
        let now_us = self.advance(now);
        for theirs in left.into_iter().flat_map(|left| &left.promises) {
            let same = self
                .promises
                .iter_mut()
                .find(|mine| mine.name == theirs.name && mine.buckets == theirs.buckets);
            if let Some(mine) = same {
                mine.windows.merge(now_us, &theirs.windows);
            }
        }
        let followed = left.map(|left| left.pending.count().saturating_add(left.pending.untracked));
        let writes = untracked_at_start(clean, followed);
        let until_us = now_us.saturating_add(self.plan.convergence_window_us);
        self.lost = (writes > 0).then_some(Lost { writes, until_us });
    }
}
