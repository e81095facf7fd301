//! How the clocks of a coordinator's peers relate to its own, and whose runs they are of.

use std::collections::{BTreeMap, VecDeque};

use super::applied::{AppliedAt, Came};
use super::bounds::{ClockBounds, Interval};
use super::digest::{Digest, Sighting};
use crate::ids::{ActorId, NodeId};
use crate::planted::{self, Bug};
use crate::sli::ClockObserved;
use crate::time::Moment;

/// How many former runs of a peer are remembered, to tell whose versions theirs are. The oldest goes first.
const FORMER_RUNS_MAX: usize = 16;

/// What the exchanges with each peer say; one entry a member at the most.
#[derive(Debug, Default)]
pub struct PeerClocks {
    peers: BTreeMap<NodeId, PeerClock>,
    /// This node, and the clock of its run.
    own: Option<(NodeId, u64)>,
}

#[derive(Debug)]
struct PeerClock {
    bounds: ClockBounds,
    /// The clocks of its former runs, the oldest first.
    former: VecDeque<u64>,
}

impl PeerClocks {
    /// Tells a peer's digest by one's own clock. It was asked for and came at these moments.
    pub fn sighted(&mut self, from: &NodeId, exchange: (Moment, Moment), digest: Digest) -> Sighting {
        let exchange = ClockBounds::of(digest.clock, (digest.at, digest.at), exchange);
        digest.sighted(&self.narrowed(from, exchange))
    }

    /// Tells by one's own clock when a peer came to have what it acknowledges. `exchange` is when it was asked and when
    /// its answer came.
    pub fn came(&mut self, from: &NodeId, exchange: (Moment, Moment), when: AppliedAt) -> Came {
        let bounds = self.narrowed(from, when.bounds(exchange));
        if planted::has(Bug::ReturnLegConverges) {
            return Came {
                at: Interval { from: exchange.1, to: exchange.1 },
                exactly: true,
                path: when.path,
            };
        }
        let at = bounds.local(when.applied);
        let from = if when.exactly { at.from } else { Moment(0) };
        Came { at: Interval { from, ..at }, exactly: when.exactly, path: when.path }
    }

    /// Notes the clock of this node's own run, as its replica names it.
    pub fn own(&mut self, me: &NodeId, clock: u64) {
        if self.own.is_none() {
            self.own = Some((me.clone(), clock));
        }
    }

    /// The node whose run `actor` is of: a clock is named by its run's first actor. None of a run that this node had no
    /// exchange with, and of an actor that a run went on as after the first.
    #[must_use]
    pub fn writer(&self, actor: ActorId) -> Option<&NodeId> {
        let own = self.own.as_ref().filter(|(_, clock)| *clock == actor.0).map(|(me, _)| me);
        own.or_else(|| {
            let is_of = |peer: &PeerClock| peer.bounds.clock() == actor.0 || peer.former.contains(&actor.0);
            self.peers.iter().find(|(_, peer)| is_of(peer)).map(|(node, _)| node)
        })
    }

    /// A peer's clock less one's own, about, in microseconds; none of a peer with which there was no exchange.
    #[must_use]
    pub fn offset_us(&self, peer: &NodeId) -> Option<i64> {
        self.peers.get(peer).map(|peer| peer.bounds.offset_us())
    }

    /// What is told of them.
    #[must_use]
    pub fn observed(&self) -> Vec<ClockObserved> {
        let observed = self.peers.iter().map(|(node, PeerClock { bounds, .. })| ClockObserved {
            peer: node.clone(),
            offset_us: bounds.offset_us(),
            uncertainty_us: bounds.width_us().div_ceil(2),
        });
        observed.collect()
    }

    fn narrowed(&mut self, from: &NodeId, exchange: ClockBounds) -> ClockBounds {
        let Some(peer) = self.peers.get_mut(from) else {
            let peer = PeerClock { bounds: exchange, former: VecDeque::new() };
            self.peers.insert(from.clone(), peer);
            return exchange;
        };
        let (bounds, before) = (peer.bounds.and(exchange), peer.bounds.clock());
        if before != bounds.clock() {
            peer.former.retain(|clock| *clock != bounds.clock() && *clock != before);
            if peer.former.len() >= FORMER_RUNS_MAX {
                peer.former.pop_front();
            }
            peer.former.push_back(before);
        }
        peer.bounds = bounds;
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    /// An answer of a run of a peer.
    fn answered(clocks: &mut PeerClocks, peer: &str, clock: u64, at: u64) {
        let at = Moment(at);
        let digest = Digest { clock, at, complete_since: at, states: Vec::new() };
        clocks.sighted(&node(peer), (at, at.plus_micros(10)), digest);
    }

    #[test]
    fn a_version_is_of_the_node_whose_run_its_actor_is_of_though_that_was_started_again() {
        let mut clocks = PeerClocks::default();
        clocks.own(&node("n1"), 1);
        answered(&mut clocks, "n2", 20, 100);
        answered(&mut clocks, "n3", 30, 110);
        answered(&mut clocks, "n2", 21, 200);
        let writer = |clocks: &PeerClocks, actor| clocks.writer(ActorId(actor)).cloned();
        assert_eq!(writer(&clocks, 1), Some(node("n1")));
        assert_eq!(writer(&clocks, 20), Some(node("n2")), "a former run");
        assert_eq!(writer(&clocks, 21), Some(node("n2")));
        assert_eq!(writer(&clocks, 30), Some(node("n3")));
        assert_eq!(writer(&clocks, 40), None, "nobody has heard of it");
    }

    #[test]
    fn former_runs_are_remembered_within_a_bound() {
        let mut clocks = PeerClocks::default();
        (0..40).for_each(|run| answered(&mut clocks, "n2", run, 100 * (run + 1)));
        // An answer of an old run that comes late makes it no newer.
        answered(&mut clocks, "n2", 38, 5_000);
        answered(&mut clocks, "n2", 39, 5_100);
        let known = (0..40).filter(|run| clocks.writer(ActorId(*run)).is_some());
        assert_eq!(known.count(), FORMER_RUNS_MAX + 1);
        assert!(clocks.writer(ActorId(39)).is_some() && clocks.writer(ActorId(0)).is_none());
    }
}
