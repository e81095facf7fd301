//! The backfill actor: pulls what this node's directory may lack from the other homes, by a plain scan.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::asking::AskingLane;
use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::moment;
use crate::actors::completeness::{Completeness, Pulled, is_enough};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{ReplicaAsk, ReplicaCommand, ReplyTo};
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{PeerEvent, RingTable};
use crate::actors::shell::hand_over;
use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, Key, NodeId, PartitionId};
use crate::protocol::message::{
    PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, ScanPage, Target,
};
use crate::protocol::quorum::homes_to_merge_from;
use crate::protocol::ring::Ring;

/// Bytes of objects that a page asks for.
const PAGE_BYTES: u32 = 1 << 20;
/// How long one page may take, in microseconds.
const PAGE_TIMEOUT_US: u64 = 10_000_000;
/// How long one pulled object may take to become durable, in microseconds.
const APPLY_TIMEOUT_US: u64 = 10_000_000;
/// How often it is looked whether a peer can be pulled from.
const LOOK: Duration = Duration::from_millis(250);

/// How the directory was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It lacks nothing.
    Complete,
    /// It was just made, or never finished pulling.
    New,
    /// It was not stopped cleanly, and `storage.commit` is `interval` or `os`.
    Unclean,
}

/// What the actor is made of.
pub struct BackfillParts {
    /// This node.
    pub me: NodeId,
    /// How the directory was found.
    pub found: Found,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// What it fills in.
    pub completeness: Arc<Completeness>,
    /// Its connections.
    pub lane: Rc<AskingLane>,
    /// The replica stores.
    pub shards: Arc<Shards>,
    /// Makes the mark durable that the directory lacks nothing.
    pub set_complete: Rc<dyn Fn()>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

enum Phase {
    /// Nothing to do. `founded` says that this run took its directory for a founder's first.
    Complete { founded: bool },
    /// A new directory: is it the first of this node? Peers know.
    Undetermined { heard: BTreeSet<NodeId> },
    /// Pulling.
    Pulling { pulled: BTreeMap<NodeId, Pulled>, running: BTreeSet<NodeId> },
}

/// Decides whether the directory may lack writes, and pulls them.
pub struct Backfill {
    parts: Rc<BackfillParts>,
    phase: Phase,
}

impl Backfill {
    /// An actor that has heard of nobody yet.
    #[must_use]
    pub fn new(parts: BackfillParts) -> Self {
        let phase = match parts.found {
            Found::Complete => Phase::Complete { founded: false },
            Found::New => Phase::Undetermined { heard: BTreeSet::new() },
            Found::Unclean => Phase::Pulling { pulled: BTreeMap::new(), running: BTreeSet::new() },
        };
        parts.completeness.set_all(parts.found == Found::Complete);
        parts.completeness.set_may_lack(parts.found == Found::New);
        Self { parts: Rc::new(parts), phase }
    }

    fn others(&self) -> BTreeSet<NodeId> {
        let ring = self.parts.ring.current();
        ring.members().iter().map(|member| member.id.clone()).filter(|id| *id != self.parts.me).collect()
    }

    /// A founder's first directory lacks nothing. That it is the first is believed once a majority of the
    /// members, this one among them, remembers no other; until then nobody reads from it.
    fn heard(&mut self, by: NodeId, other_directory: bool) {
        let members = self.others().len() + 1;
        match &mut self.phase {
            Phase::Undetermined { .. } | Phase::Complete { founded: true } if other_directory => {
                tracing::warn!(%by, "a peer remembers another data directory of this node: pulling what it held");
                self.parts.completeness.set_may_lack(true);
                self.parts.completeness.set_all(false);
                self.phase = Phase::Pulling { pulled: BTreeMap::new(), running: BTreeSet::new() };
            }
            Phase::Undetermined { heard } => {
                heard.insert(by);
                if heard.len() + 1 > members / 2 {
                    self.found_complete(true);
                }
            }
            Phase::Complete { .. } | Phase::Pulling { .. } => {}
        }
    }

    fn found_complete(&mut self, founded: bool) {
        (self.parts.set_complete)();
        self.parts.completeness.set_may_lack(false);
        self.parts.completeness.set_all(true);
        self.phase = Phase::Complete { founded };
        tracing::info!("this node has all that it should: it answers reads of all its partitions");
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let others = self.others();
        if others.is_empty() && !matches!(self.phase, Phase::Complete { .. }) {
            return self.found_complete(true);
        }
        let Phase::Pulling { pulled, running } = &mut self.phase else { return };
        for peer in others {
            let done = pulled.get(&peer) == Some(&Pulled::Whole);
            if done || running.contains(&peer) || !self.parts.lane.is_up(&peer) {
                continue;
            }
            running.insert(peer.clone());
            let (parts, to) = (self.parts.clone(), ctx.address());
            actix_rt::spawn(async move {
                let result = pull(&parts, &peer).await;
                // A node that stops no longer wants to know.
                let _ = to.try_send(PullEnded { peer, result });
            });
        }
    }

