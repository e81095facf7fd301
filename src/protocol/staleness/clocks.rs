//! How the clocks of a coordinator's peers relate to its own.

use std::collections::BTreeMap;

use super::applied::{AppliedAt, Came};
use super::bounds::{ClockBounds, Interval};
use super::digest::{Digest, Sighting};
use crate::planted::{self, Bug};
use crate::protocol::ids::NodeId;
use crate::protocol::sli::ClockObserved;
use crate::protocol::time::Moment;

/// What the exchanges with each peer say; one entry a member at the most.
#[derive(Debug, Default)]
pub struct PeerClocks(BTreeMap<NodeId, ClockBounds>);

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

    /// A peer's clock less one's own, about, in microseconds; none of a peer with which there was no exchange.
    #[must_use]
    pub fn offset_us(&self, peer: &NodeId) -> Option<i64> {
        self.0.get(peer).map(ClockBounds::offset_us)
    }

    /// What is told of them.
    #[must_use]
    pub fn observed(&self) -> Vec<ClockObserved> {
        let observed = self.0.iter().map(|(peer, bounds)| ClockObserved {
            peer: peer.clone(),
            offset_us: bounds.offset_us(),
            uncertainty_us: bounds.width_us().div_ceil(2),
        });
        observed.collect()
    }

    fn narrowed(&mut self, from: &NodeId, exchange: ClockBounds) -> ClockBounds {
        let bounds = self.0.get(from).map_or(exchange, |known| known.and(exchange));
        match self.0.get_mut(from) {
            Some(known) => *known = bounds,
            None => drop(self.0.insert(from.clone(), bounds)),
        }
        bounds
    }
}
