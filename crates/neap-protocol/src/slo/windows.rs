//! The windows of one promise: what happened lately, in slots.
//!
//! | window | slots | holds |
//! |---|---|---|
//! | each that a share of reads is taken over, up to 30 d | 60 each | counts |
//! | minutes, for how long the age has been above | 1 a minute, 1,443 at the most | counts |
//! | whose silence left reads unjudged, over `slo.window` | 60 | counts by replica |
//! | the age, over `slo.window` | 12 | counts and a sparse histogram of ages and exposures of stale reads |
//! | convergence, over its window | 12 | counts and a sparse histogram |
//!
//! Whether a percentile is above a level is told from exact counts of what is above, not from histograms, whose values
//! are only within 1 %.

use super::plan::{Plan, Promise};
use std::collections::BTreeMap;

use super::document::StaleRate;
use super::expected::PendingReads;
use super::ring::{Ring, Tally};
use super::stale;
use crate::ids::NodeId;
use crate::sli::{LateObserved, ReadTally, Sparse, VerdictObserved};
use crate::staleness::Verdict;

/// Slots of a window of counts.
pub const COUNT_SLOTS: u64 = 60;
/// Slots of a window of histograms.
pub const TIME_SLOTS: u64 = 12;
/// Minutes that are told apart; those of a longer time are as long as needed.
pub const MINUTES_MAX: u64 = 1_440;
/// Windows of counts: two for each burn rate, the objective's and the budget's.
pub const COUNT_WINDOWS_MAX: usize = 10;

/// A minute's reads of known verdict, and those that may be older than each level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Reads of known verdict.
    pub known: u64,
    /// Of these, above the level of a page, as far as can be known.
    pub above_page: u64,
    /// The same for a ticket.
    pub above_ticket: u64,
}

/// Reads and how old their answers were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ages {
    /// Reads of known verdict.
    pub known: u64,
    /// Of these, those that may have missed something: nobody knows how old they are.
    pub suspect: u64,
    /// Staleness ages of the stale ones.
    pub ages: Sparse,
    /// Exposures of the stale ones.
    pub exposures: Sparse,
}

/// Reads that could not be judged, by the replicas that were silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Silence {
    /// Reads, by replica. A read counts for each replica that was silent.
    pub reads: BTreeMap<NodeId, u64>,
}

/// Replicas that a slot names at the most.
pub const SILENT_MAX: usize = 64;

impl Silence {
    fn add(&mut self, replica: &NodeId, reads: u64) {
        if let Some(known) = self.reads.get_mut(replica) {
            add(known, reads);
        } else if self.reads.len() < SILENT_MAX {
            self.reads.insert(replica.clone(), reads);
        }
    }

    fn take_back(&mut self, replica: &NodeId) {
        if let Some(reads) = self.reads.get_mut(replica) {
            *reads = reads.saturating_sub(1);
        }
    }
}

/// Writes that have converged, and how long they took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converged {
    /// How many.
    pub count: u64,
    /// Of these, above the level of a page.
    pub above_page: u64,
    /// The same for a ticket.
    pub above_ticket: u64,
    /// How long they took.
    pub times: Sparse,
}

fn add(mine: &mut u64, theirs: u64) {
    *mine = mine.saturating_add(theirs);
}

impl Tally for ReadTally {
    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }
}

impl Tally for Silence {
    fn merge(&mut self, other: &Self) {
        other.reads.iter().for_each(|(replica, reads)| self.add(replica, *reads));
    }
}

impl Tally for Minute {
    fn merge(&mut self, other: &Self) {
        add(&mut self.known, other.known);
        add(&mut self.above_page, other.above_page);
        add(&mut self.above_ticket, other.above_ticket);
    }
}

impl Tally for Ages {
    fn merge(&mut self, other: &Self) {
        add(&mut self.known, other.known);
        add(&mut self.suspect, other.suspect);
        self.ages.merge(&other.ages);
        self.exposures.merge(&other.exposures);
    }
}

impl Tally for Converged {
    fn merge(&mut self, other: &Self) {
        add(&mut self.count, other.count);
        add(&mut self.above_page, other.above_page);
        add(&mut self.above_ticket, other.above_ticket);
        self.times.merge(&other.times);
    }
}

/// The levels that the exact counts are of, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Of the age, for a page.
    pub age_page_us: u64,
    /// Of the age, for a ticket.
    pub age_ticket_us: u64,
    /// Of convergence, for a page.
    pub convergence_page_us: u64,
    /// Of convergence, for a ticket.
    pub convergence_ticket_us: u64,
}

