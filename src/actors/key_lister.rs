//! The key lister actor: drives [`Listing`]s for clients over a lane of its own, and makes this node's pages for
//! those of all nodes, a few at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::admission::Permit;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{moment, wall};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::key_pages::{Disk, KeyQuestion};
use crate::actors::messages::Answer;
use crate::actors::peer_lane::PeerLane;
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::NodeId;
use crate::protocol::listing::{
    KeyPage, KeyRange, ListError, ListReply, ListTimes, Listing, Next, PageQueue, PageRequest, StatesRequest,
    page_ends, round_ends,
};
use crate::protocol::message::{PeerAnswer, Refusal};
use crate::protocol::ring::NodeIndex;
use crate::protocol::time::Moment;
use crate::storage::Store;
use crate::transport::Responder;

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

/// A peer asks for a page, or for states.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PeerAsksKeys {
    /// For which.
    pub question: KeyQuestion,
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
    pub lane: PeerLane,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

struct InHand {
    listing: Listing,
    reply: oneshot::Sender<Result<ListReply, ListError>>,
    _permit: Permit,
}

/// A question of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Page,
    States,
}

/// The round that a question belongs to. As a number it is the tag of the question to a peer.
#[derive(Debug, Clone, Copy)]
struct RoundPart {
    round: u64,
    part: Part,
}

impl RoundPart {
    fn tag(self) -> u64 {
        self.round * 2 + u64::from(self.part == Part::States)
    }

    fn of(tag: u64) -> Self {
        Self { round: tag / 2, part: if tag.is_multiple_of(2) { Part::Page } else { Part::States } }
    }
}

/// Whom an answer is for.
enum AnswerFor {
    /// This node's own listing.
    Own(RoundPart),
    Peer(Box<dyn Responder>),
}

struct Job {
    question: KeyQuestion,
    deadline: Moment,
    to: AnswerFor,
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

    /// Begins a round: every member is asked for a page.
    fn round(&mut self, in_hand: InHand, request: PageRequest, ctx: &mut Context<Self>) {
        self.rounds += 1;
        let deadline = round_ends(moment(), in_hand.listing.deadline());
        self.listings.insert(self.rounds, in_hand);
        let (ring, part) = (self.parts.ring.current(), RoundPart { round: self.rounds, part: Part::Page });
        let question = KeyQuestion::Page(request);
        for member in ring.members().iter().filter(|member| member.id != self.parts.me) {
            self.ask_peer(&member.id, part, question.clone(), deadline);
        }
        drop(ring);
        self.queue(Job { question, deadline, to: AnswerFor::Own(part) }, ctx);
    }

    /// Asks some members for states.
    fn ask_states(
        &mut self,
        round: u64,
        deadline: Moment,
        asks: Vec<(NodeIndex, StatesRequest)>,
        ctx: &mut Context<Self>,
    ) {
        let (ring, part) = (self.parts.ring.current(), RoundPart { round, part: Part::States });
        let deadline = round_ends(moment(), deadline);
        let mut own = None;
        for (node, request) in asks {
            let question = KeyQuestion::States(request);
            match ring.member(node) {
                Some(member) if member.id == self.parts.me => own = Some(question),
                Some(member) => self.ask_peer(&member.id, part, question, deadline),
                // The ring is another by now: the round ends with its listing's deadline.
                None => {}
            }
        }
        drop(ring);
        if let Some(question) = own {
            self.queue(Job { question, deadline, to: AnswerFor::Own(part) }, ctx);
        }
    }

    fn ask_peer(&self, peer: &NodeId, part: RoundPart, question: KeyQuestion, deadline: Moment) {
        self.parts.lane.ask(peer, question.into(), deadline, part.tag());
    }

