//! Messages between nodes: framed TCP with a handshake that proves the cluster's secret.
//!
//! A *lane* is one node's connections for one purpose (a data-plane shard, or the control plane): one
//! connection to each peer, used for that lane's requests and their answers only. So no lane waits behind
//! another, and no peer behind another peer.

mod acceptor;
mod buffers;
pub mod codec;
mod connection;
mod counters;
pub mod frame;
mod handshake;
mod handshake_slots;
mod lane;
mod link;
mod member_addresses;
mod reconnect;
pub mod wire;

pub use acceptor::{Acceptor, AcceptorBounds, AcceptorConfig};
pub use buffers::{MemoryShare, PeerMemory};
pub use connection::Connection;
pub use counters::TransportCounters;
pub use handshake::{LanePurpose, Secret};
pub use handshake_slots::HandshakeBounds;
pub use lane::{Lane, LaneConfig};
pub use reconnect::Reconnects;

use crate::protocol::ids::NodeId;
use crate::protocol::membership::{Identity, NotAdmitted};
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, RingStamp};
use crate::protocol::time::{Hlc, Moment};

/// A request as it leaves.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What is asked.
    pub request: PeerRequest,
    /// When the asker no longer cares, on its own monotonic clock. The frame carries the time left.
    pub deadline: Moment,
    /// The sender's clock.
    pub clock: Hlc,
    /// The ring the sender goes by.
    pub ring: RingStamp,
    /// W3C trace context, if the operation has one (`traceparent`).
    pub trace: Option<String>,
    /// Handed back with the answer.
    pub tag: u64,
    /// Whether it may wait a few milliseconds, to go with others. What waits for it costs a system call and wakes the
    /// peer's thread once for all of them.
    pub patient: bool,
}

/// An answer as it came back.
#[derive(Debug, Clone)]
pub struct Answered {
    /// What the request was sent with.
    pub tag: u64,
    /// What.
    pub answer: PeerAnswer,
    /// The peer's clock, where a peer answered at all.
    pub clock: Option<Hlc>,
    /// When a request that was patient left.
    pub left: Option<Moment>,
}

impl Answered {
    fn refused(tag: u64, refusal: Refusal) -> Self {
        Self { tag, answer: PeerAnswer::Refused(refusal), clock: None, left: None }
    }
}

/// A request as it arrives.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Who asks: proven by the handshake.
    pub from: NodeId,
    /// What is asked.
    pub request: PeerRequest,
    /// When the asker no longer cares, on this node's monotonic clock.
    pub deadline: Moment,
    /// The sender's clock.
    pub clock: Hlc,
    /// W3C trace context, if the operation has one.
    pub trace: Option<String>,
}

/// The most that a buffer keeps, in bytes, when what was in it is sent.
const KEPT_BYTES: usize = 256 * 1024;

/// Empties a buffer for what is to be sent next. One that had to hold much is not kept.
fn reuse(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

/// Takes the answers of a lane. Called on the lane's thread; must not block.
pub trait AnswerSink: 'static {
    /// The answer to a request. Each gets exactly one.
    fn answer(&self, from: &NodeId, answered: Answered);
}

/// Serves requests of peers. Called on the connection's thread; must not block.
pub trait PeerService: Send + Sync + 'static {
    /// Serves one request; the answer may come later, from any thread.
    fn serve(&self, incoming: Incoming, responder: Box<dyn Responder>);
}

/// The way back for one answer.
pub trait Responder: Send {
    /// Sends the answer. One that is dropped unused answers that the node is overloaded.
    fn respond(self: Box<Self>, answer: PeerAnswer, clock: Hlc);
}

/// This node's monotonic clock.
pub type MonotonicClock = fn() -> Moment;

/// Judges peers in the handshake, on both sides. Called on any thread; must not block for longer than a sync.
pub trait Gatekeeper: Send + Sync + 'static {
    /// This node's identity, now.
    fn identity(&self) -> Identity;

    /// Whether to talk to `peer`. What is remembered of it is durable when this returns.
    fn admit(&self, peer: &Identity) -> Result<(), NotAdmitted>;

    /// A peer refuses this node's identity: it has seen more of this directory than the directory shows.
    fn identity_refused(&self, reason: &str);

    /// A peer has admitted this node.
    fn admitted(&self, by: &NodeId);

    /// The synced ceiling of this node's clock, which it announces every now and then.
    fn ceiling(&self) -> Hlc;

    /// A peer has announced its own.
    fn announced(&self, peer: &NodeId, ceiling: Hlc);

    /// Whether a connection to `peer` stands, on some lane.
    fn connected(&self, peer: &NodeId, up: bool);
}
