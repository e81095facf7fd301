//! The ring membership actor: who is in the cluster, who is up, and whom this node talks to.
//!
//! Membership is what `cluster.members` says: epoch 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::prelude::*;
use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::actors::counters::NodeCounters;
use crate::actors::identity::{Confirmation, Dots};
use crate::actors::shell::hand_over;
use crate::protocol::identity::KnownIdentities;
use crate::protocol::ids::{ActorId, NodeId};
use crate::protocol::ring::Ring;
use crate::storage::{Change, Store, StoreError, Table, peers};
use crate::transport::{Gatekeeper, Identity, NotAdmitted};

/// The ring in force: an immutable snapshot that every actor shares.
#[derive(Debug)]
pub struct RingTable(ArcSwap<Ring>);

impl RingTable {
    /// Starts with `ring`.
    #[must_use]
    pub fn new(ring: Ring) -> Self {
        Self(ArcSwap::from_pointee(ring))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.0.load()
    }
}

/// A peer came up or went down, or said something of this node.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
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

/// What peers have shown of themselves, and whom this node admits.
pub struct Gate {
    me: NodeId,
    ring: Arc<RingTable>,
    dots: Arc<Dots>,
    known: Mutex<Known>,
    confirmation: Mutex<Confirming>,
    /// Whether [`Confirming::state`] is [`Confirmation::Confirmed`], for those in a hurry.
    confirmed: AtomicBool,
    connections: Mutex<BTreeMap<NodeId, u32>>,
    events: Recipient<PeerEvent>,
    counters: Arc<NodeCounters>,
}

struct Confirming {
    state: Confirmation,
    by: BTreeSet<NodeId>,
}

struct Known {
    identities: KnownIdentities,
    changed: bool,
}

impl Gate {
    /// Remembers `identities`, and tells `events` what happens.
    #[must_use]
    pub fn new(
        me: NodeId,
        ring: Arc<RingTable>,
        dots: Arc<Dots>,
        identities: KnownIdentities,
        events: Recipient<PeerEvent>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        let known = Mutex::new(Known { identities, changed: false });
        let confirming = Confirming { state: Confirmation::Awaited, by: BTreeSet::new() };
        let gate = Self {
            me: me.clone(),
            ring,
            dots,
            known,
            confirmation: Mutex::new(confirming),
            confirmed: AtomicBool::new(false),
            connections: Mutex::default(),
            events,
            counters,
        };
        gate.confirm(&me);
        gate
    }

    /// Whether this node may issue dots.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Whether this node's identity is confirmed.
    #[must_use]
    pub fn confirmation(&self) -> Confirmation {
        self.confirming().state.clone()
    }

    fn confirming(&self) -> std::sync::MutexGuard<'_, Confirming> {
        self.confirmation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `by` knows nothing against this node's identity.
    fn confirm(&self, by: &NodeId) {
        let mut confirming = self.confirming();
        confirming.by.insert(by.clone());
        let members = self.ring.current().members().len();
        if confirming.state == Confirmation::Awaited && confirming.by.len() > members / 2 {
            confirming.state = Confirmation::Confirmed;
            self.confirmed.store(true, Ordering::Release);
        }
    }

    /// Whether any connection to `peer` stands.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        *peer == self.me || self.connections().get(peer).is_some_and(|count| *count > 0)
    }

    /// Versions with dots of these actors were seen: each has come at least so far.
    pub fn saw_dots(&self, seen: impl IntoIterator<Item = (ActorId, u64)>) {
        let mut known = self.known();
        for (actor, counter) in seen {
            known.changed |= known.identities.saw_dot(actor, counter);
        }
    }

    /// What is remembered, if it changed since it was last asked for.
    fn take_changed(&self) -> Option<KnownIdentities> {
        let mut known = self.known();
        std::mem::take(&mut known.changed).then(|| known.identities.clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, u32>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: PeerEvent) {
        // Counted when it fails; the mailbox holds far more than there are peers.
        let _ = hand_over(&self.events, event, &self.counters.mailbox_refused);
    }
}

impl Gatekeeper for Gate {
    fn identity(&self) -> Identity {
        let fingerprint = self.ring.current().fingerprint();
        Identity { node: self.me.clone(), presented: self.dots.presented(), fingerprint }
    }

