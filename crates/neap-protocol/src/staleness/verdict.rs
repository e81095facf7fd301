//! The verdict on a read.

use std::collections::BTreeMap;

use super::digest::{SeenVersion, Sighting};
use crate::causality::CausalContext;
use crate::ids::{Dot, NodeId};
use crate::message::Refusal;
use crate::planted::{self, Bug};
use crate::time::{Hlc, Moment};

/// Exactly one of these is said of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// A committed version was missed.
    Stale,
    /// No miss is certain, but one is undecided.
    Suspect,
    /// Neither; but some home had a newer version that was not committed.
    Behind,
    /// None of these, and so few homes are unknown that none can have been missed. Whether all are known.
    Fresh {
        /// Whether every home is known.
        all: bool,
    },
    /// Anything else.
    Unknown(UnknownCause),
}

/// Why nothing can be said of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownCause {
    /// Homes could not be asked, or refused.
    ReplicaDown,
    /// Homes did not answer in time.
    Timeout,
    /// The coordinator had not heard yet how many homes the bucket's keys have, and what its lowest W is.
    Settings,
    /// Replicas that were silent do not remember as far back as the read, or were silent for too long.
    Forgotten,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Suspect => "suspect",
            Self::Behind => "behind",
            Self::Fresh { .. } => "fresh",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What is known of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeView {
    /// What it held, after the read began, is part of the reply.
    InReply,
    /// It has told its recent states.
    Sighted(Sighting),
    /// It has told nothing.
    Unanswered(Refusal),
}

/// A read that was answered, and what is known of all homes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// When the coordinator accepted it.
    pub began: Moment,
    /// The same by its hybrid clock.
    pub began_hlc: Hlc,
    /// All that the reply covers.
    pub reply: CausalContext,
    /// The write time of the newest version in the reply.
    pub returned: Option<Hlc>,
    /// The lowest W that a write of the bucket may choose.
    pub w_min: u8,
    /// Whether that, and which homes there are, is known for sure.
    pub settled: bool,
    /// The homes whose answers the reply was made of.
    pub answered_by: Vec<NodeId>,
    /// The homes.
    pub homes: Vec<(NodeId, HomeView)>,
    /// Those of them whose answer lacked something of the reply.
    pub behind: Vec<BehindReply>,
}

/// A replica that answered a read with less than the reply holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindReply {
    /// The replica.
    pub node: NodeId,
    /// The write time of the newest version in its answer; none if it held nothing.
    pub newest: Option<Hlc>,
}

/// A version that a reply lacks, though some replica had it, or may have had it, when the read began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacked {
    /// Its name.
    pub dot: Dot,
    /// Its write time; none if no replica remembers it, as it was replaced long ago.
    pub hlc: Option<Hlc>,
    /// The certainty that the read missed it.
    pub missed: Missed,
}

/// The certainty that a read missed a version, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missed {
    /// Some replica had it, and it was not committed: the read is at most behind.
    Uncommitted,
    /// It may have been committed.
    Perhaps,
    /// It was committed.
    Certainly,
}

/// What is said of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// For how long what it returned had been superseded, in microseconds; of a suspect read at the most; else 0.
    pub exposure_us: u64,
    /// How much older what it returned was than the newest version it missed, by write times, in microseconds; of a
    /// suspect read at the most; else 0. Never less than the exposure.
    pub age_us: u64,
    /// Whether both are as exact as clocks are. Else they are no less than is true, and may be more: some home did not
    /// answer, or has forgotten.
    pub exactly: bool,
    /// The versions that the reply lacks; none of a fresh read.
    pub lacked: Vec<Lacked>,
}

/// Whether a home had a version when a read began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Had {
    /// Clearly, since a moment that is known, or not.
    Yes(Option<Moment>),
    No,
    Undecided,
    Forgotten,
}

