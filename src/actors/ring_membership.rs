//! The ring membership actor: who is in the cluster, who is up, and whom this node talks to.
//!
//! Membership is what `cluster.members` says: epoch 1.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::prelude::*;
use arc_swap::ArcSwap;

use crate::actors::counters::NodeCounters;
use crate::actors::identity::Dots;
use crate::actors::shell::hand_over;
use crate::protocol::ids::{ActorId, NodeId};
use crate::protocol::membership::{Confirmation, Gate, Identity, KnownIdentities, NotAdmitted, PeerEvent};
use crate::protocol::ring::Ring;
use crate::storage::{Store, StoreError, peers};
use crate::transport::Gatekeeper;

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
pub struct PeerNews(pub PeerEvent);

/// The node's [`Gate`], shared by all who meet peers.
pub struct SharedGate {
    me: NodeId,
    ring: Arc<RingTable>,
    dots: Arc<Dots>,
    gate: Mutex<Gate>,
    /// Whether the gate says that this node may issue dots, for those in a hurry.
    confirmed: AtomicBool,
    events: Recipient<PeerNews>,
    counters: Arc<NodeCounters>,
}

impl SharedGate {
    /// Remembers `identities`, and tells `events` what happens.
    #[must_use]
    pub fn new(
        me: NodeId,
        ring: Arc<RingTable>,
        dots: Arc<Dots>,
        identities: KnownIdentities,
        events: Recipient<PeerNews>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        let gate = Gate::new(me.clone(), &ring.current(), identities);
        let confirmed = AtomicBool::new(gate.is_confirmed());
        Self { me, ring, dots, gate: Mutex::new(gate), confirmed, events, counters }
    }

    /// Whether this node may issue dots.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Whether this node's identity is confirmed.
    #[must_use]
    pub fn confirmation(&self) -> Confirmation {
        self.with(|gate| gate.confirmation().clone())
    }

    /// Whether any connection to `peer` stands.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        self.with(|gate| gate.is_up(peer))
    }

    /// Versions with dots of these actors were seen: each has come at least so far.
    pub fn saw_dots(&self, seen: impl IntoIterator<Item = (ActorId, u64)>) {
        self.with(|gate| gate.saw_dots(seen));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Gate) -> T) -> T {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let result = look(&mut gate);
        self.confirmed.store(gate.is_confirmed(), Ordering::Release);
        result
    }

    fn tell(&self, event: PeerEvent) {
        // Counted when it fails; the mailbox holds far more than there are peers.
        let _ = hand_over(&self.events, PeerNews(event), &self.counters.mailbox_refused);
    }
}

impl Gatekeeper for SharedGate {
    fn identity(&self) -> Identity {
        let fingerprint = self.ring.current().fingerprint();
        Identity { node: self.me.clone(), presented: self.dots.presented(), fingerprint }
    }

    fn admit(&self, peer: &Identity) -> Result<bool, NotAdmitted> {
        self.with(|gate| gate.admit(&self.ring.current(), peer)).inspect_err(|refused| {
            if refused.identity {
                self.counters.identities_refused.add();
            }
        })
    }

    fn identity_refused(&self, reason: &str) {
        if self.with(|gate| gate.refused(reason)) {
            tracing::error!("this node issues no dots any more: {reason}");
        }
    }

    fn admitted(&self, by: &NodeId, remembers_other_directory: bool) {
        let event = self.with(|gate| gate.admitted(&self.ring.current(), by, remembers_other_directory));
        self.tell(event);
    }

    fn connected(&self, peer: &NodeId, up: bool) {
        if let Some(event) = self.with(|gate| gate.connected(peer, up)) {
            self.tell(event);
        }
    }
}

/// What was remembered of peers when the node last ran. A damaged memory is forgotten, with a word in the log.
pub fn load_known(store: &dyn Store) -> Result<KnownIdentities, StoreError> {
    peers::load(store, &mut |damage| tracing::error!("what was remembered of a peer is lost: {damage}"))
}

/// Tells those who want to know of peers' comings and goings, and remembers peers' identities.
pub struct RingMembership {
    gate: Option<Arc<SharedGate>>,
    store: Arc<dyn Store>,
    subscribers: Vec<Recipient<PeerNews>>,
    counters: Arc<NodeCounters>,
}

impl RingMembership {
    /// Tells `subscribers`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        subscribers: Vec<Recipient<PeerNews>>,
        counters: Arc<NodeCounters>,
    ) -> Self {
        Self { gate: None, store, subscribers, counters }
    }

    /// Writes down what peers have shown. It is synced with whatever is synced next: a peer that presents
    /// less than what was lost here is only caught a little later.
    fn remember(&self) {
        let Some(gate) = &self.gate else { return };
        let changed = gate.with(Gate::take_changed);
        if changed.is_empty() {
            return;
        }
        let changes = changed.iter().map(|(node, shown)| peers::change(node, shown)).collect();
        if let Err(error) = self.store.apply(changes) {
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
pub struct Attach(pub Arc<SharedGate>);

impl Handler<Attach> for RingMembership {
    type Result = ();

    fn handle(&mut self, Attach(gate): Attach, _: &mut Self::Context) {
        self.gate = Some(gate);
    }
}

impl Handler<PeerNews> for RingMembership {
    type Result = ();

    fn handle(&mut self, event: PeerNews, _: &mut Self::Context) {
        match &event.0 {
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
