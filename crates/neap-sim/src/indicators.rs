//! The engine of objectives of each run, shown what its coordinator observes, and held against the truth.
//!
//! Each run keeps, beside its engine, the reads that it answered and the versions that they missed. So the share of stale
//! reads is known exactly over each of the engine's windows, and must lie in the interval that the engine tells.

use std::collections::VecDeque;

use super::checkers::sli::{self, TrueReads};
use super::network::NodeIndex;
use super::queue::Time;
use super::truth::{KeyIndex, Truth, VersionIndex};
use super::verdicts::ReadPlace;
use super::world::World;
use neap_protocol::causality::CausalContext;
use neap_protocol::coordinator::JudgedRead;
use neap_protocol::sli::Observation;
use neap_protocol::slo::{Burn, Level, Plan, Promise, Slo, StaleCounts};
use neap_protocol::staleness::{LateVerdict, Sampling};
use neap_protocol::time::{Moment, WallMicros};

const SECOND_US: u64 = 1_000_000;
/// The longest window: 60 slots of a second.
const LONGEST_US: u64 = 60 * SECOND_US;
/// How often intervals are held against the truth, in ticks of the control plane.
const CHECK_EVERY: u64 = 4;

/// A read that was answered.
#[derive(Debug)]
struct AnsweredRead {
    key: KeyIndex,
    began: Moment,
    /// Versions that it missed; none where nobody can say.
    missed: Option<Vec<VersionIndex>>,
    judged: bool,
}

/// What one run says of its objectives, and what is true of its reads.
#[derive(Debug)]
pub struct Indicators {
    engine: Slo,
    /// In the order in which they were answered.
    reads: VecDeque<AnsweredRead>,
}

impl Default for Indicators {
    fn default() -> Self {
        Self { engine: Slo::new(plan()), reads: VecDeque::new() }
    }
}

impl Indicators {
    /// Reads within the window of this length, as the engine counts them, by the truth.
    fn truly(&self, truth: &Truth, within: impl Fn(Moment) -> bool, now: Moment) -> TrueReads {
        let mut reads = TrueReads::default();
        // A read counts once it was judged, or once its verdict is late.
        let counts = |read: &&AnsweredRead| read.judged || is_late(read.began, now);
        for read in self.reads.iter().filter(|read| within(read.began)).filter(counts) {
            reads.all += 1;
            let missed = read.missed.as_deref();
            reads.at_least +=
                u64::from(missed.is_some_and(|missed| sli::misses_what_can_be_known(truth, missed)));
            reads.at_most += u64::from(missed.is_none_or(|missed| !missed.is_empty()));
        }
        reads
    }
}

/// Whether the engine counts a read without its verdict: from the end of its tenth of a second on, and 150 ms.
fn is_late(began: Moment, now: Moment) -> bool {
    (began.0 / 100_000 + 1) * 100_000 + 150_000 <= now.0
}