impl Levels {
    /// Those of a promise.
    #[must_use]
    pub fn of(promise: &Promise) -> Self {
        Self {
            age_page_us: promise.age.page,
            age_ticket_us: promise.age.ticket,
            convergence_page_us: promise.convergence.page,
            convergence_ticket_us: promise.convergence.ticket,
        }
    }
}

/// The windows of one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// What the exact counts are of.
    pub levels: Levels,
    /// Reads by verdict, each window with its length in microseconds, ascending.
    pub reads: Vec<(u64, Ring<ReadTally>)>,
    /// Reads that could not be judged, by who was silent.
    pub silence: Ring<Silence>,
    /// Minutes.
    pub minutes: Ring<Minute>,
    /// Ages.
    pub ages: Ring<Ages>,
    /// Convergence.
    pub converged: Ring<Converged>,
}

impl Windows {
    /// Empty ones.
    #[must_use]
    pub fn new(plan: &Plan, promise: &Promise) -> Self {
        let reads = plan.read_windows().into_iter().take(COUNT_WINDOWS_MAX);
        let span = plan.age_page_for_us.max(plan.age_ticket_within_us);
        let minute = plan.minute_us.max(span / MINUTES_MAX).max(1);
        // The one that is being filled, and one that is only partly within the time.
        let minutes = span.div_ceil(minute) + 2;
        Self {
            levels: Levels::of(promise),
            reads: reads.map(|span| (span, Ring::new(span, COUNT_SLOTS))).collect(),
            silence: Ring::new(plan.window_us, COUNT_SLOTS),
            minutes: Ring::new(minute.saturating_mul(minutes), minutes),
            ages: Ring::new(plan.window_us, TIME_SLOTS),
            converged: Ring::new(plan.convergence_window_us, TIME_SLOTS),
        }
    }

    /// Bytes that they take at the most, about 2.3 MB: only if every slot holds every value that a histogram can tell
    /// apart. Usual traffic takes some tens of kilobytes.
    pub const BYTES_MAX: usize = {
        let counts = COUNT_WINDOWS_MAX * (COUNT_SLOTS as usize + 1) * (size_of::<ReadTally>() + 8);
        let minutes = (MINUTES_MAX as usize + 4) * (size_of::<Minute>() + 8);
        let silence = (COUNT_SLOTS as usize + 1) * (SILENT_MAX * 64 + 32);
        let times = 2 * (TIME_SLOTS as usize + 1) * 64 + 3 * (TIME_SLOTS as usize + 1) * Sparse::BYTES_MAX;
        2 * (counts + minutes + silence) + times + size_of::<Self>()
    };

