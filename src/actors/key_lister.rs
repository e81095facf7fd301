//! The key lister actor: drives [`Listing`]s for clients over a lane of its own, and makes this node's pages for
//! those of all nodes, a few at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::admission::Permit;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{ShardClock, moment, wall};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{Answer, Damaged};
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::shell::hand_over;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::{BucketName, Key, NodeId, PartitionId};
use crate::protocol::listing::{
    KeyPage, KeyRange, ListError, ListHost, ListReply, ListedRecord, Listing, Next, PageRequest, list_page,
};
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, RingStamp};
use crate::protocol::time::Moment;
use crate::protocol::view::View;
use crate::storage::{Store, objects};
use crate::transport::{Lane, Outgoing, Responder};

/// How many listings of clients are under way at once: each holds a page of every node.
const LISTINGS_MAX: usize = 16;
/// How many pages are made at once: each holds a thread.
const PAGES_MAX: usize = 2;
/// How many more may wait for their turn.
const PAGES_WAITING_MAX: usize = 64;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(10);

/// A client lists keys.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ListKeys {
    /// Which.
    pub range: KeyRange,
    /// How many at the most.
    pub limit: usize,
    /// When the client is told, whatever is there by then.
    pub deadline: Moment,
    /// Returned when the client is answered.
    pub permit: Permit,
    /// The way back; dropped, it says that the node is at its limit.
    pub reply: oneshot::Sender<Result<ListReply, ListError>>,
}

/// A peer asks for a page.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PeerAsksKeys {
    /// For which.
    pub request: PageRequest,
    /// When it no longer cares.
    pub deadline: Moment,
    /// The way back.
    pub responder: Box<dyn Responder>,
}

/// What the actor is made of.
pub struct ListerParts {
    /// This node.
    pub me: NodeId,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// Which partitions this node may answer reads of.
    pub completeness: Arc<CompletenessTable>,
    /// Whether this node's identity is confirmed.
    pub gate: Arc<SharedGate>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// The data plane, to be told of damaged records.
    pub shards: Arc<Shards>,
    /// Its connections.
    pub lane: Lane,
    /// The control plane's clock.
    pub clock: Rc<RefCell<ShardClock>>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

struct InHand {
    listing: Listing,
    deadline: Moment,
    reply: oneshot::Sender<Result<ListReply, ListError>>,
    _permit: Permit,
}

/// Whom a page is for.
enum PageFor {
    /// This node's own listing, in the round of this number.
    Own(u64),
    Peer(Box<dyn Responder>),
}

struct Job {
    request: PageRequest,
    deadline: Moment,
    to: PageFor,
}

/// Lists keys, and makes pages.
pub struct KeyLister {
    parts: ListerParts,
    /// Under the number of the round they are in: what an earlier round asked for finds nothing here.
    listings: BTreeMap<u64, InHand>,
    rounds: u64,
    waiting: VecDeque<Job>,
    running: usize,
}

impl KeyLister {
    /// An actor with nothing in hand.
    #[must_use]
    pub fn new(parts: ListerParts) -> Self {
        Self { parts, listings: BTreeMap::new(), rounds: 0, waiting: VecDeque::new(), running: 0 }
    }

    fn round(&mut self, in_hand: InHand, request: &PageRequest, ctx: &mut Context<Self>) {
        self.rounds += 1;
        let (tag, deadline) = (self.rounds, in_hand.deadline);
        self.listings.insert(tag, in_hand);
        let (clock, ring) = (self.parts.clock.borrow().read(), self.parts.ring.current());
        let stamp = RingStamp { epoch: ring.epoch() };
        for member in ring.members().iter().filter(|member| member.id != self.parts.me) {
            let request = PeerRequest::ListKeys(request.clone());
            let outgoing =
                Outgoing { request, deadline, clock, ring: stamp, trace: None, tag, patient: false };
            self.parts.lane.send(&member.id, outgoing);
        }
        drop(ring);
        self.queue(Job { request: request.clone(), deadline, to: PageFor::Own(tag) }, ctx);
    }

    fn answered(&mut self, tag: u64, from: &NodeId, page: Result<KeyPage, Refusal>, ctx: &mut Context<Self>) {
        let Some(mut in_hand) = self.listings.remove(&tag) else { return };
        let next = in_hand.listing.answered(&self.parts.ring.current(), from, page);
        match next {
            Next::Wait => drop(self.listings.insert(tag, in_hand)),
            Next::Ask(request) => self.round(in_hand, &request, ctx),
            // Who asked may be gone.
            Next::Tell(reply) => drop(in_hand.reply.send(reply)),
        }
    }

    fn queue(&mut self, job: Job, ctx: &mut Context<Self>) {
        if self.waiting.len() >= PAGES_WAITING_MAX {
            self.parts.counters.key_pages_refused.add();
            return self.made(job.to, Err(Refusal::Overloaded), ctx);
        }
        self.waiting.push_back(job);
        self.run_next(ctx);
    }