/// Says what is certain of a read.
#[must_use]
pub fn judge(question: &Question) -> Judgement {
    let candidates = candidates(question);
    let (mut suspects, mut behind) = (Vec::new(), false);
    let mut missed: Vec<(Option<SeenVersion>, Option<Moment>)> = Vec::new();
    let mut lacked = Vec::new();
    for (dot, version) in candidates {
        let had = question.homes.iter().map(|(_, home)| home.had(dot, question.began));
        let (mut since, mut possible) = (Vec::new(), 0_usize);
        for had in had {
            match had {
                Had::Yes(at) => since.push(at),
                Had::No => {}
                Had::Undecided | Had::Forgotten => possible += 1,
            }
        }
        behind |= !since.is_empty();
        let mut lacks = |missed| lacked.push(Lacked { dot, hlc: version.map(|version| version.hlc), missed });
        let w = usize::from(version.map_or(question.w_min, |version| version.w));
        if since.len() < w || version.is_none() {
            // What it replaced there long ago is not told any more, and may have been written with a lower W.
            if since.len() + possible >= w.min(question.w_min.into()) {
                suspects.push(version);
                lacks(Missed::Perhaps);
            } else if !since.is_empty() {
                lacks(Missed::Uncommitted);
            }
            continue;
        }
        lacks(Missed::Certainly);
        // Those that came to it before the history begins came first.
        since.sort_unstable();
        // At the earliest: what was missed is never said to be younger than it was.
        missed.push((version, since.get(w.saturating_sub(1)).copied().flatten()));
    }
    let verdict = match (missed.is_empty(), !suspects.is_empty(), behind) {
        (false, ..) => Verdict::Stale,
        (true, true, _) => Verdict::Suspect,
        (true, false, _) if !question.settled => Verdict::Unknown(UnknownCause::Settings),
        (true, false, true) => Verdict::Behind,
        (true, false, false) => question.fresh_or_unknown(),
    };
    Judgement { lacked, ..question.told(verdict, &missed, &suspects) }
}

/// The dots that some home has seen and the reply does not cover, with what is known of each.
///
/// A context names what it covers by its highest dots: whatever lies below one of them, and was missed as well, was had
/// by all homes that had the one above.
fn candidates(question: &Question) -> BTreeMap<Dot, Option<SeenVersion>> {
    let mut candidates = BTreeMap::new();
    let sightings = question.homes.iter().filter_map(|(_, home)| match home {
        HomeView::Sighted(sighting) => Some(sighting),
        HomeView::InReply | HomeView::Unanswered(_) => None,
    });
    for state in sightings.flat_map(|sighting| &sighting.states) {
        for version in state.versions.iter().filter(|version| !question.reply.covers(version.dot)) {
            candidates.insert(version.dot, Some(*version));
        }
        let vector = state.context.vector().iter().map(|&(actor, counter)| Dot { actor, counter });
        for dot in vector.chain(state.context.cloud().iter().copied()) {
            if !question.reply.covers(dot) {
                candidates.entry(dot).or_insert(None);
            }
        }
    }
    candidates
}

impl Judgement {
    /// The newest of the versions that the read most certainly missed: what it should have returned.
    #[must_use]
    pub fn newest_lacked(&self) -> Option<&Lacked> {
        self.lacked.iter().max_by_key(|lacked| (lacked.missed, lacked.hlc))
    }
}

impl HomeView {
    fn had(&self, dot: Dot, began: Moment) -> Had {
        let sighting = match self {
            // Else the reply would cover it.
            Self::InReply => return Had::No,
            Self::Unanswered(_) => return Had::Forgotten,
            Self::Sighted(sighting) => sighting,
        };
        let Some(state) = sighting.states.iter().find(|state| state.context.covers(dot)) else {
            return sighting.lacked_before(began);
        };
        if planted::has(Bug::ProbeIsThen) {
            return Had::Yes(None);
        }
        if planted::has(Bug::SkewIsTolerance)
            && state.applied.is_some_and(|applied| applied.to.plus_micros(500_000) > began)
        {
            return Had::No;
        }
        match state.applied {
            Some(applied) if applied.before(began) => Had::Yes(Some(applied.from)),
            Some(applied) if applied.after(began) => sighting.lacked_before(began),
            Some(_) => Had::Undecided,
            None if sighting.complete_since.before(began) => Had::Yes(None),
            None => Had::Forgotten,
        }
    }
}

impl Sighting {
    /// A replica holds a version only since after a read, or not at all. Whether it had it before is not known if it was
    /// started since, or if its record was damaged: it may have lost it.
    fn lacked_before(&self, began: Moment) -> Had {
        if self.complete_since.before(began) { Had::No } else { Had::Forgotten }
    }
}

