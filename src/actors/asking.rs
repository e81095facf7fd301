//! A lane for those who ask seldom and wait for the answer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::actors::clock::{ShardClock, moment};
use crate::actors::ring_membership::RingTable;
use crate::protocol::ids::NodeId;
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, RingStamp};
use crate::protocol::time::Hlc;
use crate::transport::{AnswerSink, Lane, Outgoing};

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<PeerAnswer>>>>;

/// The sink of such a lane.
#[derive(Clone, Default)]
pub struct AskingSink {
    waiting: Waiting,
}

impl AnswerSink for AskingSink {
    fn answer(&self, _: &NodeId, tag: u64, answer: PeerAnswer, _: Option<Hlc>) {
        if let Some(reply) = self.waiting.borrow_mut().remove(&tag) {
            // Whoever no longer waits is not told.
            let _ = reply.send(answer);
        }
    }
}

/// Asks, and waits.
pub struct AskingLane {
    lane: Lane,
    sink: AskingSink,
    clock: Rc<RefCell<ShardClock>>,
    ring: Arc<RingTable>,
    next: Cell<u64>,
}

impl AskingLane {
    /// Asks over `lane`, whose sink is `sink`.
    #[must_use]
    pub fn new(lane: Lane, sink: AskingSink, clock: Rc<RefCell<ShardClock>>, ring: Arc<RingTable>) -> Self {
        Self { lane, sink, clock, ring, next: Cell::new(0) }
    }

    /// Whether `peer` can be asked now.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        self.lane.is_up(peer)
    }

    /// Asks `to`, for `timeout_us` microseconds at the most.
    pub async fn ask(&self, to: &NodeId, request: PeerRequest, timeout_us: u64) -> PeerAnswer {
        let tag = self.next.get() + 1;
        self.next.set(tag);
        let (reply, answer) = oneshot::channel();
        self.sink.waiting.borrow_mut().insert(tag, reply);
        let outgoing = Outgoing {
            request,
            deadline: moment().plus_micros(timeout_us),
            clock: self.clock.borrow().read(),
            ring: RingStamp { epoch: self.ring.current().epoch() },
            trace: None,
            tag,
        };
        self.lane.send(to, outgoing);
        answer.await.unwrap_or(PeerAnswer::Refused(Refusal::NoAnswer))
    }
}
