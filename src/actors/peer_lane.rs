//! How an actor of the control plane talks with peers: over connections of its own, with the control plane's clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::actors::clock::ShardClock;
use crate::actors::counters::NodeCounters;
use crate::actors::ring_membership::RingTable;
use crate::protocol::ids::NodeId;
use crate::protocol::message::{PeerRequest, RingStamp};
use crate::protocol::time::{Hlc, Moment};
use crate::transport::{Lane, Outgoing};

/// The connections of one actor.
pub struct PeerLane {
    lane: Lane,
    ring: Arc<RingTable>,
    clock: Rc<RefCell<ShardClock>>,
    counters: Arc<NodeCounters>,
}

impl PeerLane {
    /// Over `lane`, under the ring in force.
    #[must_use]
    pub fn new(
        lane: Lane,
        ring: Arc<RingTable>,
        clock: Rc<RefCell<ShardClock>>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        Self { lane, ring, clock, counters }
    }

    /// Asks a peer. Its answer, or that there is none, comes with the tag.
    pub fn ask(&self, peer: &NodeId, request: PeerRequest, deadline: Moment, tag: u64) {
        let (clock, ring) = (self.now(), RingStamp { epoch: self.ring.current().epoch() });
        self.lane.send(peer, Outgoing { request, deadline, clock, ring, trace: None, tag, patient: false });
    }

    /// Whether a connection to a peer stands.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        self.lane.is_up(peer)
    }

    /// The reading that goes with what is sent.
    #[must_use]
    pub fn now(&self) -> Hlc {
        self.clock.borrow().read()
    }

    /// Takes in the clock of a peer's answer, if a peer answered. One that is too far ahead is counted.
    pub fn observe(&self, clock: Option<Hlc>) {
        if clock.is_some_and(|clock| self.clock.borrow_mut().observe(clock).is_err()) {
            self.counters.clock_skew_refused.add();
        }
    }
}
