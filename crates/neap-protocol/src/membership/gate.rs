//! Whom a node talks to, and whether the others take it for what it says it is.
//!
//! Two nodes that meet judge each other by [`Gate::admit`]. A run answers for nothing, as a home, until a majority of
//! the members, itself among them, has admitted it: a copy of its directory may run elsewhere, and what it holds may be
//! a backup. One refusal of its identity is final.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{KnownIdentities, Presented, Shown};
use super::start::Memory;
use crate::ids::{DirectoryId, NodeId};
use crate::message::Recall;
use crate::planted::{self, Bug};
use crate::ring::Ring;
use crate::time::Hlc;

/// Who a node says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub node: NodeId,
    /// The run that speaks, and its past.
    pub presented: Presented,
    /// The fingerprint of the membership record it goes by.
    pub fingerprint: u64,
}

/// Why a peer is not talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAdmitted {
    /// For the logs of both sides.
    pub reason: String,
    /// Whether its identity is at fault: it must then answer for nothing.
    pub identity: bool,
}

/// A peer came up or went down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first connection to it stands.
    Up(NodeId),
    /// The last connection to it is gone.
    Down(NodeId),
}

/// Whether this node's identity is confirmed, so that it may answer as a home.
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
    /// Of whom a run was admitted that is not yet written down.
    admitted: BTreeSet<NodeId>,
    /// Whose clock ceiling has risen since it was last written down.
    announced: BTreeSet<NodeId>,
    /// The directory that each peer was last admitted with.
    current: BTreeMap<NodeId, DirectoryId>,
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
            admitted: BTreeSet::new(),
            announced: BTreeSet::new(),
            current: BTreeMap::new(),
            confirmation: Confirmation::Awaited,
            confirmed_by: BTreeSet::new(),
            connections: BTreeMap::new(),
        };
        gate.confirm(ring, &me);
        gate
    }

    /// Judges a peer. What [`Gate::take_admitted`] then gives must be durable before the peer hears that it is
    /// admitted.
    pub fn admit(&mut self, ring: &Ring, peer: &Identity) -> Result<(), NotAdmitted> {
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
        match self.known.judge(&peer.node, &peer.presented) {
            Ok(()) => {
                self.current.insert(peer.node.clone(), peer.presented.directory);
                if self.known.learn(&peer.node, &peer.presented) {
                    self.admitted.insert(peer.node.clone());
                }
                Ok(())
            }
            Err(refused) => Err(NotAdmitted { reason: refused.to_string(), identity: true }),
        }
    }

    /// `by` has admitted this run.
    pub fn admitted(&mut self, ring: &Ring, by: &NodeId) {
        self.confirm(ring, by);
    }

    /// What is remembered of the directories of a peer that was admitted, by a directory with this memory.
    #[must_use]
    pub fn recall(&self, peer: &NodeId, memory: Memory) -> Recall {
        let current = self.current.get(peer);
        match self.known.of(peer).any(|(directory, _)| Some(&directory) != current) {
            true => Recall::Another,
            false if memory == Memory::Whole || planted::has(Bug::MemorylessVouches) => Recall::NoOther,
            false => Recall::Unsure,
        }
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

    /// Whether this node may answer as a home.
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

    /// A peer has announced the ceiling of its clock, which is synced.
    pub fn announced(&mut self, peer: &NodeId, ceiling: Hlc) {
        let Some(directory) = self.current.get(peer) else { return };
        if self.known.announced(peer, *directory, ceiling) {
            self.announced.insert(peer.clone());
        }
    }

    /// What is remembered of the nodes of which a run was admitted since this was last asked for.
    pub fn take_admitted(&mut self) -> Vec<(NodeId, Vec<(DirectoryId, Shown)>)> {
        let admitted = std::mem::take(&mut self.admitted);
        self.remembered(admitted)
    }

    /// What is remembered of the nodes whose clock ceiling has risen since this was last asked for. Losing some of it
    /// only lets a backup pass that is a little younger.
    pub fn take_announced(&mut self) -> Vec<(NodeId, Vec<(DirectoryId, Shown)>)> {
        let announced = std::mem::take(&mut self.announced);
        self.remembered(announced)
    }

    fn remembered(&self, of: BTreeSet<NodeId>) -> Vec<(NodeId, Vec<(DirectoryId, Shown)>)> {
        of.into_iter().map(|node| (node.clone(), self.known.of(&node).collect())).collect()
    }
}