    fn run_next(&mut self, ctx: &mut Context<Self>) {
        while self.running < PAGES_MAX
            && let Some(Job { request, deadline, to }) = self.waiting.pop_front()
        {
            if !self.parts.gate.is_confirmed() {
                self.made(to, Err(Refusal::Unconfirmed), ctx);
                continue;
            }
            self.running += 1;
            let disk = Disk {
                me: self.parts.me.clone(),
                ring: self.parts.ring.clone(),
                settings: self.parts.settings.clone(),
                completeness: self.parts.completeness.clone(),
                store: self.parts.store.clone(),
                shards: self.parts.shards.clone(),
                counters: self.parts.counters.clone(),
                deadline,
            };
            let made = tokio::task::spawn_blocking(move || disk.page(&request)).into_actor(self);
            ctx.spawn(made.map(|page, lister, ctx| {
                lister.running -= 1;
                lister.made(to, page.unwrap_or(Err(Refusal::Storage)), ctx);
                lister.run_next(ctx);
            }));
        }
    }

    fn made(&mut self, to: PageFor, page: Result<KeyPage, Refusal>, ctx: &mut Context<Self>) {
        match to {
            PageFor::Own(tag) => {
                let me = self.parts.me.clone();
                self.answered(tag, &me, page, ctx);
            }
            PageFor::Peer(responder) => {
                let answer = page.map_or_else(PeerAnswer::Refused, PeerAnswer::KeysListed);
                responder.respond(answer, self.parts.clock.borrow().read());
            }
        }
    }

    fn look_at_deadlines(&mut self) {
        let now = moment();
        let over: Vec<u64> =
            self.listings.iter().filter(|(_, l)| l.deadline <= now).map(|(tag, _)| *tag).collect();
        for InHand { listing, reply, .. } in over.iter().filter_map(|tag| self.listings.remove(tag)) {
            // Who asked may be gone.
            drop(reply.send(listing.ended(&self.parts.ring.current())));
        }
    }
}

impl Actor for KeyLister {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |lister, _| lister.look_at_deadlines());
    }
}

impl Handler<ListKeys> for KeyLister {
    type Result = ();

    fn handle(&mut self, asked: ListKeys, ctx: &mut Self::Context) {
        let ListKeys { range, limit, deadline, permit, reply } = asked;
        if self.listings.len() >= LISTINGS_MAX {
            self.parts.counters.listings_refused.add();
            return drop(reply.send(Err(ListError::Overloaded)));
        }
        let settings = self.parts.settings.current().settings(&range.bucket).clone();
        let begun = {
            let ring = self.parts.ring.current();
            let listing = Listing::new(&ring, settings, range, limit, wall());
            listing.map(|mut listing| (listing.ask(&ring), listing))
        };
        match begun {
            Ok((request, listing)) => {
                self.round(InHand { listing, deadline, reply, _permit: permit }, &request, ctx);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

impl Handler<PeerAsksKeys> for KeyLister {
    type Result = ();

    fn handle(&mut self, asked: PeerAsksKeys, ctx: &mut Self::Context) {
        let PeerAsksKeys { request, deadline, responder } = asked;
        self.queue(Job { request, deadline, to: PageFor::Peer(responder) }, ctx);
    }
}

impl Handler<Answer> for KeyLister {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock, .. }: Answer, ctx: &mut Self::Context) {
        let skewed = clock.is_some_and(|clock| self.parts.clock.borrow_mut().observe(clock).is_err());
        if skewed {
            self.parts.counters.clock_skew_refused.add();
        }
        let page = match answer {
            AnswerBody::Peer(PeerAnswer::KeysListed(page)) => Ok(page),
            AnswerBody::Peer(PeerAnswer::Refused(refusal)) => Err(refusal),
            _ => Err(Refusal::NoAnswer),
        };
        self.answered(tag, &from, page, ctx);
    }
}

/// What a page is read from, on a thread that may block.
struct Disk {
    me: NodeId,
    ring: Arc<RingTable>,
    settings: Arc<SettingsTable>,
    completeness: Arc<CompletenessTable>,
    store: Arc<dyn Store>,
    shards: Arc<Shards>,
    counters: Arc<NodeCounters>,
    deadline: Moment,
}

impl Disk {
    fn page(&self, request: &PageRequest) -> Result<KeyPage, Refusal> {
        let (ring, buckets) = (self.ring.current(), self.settings.current());
        let page = list_page(View { me: &self.me, ring: &ring, buckets: &buckets }, self, request)?;
        for (key, _) in page.entries.iter().filter(|(_, object)| object.is_none()) {
            let (bucket, key) = (request.range.bucket.clone(), key.clone());
            let shard = self.shards.of(&ring, &bucket, &key);
            // Counted; it is met again.
            let _ = hand_over(&shard.damaged, Damaged { bucket, key }, &self.counters.mailbox_refused);
        }
        Ok(page)
    }
}

impl ListHost for Disk {
    fn records(
        &self,
        partition: PartitionId,
        bucket: &BucketName,
        prefix: &[u8],
        after: &Key,
        limit: usize,
    ) -> Result<Vec<ListedRecord>, Refusal> {
        let range =
            objects::range(&*self.store, (partition, bucket), prefix, after, limit, &mut |key, damage| {
                self.counters.damaged_records.add();
                tracing::error!(key = %key.escape_ascii(), "a stored record is damaged: {damage}");
            });
        range.map_err(|error| {
            tracing::error!("a listing failed: {error}");
            error.refusal()
        })
    }

    fn serves(&self, partition: PartitionId) -> bool {
        self.completeness.current().serves(partition)
    }

    fn is_late(&self) -> bool {
        moment() >= self.deadline
    }
}
