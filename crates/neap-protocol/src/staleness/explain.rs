//! The explanation of a verdict: which write was missed, and what each replica had when the read began.

use std::collections::BTreeMap;

use super::digest::{SightedState, Sighting, WriteTrace};
use super::verdict::{BehindReply, HomeView, Judgement, Lacked};
use crate::causality::CausalContext;
use crate::ids::{Dot, NodeId, TraceContext};
use crate::message::Refusal;
use crate::time::{Hlc, Moment};

/// How many missed writes an explanation names at the most; the newest are named.
pub const MISSED_MAX: usize = 4;

/// What the verdict on a read rests on, kept until it is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// When the coordinator accepted the read.
    pub began: Moment,
    /// The same by its hybrid clock.
    pub began_hlc: Hlc,
    /// What is known of each replica.
    pub replicas: Vec<(NodeId, HomeView)>,
    /// Those whose answer lacked something of the reply.
    pub behind: Vec<BehindReply>,
}

/// A verdict, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The versions that the reply lacks, of those that were most certainly missed: how many there are.
    pub missed_count: usize,
    /// The newest of them, the newest first; a bounded number of them.
    pub missed: Vec<MissedWrite>,
    /// Every replica, in the order of the preference list.
    pub replicas: Vec<ReplicaState<'a>>,
}

/// A write that a read missed, or may have missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedWrite {
    /// The version and its certainty.
    pub lacked: Lacked,
    /// The trace of the write, if a replica was told of it.
    pub trace: Option<TraceContext>,
}

/// What a replica had when a read began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState<'a> {
    /// The replica.
    pub node: &'a NodeId,
    /// What it had, compared with the reply.
    pub versus_reply: VersusReply,
    /// The write time of the newest version that it had; none if it had none, or that is not known.
    pub newest: Option<Hlc>,
    /// For how long it had been behind, by the write time of the oldest version that it lacked, in microseconds: at
    /// least. None unless it is known to have been behind.
    pub lag_us: Option<u64>,
    /// Why it told nothing, if it did not.
    pub refusal: Option<Refusal>,
}

/// What a replica had when a read began, compared with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersusReply {
    /// All that the reply covers, and no more.
    Same,
    /// More.
    Ahead,
    /// Less.
    Behind,
    /// Something that the reply lacks, and not all that it covers.
    Diverged,
    /// It changed about when the read began: clocks do not tell which came first.
    Undecided,
    /// It no longer remembers.
    Forgotten,
    /// It told nothing.
    Unknown,
}

impl VersusReply {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Same,
        Self::Ahead,
        Self::Behind,
        Self::Diverged,
        Self::Undecided,
        Self::Forgotten,
        Self::Unknown,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
            Self::Undecided => "undecided",
            Self::Forgotten => "forgotten",
            Self::Unknown => "unknown",
        }
    }

    fn of(held: &CausalContext, reply: &CausalContext) -> Self {
        match (covers_newest(held, reply), covers_newest(reply, held)) {
            (true, true) => Self::Same,
            (true, false) => Self::Ahead,
            (false, true) => Self::Behind,
            (false, false) => Self::Diverged,
        }
    }
}

/// Explains the verdict on a read whose reply covers `reply`, the newest version of it written at `returned`.
#[must_use]
pub fn explain<'a>(
    evidence: &'a Evidence,
    reply: &'a CausalContext,
    returned: Option<Hlc>,
    judgement: &Judgement,
) -> Explanation<'a> {
    let read = Read { evidence, reply, returned, known: evidence.known() };
    let replicas = evidence.replicas.iter().map(|(node, view)| read.state_of(node, view));
    let most = judgement.newest_lacked().map(|newest| newest.missed);
    let mut lacked: Vec<Lacked> =
        judgement.lacked.iter().filter(|lacked| Some(lacked.missed) == most).copied().collect();
    lacked.sort_by_key(|lacked| std::cmp::Reverse((lacked.hlc, lacked.dot)));
    let missed_count = lacked.len();
    let missed = lacked.into_iter().take(MISSED_MAX);
    let missed = missed.map(|lacked| MissedWrite { lacked, trace: evidence.trace_of(lacked.dot) });
    Explanation { missed_count, missed: missed.collect(), replicas: replicas.collect() }
}

impl Explanation<'_> {
    /// The replicas that are known to have been behind when the read began.
    #[must_use]
    pub fn lagging(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.lag_us.is_some()).count()
    }
}

/// A read, and the versions that some replica clearly had when it began.
struct Read<'a> {
    evidence: &'a Evidence,
    reply: &'a CausalContext,
    returned: Option<Hlc>,
    known: BTreeMap<Dot, Hlc>,
}

/// What a replica had at a moment, as far as its history tells.
enum Then<'a> {
    /// This state.
    Clearly(&'a SightedState),
    /// The first of these, or the second, or one between them.
    Either { least: Option<&'a SightedState>, most: &'a SightedState },
    /// Its history begins later, or may begin later.
    Forgotten,
}

