//! The ring membership actor: who is in the cluster, who is up, and whom this node talks to.
//!
//! Membership is what `cluster.members` says: epoch 1.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;

use crate::actors::clock::Ceiling;
use crate::actors::counters::NodeCounters;
use crate::actors::shell::{end_the_process_if_a_sync_failed, hand_over};
use crate::protocol::ids::NodeId;
use crate::protocol::membership::{
    ClockAhead, Confirmation, Gate, Identity, Memory, NotAdmitted, PeerCeilings, PeerClock, PeerEvent,
    Presented, REFUSED_BEFORE,
};
use crate::protocol::message::Recall;
use crate::protocol::ring::Ring;
use crate::protocol::time::{CeilingKeeper as _, Hlc};
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
    presented: Presented,
    ceiling: Arc<Ceiling>,
    store: Arc<dyn Store>,
    gate: Mutex<Gate>,
    /// Whether the gate says that this node may answer as a home, for those in a hurry.
    confirmed: AtomicBool,
    events: Recipient<PeerNews>,
    /// Makes it durable that this node's identity was refused.
    mark_refused: Box<dyn Fn() + Send + Sync>,
    ceilings: Mutex<PeerCeilings>,
    counters: Arc<NodeCounters>,
}

/// This node, as its peers meet it.
pub struct Party {
    /// Its name.
    pub me: NodeId,
    /// What its run presents.
    pub presented: Presented,
    /// Whether a run before it was refused.
    pub refused: bool,
    /// Makes it durable that this one is.
    pub mark_refused: Box<dyn Fn() + Send + Sync>,
    /// `clock.max_skew`, in microseconds.
    pub max_skew_us: u64,
}

impl SharedGate {
    /// Meets peers as `party`, remembers what `store` does of peers, and tells `events` what happens.
    pub fn new(
        Party { me, presented, refused, mark_refused, max_skew_us }: Party,
        ring: Arc<RingTable>,
        ceiling: Arc<Ceiling>,
        store: Arc<dyn Store>,
        events: Recipient<PeerNews>,
        counters: Arc<NodeCounters>,
    ) -> Result<Self, StoreError> {
        let known = peers::load(&*store, &mut |damage| {
            tracing::error!("what was remembered of a peer is lost: {damage}");
        })?;
        let mut gate = Gate::new(me.clone(), &ring.current(), known);
        if refused {
            gate.refused(REFUSED_BEFORE);
            tracing::error!("this node answers for nothing: {REFUSED_BEFORE}");
        }
        let confirmed = AtomicBool::new(gate.is_confirmed());
        let gate = Mutex::new(gate);
        let ceilings = Mutex::new(PeerCeilings::new(max_skew_us));
        Ok(Self {
            me,
            ring,
            presented,
            ceiling,
            store,
            gate,
            confirmed,
            events,
            mark_refused,
            ceilings,
            counters,
        })
    }

    /// Whether this node may answer as a home.
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

    /// By how much this node's clock is ahead, if most peers refuse it for that.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<ClockAhead> {
        let members = self.ring.current().members().len();
        let ceilings = self.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        ceilings.own_clock_ahead(self.ceiling.synced(), members)
    }

    /// What is remembered of a peer's directories.
    #[must_use]
    pub fn recall(&self, peer: &NodeId, memory: Memory) -> Recall {
        self.with(|gate| gate.recall(peer, memory))
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
        Identity { node: self.me.clone(), presented: self.presented.clone(), fingerprint }
    }

    fn admit(&self, peer: &Identity) -> Result<(), NotAdmitted> {
        let (judged, admitted) = self.with(|gate| {
            let judged = gate.admit(&self.ring.current(), peer);
            (judged, gate.take_admitted())
        });
        if matches!(&judged, Err(refused) if refused.identity) {
            self.counters.identities_refused.add();
        }
        let changes: Vec<_> = admitted.iter().map(|(node, shown)| peers::change(node, shown)).collect();
        if changes.is_empty() {
            return judged;
        }
        // Were this forgotten, a copy of the peer's directory could be admitted beside it.
        let stored = self.store.apply_from_reserve(changes).and_then(|()| self.store.sync());
        match stored.inspect_err(end_the_process_if_a_sync_failed) {
            Ok(()) => judged,
            Err(error) => {
                let reason = format!("{} cannot write down whom it admits: {error}", self.me);
                Err(NotAdmitted { reason, identity: false })
            }
        }
    }

    fn identity_refused(&self, reason: &str) {
        if self.with(|gate| gate.refused(reason)) {
            (self.mark_refused)();
            tracing::error!("this node answers for nothing any more: {reason}");
        }
    }

    fn admitted(&self, by: &NodeId) {
        self.with(|gate| gate.admitted(&self.ring.current(), by));
    }

    fn ceiling(&self) -> Hlc {
        self.ceiling.synced()
    }

    fn announced(&self, peer: &NodeId, ceiling: Hlc) {
        self.with(|gate| gate.announced(peer, ceiling));
        let own = self.ceiling.synced();
        let mut ceilings = self.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        match ceilings.announced(peer, ceiling, own) {
            Some(PeerClock::Ahead(us)) => {
                self.counters.peer_clocks_ahead.add();
                tracing::warn!(
                    %peer,
                    "its clock is ahead by {:.3} s, more than clock.max_skew: what it asks is refused until it is not",
                    us as f64 / 1e6
                );
            }
            Some(PeerClock::Back) => tracing::info!(%peer, "its clock is within clock.max_skew again"),
            None => {}
        }
    }

    fn connected(&self, peer: &NodeId, up: bool) {
        if let Some(event) = self.with(|gate| gate.connected(peer, up)) {
            self.tell(event);
        }
    }
}

/// How often it is written down which clock ceilings peers have announced.
const REMEMBER: Duration = Duration::from_secs(10);

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

    /// Writes down which clock ceilings peers have announced. It is synced with whatever is synced next.
    fn remember(&self) {
        let Some(gate) = &self.gate else { return };
        let changed = gate.with(Gate::take_announced);
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
        ctx.run_interval(REMEMBER, |membership, _| membership.remember());
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
        }
        for subscriber in &self.subscribers {
            // Counted; a subscriber that is behind by a whole mailbox has worse troubles.
            let _ = hand_over(subscriber, event.clone(), &self.counters.mailbox_refused);
        }
    }
}