    fn admit(&self, peer: &Identity) -> Result<bool, NotAdmitted> {
        let not_admitted = |reason: String| Err(NotAdmitted { reason, identity: false });
        let ring = self.ring.current();
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
        let mut known = self.known();
        match known.identities.judge(&peer.node, peer.presented) {
            Ok(standing) => {
                known.changed |= known.identities.learn(&peer.node, peer.presented);
                Ok(standing.other_directory)
            }
            Err(refused) => {
                self.counters.identities_refused.add();
                Err(NotAdmitted { reason: refused.to_string(), identity: true })
            }
        }
    }

    fn identity_refused(&self, reason: &str) {
        let mut confirming = self.confirming();
        if !matches!(confirming.state, Confirmation::Refused(_)) {
            tracing::error!("this node issues no dots any more: {reason}");
        }
        confirming.state = Confirmation::Refused(reason.to_owned());
        self.confirmed.store(false, Ordering::Release);
    }

    fn admitted(&self, by: &NodeId, remembers_other_directory: bool) {
        self.confirm(by);
        self.tell(PeerEvent::Remembers { by: by.clone(), other_directory: remembers_other_directory });
    }

    fn connected(&self, peer: &NodeId, up: bool) {
        let mut connections = self.connections();
        let count = connections.entry(peer.clone()).or_default();
        let before = *count;
        *count = if up { before + 1 } else { before.saturating_sub(1) };
        let event = match (before, *count) {
            (0, 1) => Some(PeerEvent::Up(peer.clone())),
            (1, 0) => Some(PeerEvent::Down(peer.clone())),
            _ => None,
        };
        drop(connections);
        if let Some(event) = event {
            self.tell(event);
        }
    }
}

/// What was remembered of peers when the node last ran. A damaged memory is forgotten, with a word in the
/// log: it only guards against restored backups.
pub fn load_known(store: &dyn Store) -> Result<KnownIdentities, StoreError> {
    let Some(record) = store.get(Table::Meta, peers::KEY)? else { return Ok(KnownIdentities::default()) };
    Ok(peers::decode(record).unwrap_or_else(|damage| {
        tracing::error!("what was remembered of peers is lost: {damage}");
        KnownIdentities::default()
    }))
}

/// Tells those who want to know of peers' comings and goings, and remembers peers' identities.
pub struct RingMembership {
    gate: Option<Arc<Gate>>,
    store: Arc<dyn Store>,
    subscribers: Vec<Recipient<PeerEvent>>,
    counters: Arc<NodeCounters>,
}

impl RingMembership {
    /// Tells `subscribers`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        subscribers: Vec<Recipient<PeerEvent>>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        Self { gate: None, store, subscribers, counters }
    }

    /// Writes down what peers have shown. It is synced with whatever is synced next: a peer that presents
    /// less than what was lost here is only caught a little later.
    fn remember(&self) {
        let Some(known) = self.gate.as_ref().and_then(|gate| gate.take_changed()) else { return };
        let value = peers::encode(&known);
        let change = Change::Put { table: Table::Meta, key: Bytes::from_static(peers::KEY), value };
        if let Err(error) = self.store.apply(vec![change]) {
            tracing::warn!("what is known of peers could not be written: {error}");
        }
    }
}

impl Actor for RingMembership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(std::time::Duration::from_secs(1), |membership, _| membership.remember());
    }
}

/// Hands the gate to the actor, which exists before it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach(pub Arc<Gate>);

impl Handler<Attach> for RingMembership {
    type Result = ();

    fn handle(&mut self, Attach(gate): Attach, _: &mut Self::Context) {
        self.gate = Some(gate);
    }
}

impl Handler<PeerEvent> for RingMembership {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match &event {
            PeerEvent::Up(peer) => tracing::info!(%peer, "peer is up"),
            PeerEvent::Down(peer) => tracing::warn!(%peer, "peer is down"),
            PeerEvent::Remembers { .. } => self.remember(),
        }
        for subscriber in &self.subscribers {
            // Counted; a subscriber that is behind by a whole mailbox has worse troubles.
            let _ = hand_over(subscriber, event.clone(), &self.counters.mailbox_refused);
        }
    }
}