    /// Bytes that they take now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let counts: usize = self.reads.iter().map(|(_, ring)| ring.bytes(|_| 0)).sum();
        let ages = self.ages.bytes(|slot| slot.ages.bytes() + slot.exposures.bytes());
        let converged = self.converged.bytes(|slot| slot.times.bytes());
        let silence = self.silence.bytes(|slot| slot.reads.len() * 64);
        counts + silence + self.minutes.bytes(|_| 0) + ages + converged + size_of::<Self>()
    }

    /// Counts reads whose verdicts are late.
    pub fn pending(&mut self, now_us: u64, pending: PendingReads) {
        self.count_at(now_us, pending.at_us, |tally| add(&mut tally.pending, pending.reads));
    }

    /// Counts reads of which nothing will be known.
    pub fn lost(&mut self, now_us: u64, reads: u64) {
        self.count_at(now_us, now_us, |tally| tally.forget(reads));
    }

    /// Takes in a verdict, where its read began. `was_pending` is where the read was counted as pending.
    pub fn verdict(&mut self, now_us: u64, observed: &VerdictObserved, was_pending: Option<u64>) {
        if let Some(at_us) = was_pending {
            self.count_at(now_us, at_us, |tally| tally.pending = tally.pending.saturating_sub(1));
        }
        self.count_at(now_us, observed.began.0, |tally| tally.count(observed.verdict));
        self.judged(now_us, observed);
    }

    /// Takes in a late verdict, in the place of the one that was unknown.
    pub fn late(&mut self, now_us: u64, late: &LateObserved) {
        let LateObserved { was, were_silent, now } = late;
        self.count_at(now_us, now.began.0, |tally| {
            tally.take_back(*was);
            tally.count(now.verdict);
        });
        if let Some(silence) = self.silence.slot_at(now_us, now.began.0) {
            were_silent.iter().for_each(|replica| silence.take_back(replica));
        }
        self.judged(now_us, now);
    }

    /// Counts the age of a read, or who kept it from being judged.
    fn judged(&mut self, now_us: u64, observed: &VerdictObserved) {
        let at_us = observed.began.0;
        let (age_us, suspect) = match observed.verdict {
            Verdict::Unknown(_) => {
                if let Some(silence) = self.silence.slot_at(now_us, at_us) {
                    observed.silent.iter().for_each(|replica| silence.add(replica, 1));
                }
                return;
            }
            Verdict::Stale => (observed.age_us, false),
            // At the most.
            Verdict::Suspect => (observed.age_us, true),
            Verdict::Fresh { .. } | Verdict::Behind => (0, false),
        };
        let levels = self.levels;
        if let Some(minute) = self.minutes.slot_at(now_us, at_us) {
            add(&mut minute.known, 1);
            add(&mut minute.above_page, u64::from(age_us > levels.age_page_us));
            add(&mut minute.above_ticket, u64::from(age_us > levels.age_ticket_us));
        }
        if let Some(ages) = self.ages.slot_at(now_us, at_us) {
            add(&mut ages.known, 1);
            add(&mut ages.suspect, u64::from(suspect));
            if observed.verdict == Verdict::Stale {
                ages.ages.record(age_us);
                ages.exposures.record(observed.exposure_us);
            }
        }
    }

    /// Takes in a read that is not to have a verdict.
    pub fn unsampled(&mut self, now_us: u64) {
        self.count_at(now_us, now_us, |tally| add(&mut tally.unsampled, 1));
    }

    /// Takes in so many writes that have converged.
    pub fn converged(&mut self, now_us: u64, took_us: u64, writes: u64) {
        let levels = self.levels;
        if let Some(slot) = self.converged.slot(now_us) {
            let above = |level_us| if took_us > level_us { writes } else { 0 };
            add(&mut slot.count, writes);
            add(&mut slot.above_page, above(levels.convergence_page_us));
            add(&mut slot.above_ticket, above(levels.convergence_ticket_us));
            slot.times.record_many(took_us, u32::try_from(writes).unwrap_or(u32::MAX));
        }
    }

    fn count_at(&mut self, now_us: u64, at_us: u64, count: impl Fn(&mut ReadTally)) {
        for (_, ring) in &mut self.reads {
            if let Some(tally) = ring.slot_at(now_us, at_us) {
                count(tally);
            }
        }
    }

    /// Reads over a window of this length.
    #[must_use]
    pub fn reads_over(&self, now_us: u64, span_us: u64) -> ReadTally {
        let found = self.reads.iter().find(|(span, _)| *span == span_us);
        found.map(|(_, ring)| ring.total(now_us)).unwrap_or_default()
    }

    /// The share of stale reads over a window of this length; none of no reads.
    #[must_use]
    pub fn rate_over(&self, now_us: u64, span_us: u64) -> Option<StaleRate> {
        stale::rate(&self.reads_over(now_us, span_us))
    }

    /// Adds what other windows hold: another node's, or those that a run before this one left. Where the levels were
    /// others, what is above them is counted anew from the histograms, within 1 %; minutes have none and stay out.
    pub fn merge(&mut self, now_us: u64, other: &Self) {
        let mut left: Vec<_> = other.reads.iter().collect();
        for (span, ring) in &mut self.reads {
            // A window that was not there before is filled from the shortest that holds its time.
            left.sort_by_key(|(theirs, _)| (*theirs < *span, *theirs));
            if let Some((_, slots)) = left.first().filter(|(theirs, _)| theirs >= span) {
                ring.merge(now_us, slots);
            }
        }
        self.silence.merge(now_us, &other.silence);
        self.ages.merge(now_us, &other.ages);
        if self.levels == other.levels {
            self.minutes.merge(now_us, &other.minutes);
            return self.converged.merge(now_us, &other.converged);
        }
        let mut converged = other.converged.clone();
        for slot in converged.kept_mut() {
            let above = |level: u64| slot.times.iter().filter(|(us, _)| *us > level).map(|(_, n)| n).sum();
            let (page, ticket) =
                (above(self.levels.convergence_page_us), above(self.levels.convergence_ticket_us));
            (slot.above_page, slot.above_ticket) = (page, ticket);
        }
        self.converged.merge(now_us, &converged);
    }
}