impl Question {
    /// The replicas that told nothing.
    #[must_use]
    pub fn silent(&self) -> Vec<NodeId> {
        let silent = self.homes.iter().filter(|(_, home)| matches!(home, HomeView::Unanswered(_)));
        silent.map(|(node, _)| node.clone()).collect()
    }

    /// No replica is known to have had anything that the reply lacks.
    fn fresh_or_unknown(&self) -> Verdict {
        let unanswered = self.homes.iter().filter_map(|(_, home)| match home {
            HomeView::Unanswered(refusal) => Some(*refusal),
            HomeView::InReply | HomeView::Sighted(_) => None,
        });
        let unanswered: Vec<Refusal> = unanswered.collect();
        if unanswered.len() < usize::from(self.w_min.max(1)) || planted::has(Bug::UnansweredIsFresh) {
            return Verdict::Fresh { all: unanswered.is_empty() };
        }
        let late = |refusal: &Refusal| matches!(refusal, Refusal::NoAnswer | Refusal::Deadline);
        Verdict::Unknown(if unanswered.iter().any(late) {
            UnknownCause::Timeout
        } else {
            UnknownCause::ReplicaDown
        })
    }

    fn ago(&self, hlc: Hlc) -> u64 {
        self.began_hlc.wall().0.saturating_sub(hlc.wall().0)
    }

    fn told(
        &self,
        verdict: Verdict,
        missed: &[(Option<SeenVersion>, Option<Moment>)],
        suspects: &[Option<SeenVersion>],
    ) -> Judgement {
        let newest =
            missed.iter().filter_map(|(version, _)| *version).chain(suspects.iter().flatten().copied());
        let newest = newest.map(|version| version.hlc).max();
        if missed.is_empty() && suspects.is_empty() {
            return Judgement { verdict, exposure_us: 0, age_us: 0, exactly: true, lacked: Vec::new() };
        }
        let older = newest.zip(self.returned);
        let older = older.map_or(0, |(newest, returned)| newest.wall().0.saturating_sub(returned.wall().0));
        let ages = missed.iter().filter_map(|(version, since)| match since {
            Some(since) => Some(self.began.micros_since(*since)),
            // It was there before the history begins, and not before it was written.
            None => version.map(|version| self.ago(version.hlc)),
        });
        // What may have been missed may have been committed as soon as it was written.
        let suspected = suspects.iter().flatten().map(|version| self.ago(version.hlc));
        let forgotten = self.forgotten() || suspects.contains(&None);
        let at_most = self.returned.filter(|_| forgotten).map(|returned| self.ago(returned));
        let exposure_us = ages.chain(suspected).chain(at_most).max().unwrap_or(older);
        let exactly = suspects.is_empty() && !forgotten && missed.iter().all(|(_, since)| since.is_some());
        let age_us = older.max(exposure_us);
        Judgement { verdict, exposure_us, age_us, exactly, lacked: Vec::new() }
    }