    fn ended(&mut self, PullEnded { peer, result }: PullEnded) {
        let Phase::Pulling { pulled, running } = &mut self.phase else { return };
        running.remove(&peer);
        match result {
            Ok(worth) => {
                tracing::info!(%peer, ?worth, "pulled all that this node should have from a peer");
                pulled.insert(peer, worth);
            }
            Err(refusal) => tracing::info!(%peer, %refusal, "pulling from a peer was broken off"),
        }
        if mark_complete(&self.parts, pulled) {
            self.found_complete(false);
        }
    }
}

/// Marks the partitions that have merged from enough others; whether all have.
fn mark_complete(parts: &BackfillParts, pulled: &BTreeMap<NodeId, Pulled>) -> bool {
    let ring = parts.ring.current();
    let lowest = parts.settings.lowest_w_min();
    let mut all = true;
    for partition in (0..ring.partitions()).map(PartitionId) {
        let enough = lowest.iter().all(|(&n, &w_min)| {
            let homes = home_names(&ring, partition, n);
            let others = homes.iter().filter(|&home| *home != parts.me).cloned().collect();
            !homes.contains(&parts.me) || is_enough(&others, pulled, homes_to_merge_from(n, w_min))
        });
        if enough {
            parts.completeness.complete(partition);
        }
        all &= enough;
    }
    all
}

fn home_names(ring: &Ring, partition: PartitionId, n: u8) -> Vec<NodeId> {
    let homes = ring.homes(partition, n).iter();
    homes.filter_map(|&home| ring.member(home).map(|member| member.id.clone())).collect()
}

/// Pulls all that `peer` holds and this node should, page by page.
async fn pull(parts: &BackfillParts, peer: &NodeId) -> Result<Pulled, Refusal> {
    let mut after = None;
    let mut worth = Pulled::Whole;
    loop {
        let request = PeerRequest::Scan { after, max_bytes: PAGE_BYTES };
        let page = match parts.lane.ask(peer, request, PAGE_TIMEOUT_US).await {
            PeerAnswer::Scanned(page) => page,
            PeerAnswer::Refused(refusal) => return Err(refusal),
            _ => return Err(Refusal::NoAnswer),
        };
        let ScanPage { objects, next, incomplete } = page;
        if incomplete {
            worth = Pulled::Partial;
        }
        keep(parts, objects).await?;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(worth),
        }
    }
}

/// Merges a page of objects into the replica stores, and waits until they are durable.
async fn keep(parts: &BackfillParts, objects: Vec<(BucketName, Key, Object)>) -> Result<(), Refusal> {
    let mut waiting = Vec::with_capacity(objects.len());
    for (bucket, key, object) in objects {
        let (settings, shard) =
            (parts.settings.version(&bucket), parts.shards.of(&parts.ring.current(), &bucket, &key));
        let (reply, answer) = oneshot::channel();
        let ask = ReplicaAsk {
            target: Target { bucket, key, settings },
            request: ReplicaRequest::Apply(object),
            deadline: moment().plus_micros(APPLY_TIMEOUT_US),
            asker: None,
            reply: ReplyTo::Backfill(reply),
        };
        let command = ReplicaCommand::Ask(Box::new(ask));
        hand_over(&shard.replica, command, &parts.counters.mailbox_refused)
            .map_err(|_| Refusal::Overloaded)?;
        waiting.push(answer);
    }
    for answer in waiting {
        match answer.await {
            Ok(ReplicaReply::Applied { .. }) => parts.counters.backfilled_objects.add(),
            // Not this node's by its own ring: it need not have it.
            Ok(ReplicaReply::Refused(Refusal::WrongRing)) => {}
            Ok(ReplicaReply::Refused(refusal)) => return Err(refusal),
            Ok(ReplicaReply::Fetched(_)) | Err(_) => return Err(Refusal::NoAnswer),
        }
    }
    Ok(())
}

#[derive(Message)]
#[rtype(result = "()")]
struct PullEnded {
    peer: NodeId,
    result: Result<Pulled, Refusal>,
}

impl Actor for Backfill {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK, Self::look);
    }
}

impl Handler<PeerEvent> for Backfill {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, ctx: &mut Self::Context) {
        match event {
            PeerEvent::Remembers { by, other_directory } => self.heard(by, other_directory),
            PeerEvent::Up(_) => self.look(ctx),
            PeerEvent::Down(_) => {}
        }
    }
}

impl Handler<PullEnded> for Backfill {
    type Result = ();

    fn handle(&mut self, ended: PullEnded, _: &mut Self::Context) {
        self.ended(ended);
    }
}
