//! How the clocks of a coordinator's peers relate to its own.

use std::collections::BTreeMap;

use super::bounds::ClockBounds;
use super::digest::{Digest, Sighting};
use crate::protocol::ids::NodeId;
use crate::protocol::time::Moment;

/// What the exchanges with each peer say; one entry a member at the most.
#[derive(Debug, Default)]
pub struct PeerClocks(BTreeMap<NodeId, ClockBounds>);

impl PeerClocks {
    /// Tells a peer's digest by one's own clock. It was asked for and came at these moments.
    pub fn sighted(&mut self, from: &NodeId, exchange: (Moment, Moment), digest: Digest) -> Sighting {
        let exchange = ClockBounds::of(digest.clock, digest.at, exchange);
        let bounds = self.0.get(from).map_or(exchange, |known| known.and(exchange));
        self.0.insert(from.clone(), bounds);
        digest.sighted(&bounds)
    }
}