impl World {
    /// A node's coordinator tells what it observed.
    pub(super) fn observed(&mut self, at: NodeIndex, observation: &Observation) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let wall = WallMicros(node.clock.moment(now).0);
        if let Some(process) = &mut node.process {
            process.indicators.engine.take(wall, observation);
        }
    }

    /// A node has answered a read of `place` with a reply that covers `seen`.
    pub(super) fn read_told(&mut self, place: ReadPlace, seen: Option<&CausalContext>) {
        // Reads that are not probed have no verdict.
        if self.settings.probe != Sampling::ALL {
            return;
        }
        let (at, key, began) = place;
        let begun = self.reads_begun.get(&place).cloned().flatten();
        let committed = begun.filter(|_| self.keep_time(at, key, self.now)).map(|(_, committed)| committed);
        let missed = committed.map(|committed| {
            let lacks = |index: &VersionIndex| {
                let version = self.truth.version(*index);
                version.is_some_and(|version| seen.is_none_or(|seen| !seen.covers(version.dot)))
            };
            committed.into_iter().filter(lacks).collect()
        });
        if let Some(process) = self.nodes.get_mut(at).and_then(|node| node.process.as_mut()) {
            let reads = &mut process.indicators.reads;
            reads.push_back(AnsweredRead { key, began, missed, judged: false });
            while reads.front().is_some_and(|first| began.micros_since(first.began) > 2 * LONGEST_US) {
                reads.pop_front();
            }
        }
    }

    /// A node has judged a read.
    pub(super) fn verdict_told(&mut self, at: NodeIndex, key: KeyIndex, read: &JudgedRead) {
        self.observed(at, &Observation::Verdict(read.observed()));
        let Some(process) = self.nodes.get_mut(at).and_then(|node| node.process.as_mut()) else { return };
        let mut reads = process.indicators.reads.iter_mut().rev();
        let same = |answered: &&mut AnsweredRead| {
            (answered.key, answered.began) == (key, read.began) && !answered.judged
        };
        if let Some(answered) = reads.find(same) {
            answered.judged = true;
        }
    }

    /// A node says late what a read was.
    pub(super) fn judged_late(&mut self, at: NodeIndex, late: &LateVerdict) {
        self.observed(at, &Observation::LateVerdict(late.observed()));
        let verdict = late.judgement.verdict;
        if !self.healing {
            *self.clients.tally.late_verdicts.entry(verdict.name()).or_default() += 1;
        }
        let Some(key) = self.names.key_index(&late.place.bucket, &late.place.key) else { return };
        let Some((began, committed)) = self.read_began((at, key, late.began), false) else { return };
        // It rests on clocks from then until now.
        if self.keep_time(at, key, began) {
            self.note(Some(key), || format!("a read is judged late: {}", verdict.name()));
            let checked = sli::verdict(&self.truth, key, &committed, &late.reply, verdict);
            self.check(checked);
        }
    }

    /// Holds the intervals of the stale-read rate that a run tells against the truth, over every window.
    pub(super) fn look_at_rates(&mut self, at: NodeIndex, ticks: u64) {
        if !ticks.is_multiple_of(CHECK_EVERY) {
            return;
        }
        let now: Time = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let moment = node.clock.moment(now);
        let Some(process) = &mut node.process else { return };
        let summary = process.indicators.engine.summary(WallMicros(moment.0));
        let Some(told) = summary.promises.first() else { return };
        let mut checked = Ok(());
        for (span_us, ring) in &told.windows.reads {
            let oldest = (ring.number(moment.0) + 1).saturating_sub(ring.slots());
            let within = |began: Moment| ring.number(began.0) >= oldest;
            let truly = process.indicators.truly(&self.truth, within, moment);
            let rate = told.windows.rate_over(moment.0, *span_us);
            let sampled = told.windows.reads_over(moment.0, *span_us).sampled();
            checked = checked.and_then(|()| sli::interval(truly, sampled, rate));
        }
        self.check(checked);
    }
}

/// Objectives whose windows are short enough for a run.
fn plan() -> Plan {
    let burn = |long: u64, short: u64| Burn {
        rate: 1.0,
        long_us: long * 6 * SECOND_US,
        short_us: short * 6 * SECOND_US,
    };
    Plan {
        window_us: 6 * SECOND_US,
        convergence_window_us: LONGEST_US,
        budget_window_us: LONGEST_US,
        min_reads: 10,
        stale_counts: StaleCounts::Committed,
        minute_us: SECOND_US,
        age_page_for_us: 10 * SECOND_US,
        age_ticket_minutes: 5,
        age_ticket_within_us: LONGEST_US,
        page_burns: [burn(2, 1), burn(4, 2)],
        ticket_burns: [burn(8, 4), burn(10, 8)],
        overall: Promise {
            name: None,
            buckets: Vec::new(),
            age: Level { target: 500_000, page: 500_000, ticket: 500_000 },
            stale: Level { target: 0.001, page: 0.001, ticket: 0.000_5 },
            convergence: Level { target: 5 * SECOND_US, page: 5 * SECOND_US, ticket: 3 * SECOND_US },
            unconverged_us: 5 * SECOND_US,
        },
        sets: Vec::new(),
    }
}