    fn answered(
        &mut self,
        of: RoundPart,
        from: &NodeId,
        page: Result<KeyPage, Refusal>,
        ctx: &mut Context<Self>,
    ) {
        let Some(mut in_hand) = self.listings.remove(&of.round) else { return };
        let (ring, now) = (self.parts.ring.current(), moment());
        let next = match of.part {
            Part::Page => in_hand.listing.answered(&ring, now, from, page),
            Part::States => in_hand.listing.states_answered(&ring, now, from, page),
        };
        drop(ring);
        match next {
            Next::Wait => drop(self.listings.insert(of.round, in_hand)),
            Next::Ask(request) => self.round(in_hand, request, ctx),
            Next::AskStates(asks) => {
                let deadline = in_hand.listing.deadline();
                self.listings.insert(of.round, in_hand);
                self.ask_states(of.round, deadline, asks, ctx);
            }
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
            && let Some(Job { question, deadline, to }) = self.waiting.pop_front()
        {
            if !self.parts.gate.is_confirmed() {
                self.made(to, Err(Refusal::Unconfirmed), ctx);
                continue;
            }
            self.running += 1;
            let queue = PageQueue { waiting: self.waiting.len(), at_once: PAGES_MAX };
            let disk = Disk {
                me: self.parts.me.clone(),
                ring: self.parts.ring.clone(),
                settings: self.parts.settings.clone(),
                completeness: self.parts.completeness.clone(),
                store: self.parts.store.clone(),
                shards: self.parts.shards.clone(),
                counters: self.parts.counters.clone(),
                ends: page_ends(moment(), deadline, queue),
            };
            let made = tokio::task::spawn_blocking(move || disk.answer(&question)).into_actor(self);
            ctx.spawn(made.map(|page, lister, ctx| {
                lister.running -= 1;
                lister.made(to, page.unwrap_or(Err(Refusal::Storage)), ctx);
                lister.run_next(ctx);
            }));
        }
    }

    fn made(&mut self, to: AnswerFor, page: Result<KeyPage, Refusal>, ctx: &mut Context<Self>) {
        match to {
            AnswerFor::Own(part) => {
                let me = self.parts.me.clone();
                self.answered(part, &me, page, ctx);
            }
            AnswerFor::Peer(responder) => {
                let answer = page.map_or_else(PeerAnswer::Refused, PeerAnswer::KeysListed);
                responder.respond(answer, self.parts.lane.now());
            }
        }
    }

    fn look_at_deadlines(&mut self) {
        let now = moment();
        let over: Vec<u64> = self
            .listings
            .iter()
            .filter(|(_, l)| l.listing.deadline() <= now)
            .map(|(round, _)| *round)
            .collect();
        for InHand { listing, reply, .. } in over.iter().filter_map(|round| self.listings.remove(round)) {
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
        let times = ListTimes { began: wall(), deadline };
        let begun = {
            let ring = self.parts.ring.current();
            let listing = Listing::new(&ring, settings, range, limit, times);
            listing.map(|mut listing| (listing.ask(&ring, moment()), listing))
        };
        match begun {
            Ok((request, listing)) => {
                self.round(InHand { listing, reply, _permit: permit }, request, ctx);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

impl Handler<PeerAsksKeys> for KeyLister {
    type Result = ();

    fn handle(&mut self, asked: PeerAsksKeys, ctx: &mut Self::Context) {
        let PeerAsksKeys { question, deadline, responder } = asked;
        self.queue(Job { question, deadline, to: AnswerFor::Peer(responder) }, ctx);
    }
}

impl Handler<Answer> for KeyLister {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock, .. }: Answer, ctx: &mut Self::Context) {
        self.parts.lane.observe(clock);
        let page = match answer {
            AnswerBody::Peer(PeerAnswer::KeysListed(page)) => Ok(page),
            AnswerBody::Peer(PeerAnswer::Refused(refusal)) => Err(refusal),
            _ => Err(Refusal::NoAnswer),
        };
        self.answered(RoundPart::of(tag), &from, page, ctx);
    }
}
