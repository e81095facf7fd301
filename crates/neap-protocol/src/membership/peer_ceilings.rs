//! The clock ceilings that peers announce: whose clock is so far ahead that others refuse it.
//!
//! A ceiling is synced up to a second ahead of a clock and announced once a second, so two clocks that agree announce
//! ceilings that are less than [`SLACK_US`] apart. A node whose ceiling is further ahead than that and `clock.max_skew` of
//! most peers' has issued, or may have, times that they refuse: it cannot serve until their clocks get there. Where all clocks
//! were set back, all ceilings stand, and none is ahead of the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::NodeId;
use crate::time::{CEILING_STEP_US, Hlc};

/// Distance of the ceilings of clocks that agree, in microseconds: a step that one has raised and the other has not, and
/// two announcements.
pub const SLACK_US: u64 = CEILING_STEP_US + 2_000_000;

/// This node's clock is ahead of those of most peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockAhead {
    /// The peers that refuse it.
    pub of: Vec<NodeId>,
    /// How far it is ahead of the last of them to accept it again, in microseconds.
    pub ahead_us: u64,
    /// Time until enough of them accept it, in microseconds.
    pub left_us: u64,
}

/// A peer's clock has run ahead of this node's, or is no longer ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerClock {
    /// It is ahead by so many microseconds: its frames are refused.
    Ahead(u64),
    /// It is within bounds again.
    Back,
}

/// The ceilings that peers announced to this run.
#[derive(Debug)]
pub struct PeerCeilings {
    max_skew_us: u64,
    announced: BTreeMap<NodeId, Hlc>,
    ahead: BTreeSet<NodeId>,
}

impl PeerCeilings {
    /// No peer has announced any yet.
    #[must_use]
    pub fn new(max_skew_us: u64) -> Self {
        Self { max_skew_us, announced: BTreeMap::new(), ahead: BTreeSet::new() }
    }

    /// A peer announced its ceiling, while this node's stands at `own`. Returns a change that is worth a word.
    pub fn announced(&mut self, peer: &NodeId, ceiling: Hlc, own: Hlc) -> Option<PeerClock> {
        let known = self.announced.entry(peer.clone()).or_insert(ceiling);
        *known = ceiling.max(*known);
        let theirs = *known;
        match self.beyond(theirs, own) {
            Some(ahead_us) => self.ahead.insert(peer.clone()).then_some(PeerClock::Ahead(ahead_us)),
            None => self.ahead.remove(peer).then_some(PeerClock::Back),
        }
    }

    /// Whether this node, whose ceiling stands at `own`, is refused by so many of the `members` that no majority with it is
    /// left. Peers that announced nothing do not count either way.
    #[must_use]
    pub fn own_clock_ahead(&self, own: Hlc, members: usize) -> Option<ClockAhead> {
        let behind = self.announced.iter();
        let mut behind: Vec<(u64, &NodeId)> =
            behind.filter_map(|(peer, theirs)| Some((self.beyond(own, *theirs)?, peer))).collect();
        behind.sort_unstable();
        // As many as must accept this node again so that they are a majority with it.
        let refusing = behind.len();
        let without = members.saturating_sub(refusing);
        let needed = (members / 2 + 1).checked_sub(without).filter(|needed| *needed > 0)?;
        let (ahead_us, _) = behind.get(needed - 1)?;
        Some(ClockAhead {
            of: behind.iter().map(|(_, peer)| (*peer).clone()).collect(),
            ahead_us: *ahead_us,
            left_us: ahead_us.saturating_sub(self.max_skew_us),
        })
    }

    /// By how much one ceiling is beyond another, where that is too much.
    fn beyond(&self, ceiling: Hlc, other: Hlc) -> Option<u64> {
        let ahead_us = ceiling.wall().0.saturating_sub(other.wall().0);
        (ahead_us > self.max_skew_us + SLACK_US).then_some(ahead_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallMicros;

    const S: u64 = 1_000_000;
    const SKEW_US: u64 = S / 2;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn at(us: u64) -> Hlc {
        Hlc::from_wall(WallMicros(us))
    }

    #[test]
    fn a_node_ahead_of_most_peers_is_told_for_how_long_and_one_ahead_of_few_is_not() {
        let mut ceilings = PeerCeilings::new(SKEW_US);
        let own = at(700 * S);
        assert_eq!(ceilings.own_clock_ahead(own, 3), None, "nothing was heard yet");
        ceilings.announced(&node("b"), at(100 * S), own);
        assert_eq!(ceilings.own_clock_ahead(own, 3), None, "c may agree");
        ceilings.announced(&node("c"), at(102 * S), own);
        let ahead = ceilings.own_clock_ahead(own, 3).unwrap();
        assert_eq!((ahead.of, ahead.ahead_us), (vec![node("c"), node("b")], 598 * S));
        assert_eq!(ahead.left_us, 598 * S - SKEW_US);
        assert_eq!(ceilings.own_clock_ahead(own, 5), None, "two others may be a majority with it");
        assert_eq!(ceilings.own_clock_ahead(at(102 * S), 3), None);
    }

    #[test]
    fn a_node_of_a_pair_is_ahead_of_the_other() {
        let mut ceilings = PeerCeilings::new(SKEW_US);
        ceilings.announced(&node("b"), at(100 * S), at(700 * S));
        assert!(ceilings.own_clock_ahead(at(700 * S), 2).is_some());
        assert!(
            ceilings.own_clock_ahead(at(100 * S + SLACK_US + SKEW_US), 2).is_none(),
            "no more than ceilings are apart"
        );
    }

    #[test]
    fn a_peer_that_runs_ahead_is_named_once_until_it_is_back() {
        let mut ceilings = PeerCeilings::new(SKEW_US);
        let mut heard = |theirs, own| ceilings.announced(&node("b"), at(theirs), at(own));
        assert_eq!(heard(100 * S, 100 * S), None);
        assert_eq!(heard(700 * S, 101 * S), Some(PeerClock::Ahead(599 * S)));
        assert_eq!(heard(700 * S, 102 * S), None);
        assert_eq!(heard(700 * S, 699 * S), Some(PeerClock::Back));
    }
}