impl<'a> Then<'a> {
    fn of(sighting: &'a Sighting, began: Moment) -> Self {
        let mut least = None;
        let mut most = None;
        for state in &sighting.states {
            match state.applied {
                None if sighting.complete_since.before(began) => least = Some(state),
                None => return Self::Forgotten,
                Some(applied) if applied.before(began) => least = Some(state),
                Some(applied) if applied.after(began) => break,
                Some(_) => most = Some(state),
            }
        }
        match (least, most) {
            (least, Some(most)) => Self::Either { least, most },
            (Some(state), None) => Self::Clearly(state),
            (None, None) => Self::Forgotten,
        }
    }
}

impl Evidence {
    /// The versions that some replica clearly had when the read began, each with its write time.
    fn known(&self) -> BTreeMap<Dot, Hlc> {
        let sightings = self.replicas.iter().filter_map(|(_, view)| match view {
            HomeView::Sighted(sighting) => Some(sighting),
            HomeView::InReply | HomeView::Unanswered(_) => None,
        });
        let before = sightings.flat_map(|sighting| {
            let came = |state: &&SightedState| match state.applied {
                Some(applied) => applied.before(self.began),
                None => sighting.complete_since.before(self.began),
            };
            sighting.states.iter().filter(came)
        });
        before.flat_map(|state| &state.versions).map(|version| (version.dot, version.hlc)).collect()
    }

    fn trace_of(&self, dot: Dot) -> Option<TraceContext> {
        let states = self.replicas.iter().filter_map(|(_, view)| match view {
            HomeView::Sighted(sighting) => Some(&sighting.states),
            HomeView::InReply | HomeView::Unanswered(_) => None,
        });
        let traces = states.flatten().filter_map(|state| state.trace.as_deref());
        traces.filter(|WriteTrace { dot: written, .. }| *written == dot).map(|trace| trace.context).next()
    }
}

impl<'a> Read<'a> {
    fn state_of(&self, node: &'a NodeId, view: &'a HomeView) -> ReplicaState<'a> {
        let state = ReplicaState {
            node,
            versus_reply: VersusReply::Unknown,
            newest: None,
            lag_us: None,
            refusal: None,
        };
        let sighting = match view {
            HomeView::Unanswered(refusal) => return ReplicaState { refusal: Some(*refusal), ..state },
            HomeView::InReply => return self.in_reply(state),
            HomeView::Sighted(sighting) => sighting,
        };
        match Then::of(sighting, self.evidence.began) {
            Then::Forgotten => ReplicaState { versus_reply: VersusReply::Forgotten, ..state },
            Then::Clearly(then) => ReplicaState {
                versus_reply: VersusReply::of(&then.context, self.reply),
                newest: newest(then),
                lag_us: self.lag_us(&then.context),
                ..state
            },
            Then::Either { least, most } => ReplicaState {
                versus_reply: VersusReply::Undecided,
                newest: least.and_then(newest),
                // It may have had all of this.
                lag_us: self.lag_us(&most.context),
                ..state
            },
        }
    }

    /// A replica whose answer, which it gave after the read began, is part of the reply.
    fn in_reply(&self, state: ReplicaState<'a>) -> ReplicaState<'a> {
        let lacked = self.oldest_lacked(self.reply);
        match self.evidence.behind.iter().find(|behind| behind.node == *state.node) {
            None => ReplicaState {
                versus_reply: VersusReply::Same,
                newest: self.returned,
                lag_us: lacked.map(|oldest| self.since(oldest)),
                ..state
            },
            Some(behind) => ReplicaState {
                versus_reply: VersusReply::Behind,
                newest: behind.newest,
                lag_us: lacked
                    .into_iter()
                    .chain(self.returned_before())
                    .min()
                    .map(|oldest| self.since(oldest)),
                ..state
            },
        }
    }

    /// For how long a replica that had seen no more than `seen` had been behind.
    fn lag_us(&self, seen: &CausalContext) -> Option<u64> {
        let of_reply = if covers_newest(seen, self.reply) { None } else { self.returned_before() };
        self.oldest_lacked(seen).into_iter().chain(of_reply).min().map(|oldest| self.since(oldest))
    }

    fn oldest_lacked(&self, seen: &CausalContext) -> Option<Hlc> {
        self.known.iter().filter(|(dot, _)| !seen.covers(**dot)).map(|(_, hlc)| *hlc).min()
    }

    /// The write time of the reply, unless it may have been written since the read began. Nobody tells when a replica
    /// came to have what it answers, so hybrid clocks decide.
    fn returned_before(&self) -> Option<Hlc> {
        self.returned.filter(|returned| *returned < self.evidence.began_hlc)
    }

    fn since(&self, hlc: Hlc) -> u64 {
        self.evidence.began_hlc.wall().0.saturating_sub(hlc.wall().0)
    }
}

fn newest(state: &SightedState) -> Option<Hlc> {
    state.versions.iter().map(|version| version.hlc).max()
}

/// Whether `set` covers the highest dots of `of`: whatever lies below one of them was seen with it.
fn covers_newest(set: &CausalContext, of: &CausalContext) -> bool {
    of.vector().iter().all(|&(actor, counter)| set.covers(Dot { actor, counter }))
        && of.cloud().iter().all(|dot| set.covers(*dot))
}
