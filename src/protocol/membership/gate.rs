//! Whom a node talks to, and whether the others take it for what it says it is.
//!
//! Two nodes that meet judge each other by [`Gate::admit`]. A run issues dots only once a majority of the members,
//! itself among them, has admitted it: until then a restored backup would give its new writes names that are
//! taken. One refusal of its identity is final.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{KnownIdentities, Presented, Shown};
use crate::protocol::ids::{ActorId, DirectoryId, NodeId};
use crate::protocol::ring::Ring;

/// Who a node says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub node: NodeId,
    /// The run that speaks, and what it began from.
    pub presented: Presented,
    /// The fingerprint of the membership record it goes by.
    pub fingerprint: u64,
}

/// Why a peer is not talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAdmitted {
    /// For the logs of both sides.
    pub reason: String,
    /// Whether its identity is at fault: it must then issue no dots.
    pub identity: bool,
}

/// A peer came up or went down, or said something of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first connection to it stands.
    Up(NodeId),
    /// The last connection to it is gone.
    Down(NodeId),
    /// It admitted this node, and remembers another directory of it, or does not.
    Remembers {
        /// The peer.
        by: NodeId,
        /// Whether it remembers another directory.
        other_directory: bool,
    },
}

/// Whether this node's identity is confirmed, so that it may issue dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// Too few members have admitted this run yet.
    Awaited,
    /// A majority of the members, this one among them, has.
    Confirmed,
    /// A member has seen more of this directory than it shows. Final.
    Refused(String),
}

/// What one node knows of its peers, and they of it.
#[derive(Debug)]
pub struct Gate {
    me: NodeId,
    known: KnownIdentities,
    /// Of whom something changed since it was last written down.
    changed: BTreeSet<NodeId>,
    confirmation: Confirmation,
    confirmed_by: BTreeSet<NodeId>,
    connections: BTreeMap<NodeId, u32>,
}

impl Gate {
    /// Remembers `known` of earlier runs.
    #[must_use]
    pub fn new(me: NodeId, ring: &Ring, known: KnownIdentities) -> Self {
        let mut gate = Self {
            me: me.clone(),
            known,
            changed: BTreeSet::new(),
            confirmation: Confirmation::Awaited,
            confirmed_by: BTreeSet::new(),
            connections: BTreeMap::new(),
        };
        gate.confirm(ring, &me);
        gate
    }

    /// Judges a peer. `Ok(true)` says that this node remembers another directory of it.
    pub fn admit(&mut self, ring: &Ring, peer: &Identity) -> Result<bool, NotAdmitted> {
        let not_admitted = |reason: String| Err(NotAdmitted { reason, identity: false });
        if ring.index_of(&peer.node).is_none() {
            return not_admitted(format!("{} is not among the members of the cluster", peer.node));
        }
        if peer.node == self.me {
            return not_admitted(format!("{} is this node's own name", peer.node));
        }
        if peer.fingerprint != ring.fingerprint() {
            return not_admitted(format!(
                "the ring's fingerprints differ: {:016x} here, {:016x} there; cluster.members and \
                 cluster.partitions must be equal on all founders",
                ring.fingerprint(),
                peer.fingerprint
            ));
        }
        match self.known.judge(&peer.node, peer.presented) {
            Ok(standing) => {
                if self.known.learn(&peer.node, peer.presented) {
                    self.changed.insert(peer.node.clone());
                }
                Ok(standing.other_directory)
            }
            Err(refused) => Err(NotAdmitted { reason: refused.to_string(), identity: true }),
        }
    }

    /// `by` has admitted this run.
    pub fn admitted(&mut self, ring: &Ring, by: &NodeId, other_directory: bool) -> PeerEvent {
        self.confirm(ring, by);
        PeerEvent::Remembers { by: by.clone(), other_directory }
    }

    fn confirm(&mut self, ring: &Ring, by: &NodeId) {
        self.confirmed_by.insert(by.clone());
        let majority = self.confirmed_by.len() > ring.members().len() / 2;
        if self.confirmation == Confirmation::Awaited && majority {
            self.confirmation = Confirmation::Confirmed;
        }
    }

    /// A peer refuses this node's identity: it has seen more of this directory than the directory shows. False if
    /// that was known before.
    pub fn refused(&mut self, reason: &str) -> bool {
        let news = !matches!(self.confirmation, Confirmation::Refused(_));
        self.confirmation = Confirmation::Refused(reason.to_owned());
        news
    }

    /// Whether this node's identity is confirmed.
    #[must_use]
    pub fn confirmation(&self) -> &Confirmation {
        &self.confirmation
    }

    /// Whether this node may issue dots.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmation == Confirmation::Confirmed
    }

    /// A connection to `peer` has come up, or has gone.
    pub fn connected(&mut self, peer: &NodeId, up: bool) -> Option<PeerEvent> {
        let count = self.connections.entry(peer.clone()).or_default();
        let before = *count;
        *count = if up { before + 1 } else { before.saturating_sub(1) };
        match (before, *count) {
            (0, 1) => Some(PeerEvent::Up(peer.clone())),
            (1, 0) => Some(PeerEvent::Down(peer.clone())),
            _ => None,
        }
    }

    /// Whether any connection to `peer` stands.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        *peer == self.me || self.connections.get(peer).is_some_and(|count| *count > 0)
    }

    /// Versions with dots of these actors were seen: each has come at least so far.
    pub fn saw_dots(&mut self, seen: impl IntoIterator<Item = (ActorId, u64)>) {
        for (actor, counter) in seen {
            self.changed.extend(self.known.saw_dot(actor, counter));
        }
    }

    /// What is remembered of the nodes of which something changed since this was last asked for.
    pub fn take_changed(&mut self) -> Vec<(NodeId, Vec<(DirectoryId, Shown)>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|node| (node.clone(), self.known.of(&node).collect())).collect()
    }
}
