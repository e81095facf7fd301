//! A node's connections, with the promises of [`crate::transport`]: each request gets exactly one answer, the
//! peer's or a refusal, by its deadline; `NotSent` only where nothing was sent.
//!
//! One link to each peer carries the requests of all that ask; a connection stands between two runs, and ends with
//! either. Frames of one connection may overtake each other, which TCP's do not: nothing may rely on their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::network::NodeIndex;
use neap_protocol::bounds::OUTSTANDING_MAX;
use neap_protocol::message::{PeerRequest, Refusal};
use neap_protocol::time::Moment;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The coordinator.
    Coordinator,
    /// The keeper of bucket settings.
    Settings,
    /// The backfill.
    Backfill,
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outstanding {
    /// Who asked.
    pub owner: Owner,
    /// Handed back with the answer.
    pub tag: u64,
    /// Whether it may have reached the network.
    sent: bool,
}

/// A request that waits for a connection.
#[derive(Debug)]
pub struct Pending {
    /// Its number.
    pub id: u64,
    /// What.
    pub request: PeerRequest,
    /// When the answer is no longer wanted.
    pub deadline: Moment,
}

/// The link to one peer.
#[derive(Debug, Default)]
pub struct Link {
    /// The connection that stands, by its number.
    pub connection: Option<u64>,
    /// Whether a dial is under way or due.
    pub dialling: bool,
    /// Whether a dial is under way.
    pub shaking: bool,
    /// How long the next dial waits after a failure, in microseconds.
    pub backoff_us: u64,
    /// Whether the last dial failed.
    pub down: bool,
    /// When the last dial failed, or the last connection ended.
    pub failed_at: Option<Moment>,
    outstanding: BTreeMap<u64, Outstanding>,
    pending: Vec<Pending>,
    next_id: u64,
}

/// Requests that may wait for one peer's answers.
/// A request that comes this soon after a failed dial is refused rather than dialled for, in microseconds.
const REST_AFTER_FAILURE_US: u64 = 20_000;
/// The first wait after a failed dial, in microseconds.
pub const BACKOFF_MIN_US: u64 = 50_000;
/// The longest, in microseconds.
pub const BACKOFF_MAX_US: u64 = 1_000_000;

/// What becomes of a request.
#[derive(Debug)]
pub enum Sending {
    /// It goes out now, under this number.
    Now {
        /// The connection.
        connection: u64,
        /// The request's number.
        id: u64,
        /// What.
        request: Box<PeerRequest>,
    },
    /// It waits for a connection, which is to be dialled.
    Waits,
    /// It is refused.
    Refused(Refusal),
}

/// All links of a node.
#[derive(Debug, Default)]
pub struct Transport {
    /// By the peer.
    pub links: BTreeMap<NodeIndex, Link>,
    /// Connections of peers to this node, by the peer.
    pub accepted: BTreeMap<NodeIndex, u64>,
    deadlines: BinaryHeap<Reverse<(Moment, NodeIndex, u64)>>,
    waiting: usize,
}

impl Transport {
    /// Whether the link to `peer` stands.
    #[must_use]
    pub fn is_up(&self, peer: NodeIndex) -> bool {
        self.links.get(&peer).is_some_and(|link| link.connection.is_some())
    }

    /// Whether `peer` is known to be down: no connection stands, and the last dial failed.
    #[must_use]
    pub fn is_down(&self, peer: NodeIndex) -> bool {
        self.links.get(&peer).is_some_and(|link| link.down)
    }

    /// Takes a request to be sent.
    pub fn send(
        &mut self,
        now: Moment,
        peer: NodeIndex,
        (owner, tag): (Owner, u64),
        request: PeerRequest,
        deadline: Moment,
    ) -> Sending {
        let link = self.links.entry(peer).or_default();
        if deadline <= now {
            return Sending::Refused(Refusal::Deadline);
        }
        if link.outstanding.len() >= OUTSTANDING_MAX {
            return Sending::Refused(Refusal::Overloaded);
        }
        let rests = link.failed_at.is_some_and(|at| now.micros_since(at) < REST_AFTER_FAILURE_US);
        if link.connection.is_none() && rests {
            return Sending::Refused(Refusal::NotSent);
        }
        link.next_id += 1;
        let id = link.next_id;
        let sent = link.connection.is_some();
        link.outstanding.insert(id, Outstanding { owner, tag, sent });
        self.waiting += 1;
        self.deadlines.push(Reverse((deadline, peer, id)));
        match link.connection {
            Some(connection) => Sending::Now { connection, id, request: Box::new(request) },
            None => {
                link.pending.push(Pending { id, request, deadline });
                Sending::Waits
            }
        }
    }

    /// A connection stands: what waited for it goes out.
    pub fn up(&mut self, peer: NodeIndex, connection: u64) -> Vec<Pending> {
        let link = self.links.entry(peer).or_default();
        (link.connection, link.down) = (Some(connection), false);
        (link.dialling, link.shaking) = (false, false);
        link.backoff_us = BACKOFF_MIN_US;
        link.failed_at = None;
        let mut pending = std::mem::take(&mut link.pending);
        pending.retain(|waiting| {
            let wanted = link.outstanding.get_mut(&waiting.id);
            wanted.map(|outstanding| outstanding.sent = true).is_some()
        });
        pending
    }

    /// The connection has ended, or could not be made: what waited for answers gets none.
    pub fn down(&mut self, now: Moment, peer: NodeIndex) -> Vec<(Outstanding, Refusal)> {
        let link = self.links.entry(peer).or_default();
        // Without a connection it was a dial that failed.
        link.down = link.connection.take().is_none();
        link.shaking = false;
        link.failed_at = Some(now);
        link.pending.clear();
        self.waiting -= link.outstanding.len();
        let ended = std::mem::take(&mut link.outstanding).into_values();
        ended
            .map(|request| (request, if request.sent { Refusal::NoAnswer } else { Refusal::NotSent }))
            .collect()
    }

    /// Takes an answer that came on `connection`; none if nobody waits for it any more.
    pub fn answered(&mut self, peer: NodeIndex, connection: u64, id: u64) -> Option<Outstanding> {
        let link = self.links.get_mut(&peer)?;
        if link.connection != Some(connection) {
            return None;
        }
        let request = link.outstanding.remove(&id);
        self.waiting -= usize::from(request.is_some());
        request
    }

    /// Ends requests whose deadline has passed.
    pub fn expire(&mut self, now: Moment) -> Vec<(NodeIndex, Outstanding, Refusal)> {
        let mut ended = Vec::new();
        while let Some(&Reverse((deadline, peer, id))) = self.deadlines.peek() {
            let Some(link) = self.links.get_mut(&peer) else { break };
            let waits = link.outstanding.contains_key(&id);
            if waits && deadline > now {
                break;
            }
            self.deadlines.pop();
            if let Some(request) = link.outstanding.remove(&id) {
                self.waiting -= 1;
                link.pending.retain(|pending| pending.id != id);
                let refusal = if request.sent { Refusal::NoAnswer } else { Refusal::NotSent };
                ended.push((peer, request, refusal));
            }
        }
        ended
    }

    /// When [`Transport::expire`] is wanted next, at the earliest.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        self.deadlines.peek().map(|due| due.0.0)
    }

    /// How many requests wait for answers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
