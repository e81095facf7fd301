//! Asks every other member what it knows, and adds it up.

use std::collections::{BTreeMap, BTreeSet};

use super::summary::SloSummary;
use crate::ids::NodeId;
use crate::time::Moment;

/// Questions that may be under way at once.
pub const GATHERINGS_MAX: usize = 64;

/// The questions under way; `W` is the way back to who asked.
#[derive(Debug)]
pub struct Gatherings<W> {
    open: BTreeMap<u64, Open<W>>,
    next: u64,
}

#[derive(Debug)]
struct Open<W> {
    waiting: BTreeSet<NodeId>,
    until: Moment,
    gathered: Gathered<W>,
}

/// What came together.
#[derive(Debug)]
pub struct Gathered<W> {
    /// The way back.
    pub way: W,
    /// What all that answered know.
    pub summary: SloSummary,
    /// Those that did not, by name.
    pub unreachable: Vec<NodeId>,
}

/// What comes of a question.
#[derive(Debug)]
pub enum Begun<W> {
    /// All peers are to be asked with this tag.
    Ask(u64),
    /// There are none.
    Done(Gathered<W>),
    /// Too many questions are under way.
    Refused(W),
}

impl<W> Default for Gatherings<W> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), next: 1 }
    }
}

impl<W> Gatherings<W> {
    /// Begins with what this node knows. Every peer that is to be asked must then answer, or be answered for, once; those of
    /// whom nothing is heard `until` then are none.
    pub fn begin(&mut self, own: SloSummary, peers: &[NodeId], until: Moment, way: W) -> Begun<W> {
        let gathered = Gathered { way, summary: own, unreachable: Vec::new() };
        if peers.is_empty() {
            return Begun::Done(gathered);
        }
        if self.open.len() >= GATHERINGS_MAX {
            return Begun::Refused(gathered.way);
        }
        let tag = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(tag, Open { waiting: peers.iter().cloned().collect(), until, gathered });
        Begun::Ask(tag)
    }

    /// A peer has answered, or cannot, which is none. Returns what came together with the last of them.
    pub fn answered(&mut self, from: NodeId, tag: u64, summary: Option<SloSummary>) -> Option<Gathered<W>> {
        let open = self.open.get_mut(&tag)?;
        if !open.waiting.remove(&from) {
            return None;
        }
        match summary {
            Some(summary) => open.gathered.summary.merge(&summary),
            None => {
                open.gathered.unreachable.push(from);
                open.gathered.unreachable.sort();
            }
        }
        if open.waiting.is_empty() { self.open.remove(&tag).map(|open| open.gathered) } else { None }
    }

    /// Ends what was to be answered before `now`. An answer may be lost on its way through this node.
    pub fn overdue(&mut self, now: Moment) -> Vec<Gathered<W>> {
        let ended = self.open.extract_if(.., |_, open| open.until < now);
        let ended = ended.map(|(_, Open { waiting, mut gathered, .. })| {
            gathered.unreachable.extend(waiting);
            gathered.unreachable.sort();
            gathered
        });
        ended.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::Pending;

    fn knows(untracked: u64) -> SloSummary {
        SloSummary { at_us: 0, promises: Vec::new(), pending: Pending { ages: Vec::new(), untracked } }
    }

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn who_does_not_answer_is_named_and_the_others_are_added_up() {
        let mut gatherings = Gatherings::default();
        let peers = [node("n2"), node("n3"), node("n4")];
        let Begun::Ask(tag) = gatherings.begin(knows(1), &peers, Moment(9), "way") else {
            unreachable!("peers are asked")
        };
        assert!(gatherings.answered(node("n4"), tag, None).is_none());
        assert!(gatherings.answered(node("n2"), tag, Some(knows(10))).is_none());
        assert!(gatherings.answered(node("n2"), tag, Some(knows(10))).is_none(), "it has answered before");
        assert!(gatherings.answered(node("n3"), tag + 1, Some(knows(10))).is_none(), "that was not asked");
        let gathered = gatherings.answered(node("n3"), tag, None).unwrap();
        assert_eq!((gathered.way, gathered.summary.pending.untracked), ("way", 11));
        assert_eq!(gathered.unreachable, [node("n3"), node("n4")]);
        assert!(gatherings.open.is_empty());
    }

    #[test]
    fn a_node_without_peers_answers_at_once_and_too_many_questions_are_refused() {
        let mut gatherings = Gatherings::default();
        assert!(matches!(gatherings.begin(knows(0), &[], Moment(9), ()), Begun::Done(_)));
        for _ in 0..GATHERINGS_MAX {
            assert!(matches!(gatherings.begin(knows(0), &[node("n2")], Moment(9), ()), Begun::Ask(_)));
        }
        assert!(matches!(gatherings.begin(knows(0), &[node("n2")], Moment(9), ()), Begun::Refused(())));
    }

    #[test]
    fn of_whom_nothing_is_heard_in_time_is_named_and_makes_room() {
        let mut gatherings = Gatherings::default();
        let peers = [node("n2"), node("n3")];
        let Begun::Ask(tag) = gatherings.begin(knows(1), &peers, Moment(9), "way") else {
            unreachable!("peers are asked")
        };
        assert!(gatherings.answered(node("n3"), tag, Some(knows(10))).is_none());
        assert!(gatherings.overdue(Moment(9)).is_empty());
        let ended = gatherings.overdue(Moment(10));
        assert_eq!((ended.len(), ended[0].summary.pending.untracked), (1, 11));
        assert_eq!(ended[0].unreachable, [node("n2")]);
        assert!(gatherings.open.is_empty());
        assert!(gatherings.answered(node("n2"), tag, Some(knows(10))).is_none(), "too late");
    }
}