    /// Whether versions may have been missed of which nothing is known: a home had more than the reply when its history
    /// begins, and may have had others before; or as many homes as make a quorum say nothing.
    fn forgotten(&self) -> bool {
        let silent = self.homes.iter().filter(|(_, home)| matches!(home, HomeView::Unanswered(_))).count();
        if silent >= usize::from(self.w_min.max(1)) {
            return true;
        }
        self.homes.iter().any(|(_, home)| match home {
            HomeView::Sighted(sighting) => sighting
                .states
                .first()
                .is_some_and(|state| state.applied.is_none() && !self.reply.covers_all(&state.context)),
            HomeView::InReply | HomeView::Unanswered(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ActorId;
    use crate::sli::Path;
    use crate::staleness::{Interval, SightedState};

    const BEGAN: Moment = Moment(1_000_000);

    fn dot(counter: u64) -> Dot {
        Dot { actor: ActorId(1), counter }
    }

    fn up_to(counter: u64) -> CausalContext {
        CausalContext::from_parts([(ActorId(1), counter)], [])
    }

    fn at(from: u64, to: u64) -> Option<Interval> {
        Some(Interval { from: Moment(from), to: Moment(to) })
    }

    /// A home that had version 1 for long, and came to version 2, of this W, at some time.
    fn came(applied: Option<Interval>, w: u8) -> HomeView {
        let state = |applied, counter| SightedState {
            applied,
            path: Path::Direct,
            context: up_to(counter),
            versions: vec![SeenVersion { dot: dot(counter), hlc: Hlc::from_wall(wall(counter * 10)), w }],
            trace: None,
        };
        HomeView::Sighted(Sighting {
            complete_since: Interval { from: Moment(10), to: Moment(20) },
            states: vec![state(None, 1), state(applied, 2)],
        })
    }

    fn wall(us: u64) -> crate::time::WallMicros {
        crate::time::WallMicros(us)
    }

    /// A read at R = 1 that returned version 1.
    fn verdict(others: Vec<HomeView>, w_min: u8) -> Judgement {
        let homes = std::iter::once(HomeView::InReply).chain(others).enumerate();
        judge(&Question {
            began: BEGAN,
            began_hlc: Hlc::from_wall(wall(1_000)),
            answered_by: Vec::new(),
            reply: up_to(1),
            returned: Some(Hlc::from_wall(wall(10))),
            w_min,
            settled: true,
            behind: Vec::new(),
            homes: homes.map(|(n, home)| (NodeId::new(&format!("n{n}")).unwrap(), home)).collect(),
        })
    }

    const LONG_BEFORE: (u64, u64) = (500_000, 500_100);
    const AROUND: (u64, u64) = (999_900, 1_000_100);
    const AFTER: (u64, u64) = (1_000_001, 1_000_200);

    fn of(times: [(u64, u64); 2], w: u8) -> Verdict {
        let homes = times.map(|(from, to)| came(at(from, to), w));
        verdict(homes.into(), w).verdict
    }

    #[test]
    fn a_miss_is_what_w_homes_clearly_had_when_the_read_began() {
        assert_eq!(of([LONG_BEFORE, LONG_BEFORE], 2), Verdict::Stale);
        assert_eq!(of([LONG_BEFORE, AROUND], 2), Verdict::Suspect);
        assert_eq!(of([LONG_BEFORE, AFTER], 2), Verdict::Behind);
        assert_eq!(of([AFTER, AFTER], 2), Verdict::Fresh { all: true });
        assert_eq!(of([LONG_BEFORE, AFTER], 1), Verdict::Stale);
    }

    #[test]
    fn homes_that_say_nothing_are_not_taken_for_fresh_unless_they_are_too_few_to_matter() {
        let down = || HomeView::Unanswered(Refusal::NotSent);
        let fresh = || {
            let mut home = came(None, 2);
            if let HomeView::Sighted(sighting) = &mut home {
                sighting.states.truncate(1);
            }
            home
        };
        assert_eq!(verdict(vec![fresh(), down()], 2).verdict, Verdict::Fresh { all: false });
        assert_eq!(verdict(vec![fresh(), down()], 1).verdict, Verdict::Unknown(UnknownCause::ReplicaDown));
        let late = HomeView::Unanswered(Refusal::NoAnswer);
        assert_eq!(verdict(vec![late, down()], 2).verdict, Verdict::Unknown(UnknownCause::Timeout));
        let had = came(at(LONG_BEFORE.0, LONG_BEFORE.1), 2);
        assert_eq!(verdict(vec![had, down()], 2).verdict, Verdict::Suspect);
    }

    #[test]
    fn a_replica_that_was_started_since_may_have_lost_what_it_had() {
        let restarted = || {
            let mut home = came(at(AFTER.0, AFTER.1), 1);
            if let HomeView::Sighted(sighting) = &mut home {
                sighting.complete_since = Interval { from: Moment(1_000_000), to: Moment(1_000_001) };
            }
            home
        };
        assert_eq!(verdict(vec![restarted(), came(at(AFTER.0, AFTER.1), 1)], 1).verdict, Verdict::Suspect);
    }

    #[test]
    fn what_was_replaced_long_ago_may_have_been_committed_with_a_lower_w() {
        let mut home = came(at(LONG_BEFORE.0, LONG_BEFORE.1), 3);
        assert_eq!(verdict(vec![home.clone(), came(at(AFTER.0, AFTER.1), 3)], 1).verdict, Verdict::Suspect);
        // Its only trace is that the home's context has passed it.
        if let HomeView::Sighted(sighting) = &mut home {
            sighting.states.remove(0);
            sighting.states[0].versions.clear();
        }
        assert_eq!(verdict(vec![home, came(at(AFTER.0, AFTER.1), 3)], 1).verdict, Verdict::Suspect);
    }

    #[test]
    fn a_coordinator_that_does_not_know_the_bucket_calls_nothing_fresh() {
        let unsettled = |times: [(u64, u64); 2]| {
            let homes =
                std::iter::once(HomeView::InReply).chain(times.map(|(from, to)| came(at(from, to), 2)));
            let homes = homes.enumerate().map(|(n, home)| (NodeId::new(&format!("n{n}")).unwrap(), home));
            let (reply, returned) = (up_to(1), Some(Hlc::from_wall(wall(10))));
            let (began_hlc, answered_by) = (Hlc::from_wall(wall(1_000)), Vec::new());
            let (homes, settled) = (homes.collect(), false);
            judge(&Question {
                began: BEGAN,
                began_hlc,
                reply,
                returned,
                w_min: 2,
                settled,
                answered_by,
                homes,
                behind: Vec::new(),
            })
            .verdict
        };
        assert_eq!(unsettled([AFTER, AFTER]), Verdict::Unknown(UnknownCause::Settings));
        assert_eq!(unsettled([LONG_BEFORE, AFTER]), Verdict::Unknown(UnknownCause::Settings));
        assert_eq!(unsettled([LONG_BEFORE, LONG_BEFORE]), Verdict::Stale, "that W homes had it is certain");
    }

    #[test]
    fn exposure_counts_from_the_commit_at_the_earliest_and_age_between_write_times() {
        let homes = vec![came(at(500_000, 500_100), 2), came(at(700_000, 700_100), 2)];
        let judgement = verdict(homes, 2);
        assert_eq!((judgement.exposure_us, judgement.age_us), (300_000, 300_000));
        assert!(judgement.exactly);
        let fresh = verdict(vec![came(at(AFTER.0, AFTER.1), 2), came(at(AFTER.0, AFTER.1), 2)], 2);
        assert_eq!((fresh.exposure_us, fresh.age_us), (0, 0));
    }

    #[test]
    fn a_suspect_read_counts_with_the_most_that_it_may_have_missed_and_says_so() {
        let homes = vec![came(at(LONG_BEFORE.0, LONG_BEFORE.1), 2), came(at(AROUND.0, AROUND.1), 2)];
        let judgement = verdict(homes, 2);
        // Version 2 was written at 20, and may have been committed at once; the read began at 1,000.
        assert_eq!((judgement.verdict, judgement.exactly), (Verdict::Suspect, false));
        assert_eq!((judgement.exposure_us, judgement.age_us), (980, 980));
    }

    #[test]
    fn a_stale_read_says_exactly_for_how_long_only_if_nothing_else_may_have_been_missed() {
        let had = || came(at(LONG_BEFORE.0, LONG_BEFORE.1), 1);
        let stale = verdict(vec![had(), had()], 1);
        assert_eq!((stale.verdict, stale.exposure_us, stale.exactly), (Verdict::Stale, 500_000, true));
        // A home that says nothing may have had more, alone.
        let silent = verdict(vec![had(), HomeView::Unanswered(Refusal::NotSent)], 1);
        assert_eq!((silent.verdict, silent.exposure_us, silent.exactly), (Verdict::Stale, 500_000, false));
        // So may one whose history begins with more than the reply.
        let mut forgot = had();
        if let HomeView::Sighted(sighting) = &mut forgot {
            sighting.states.remove(0);
            sighting.states[0].applied = None;
        }
        let forgot = verdict(vec![had(), forgot], 1);
        assert_eq!((forgot.verdict, forgot.exactly), (Verdict::Stale, false));
        // No longer than since it was written: of what was there before the history begins no more is known.
        let old = || {
            let mut home = came(None, 2);
            if let HomeView::Sighted(sighting) = &mut home {
                sighting.states.remove(0);
            }
            home
        };
        let old = verdict(vec![old(), old()], 2);
        assert_eq!((old.verdict, old.exactly), (Verdict::Stale, false));
        assert_eq!(
            (old.exposure_us, old.age_us),
            (990, 990),
            "since what was returned was written, at the most"
        );
    }
}
