//! Repair by what a read's probes found, once its verdict is settled: its client waits for none of it.
//!
//! ```text
//!  replicas that have more than the reply ──Fetch──> joined with the reply ──Apply──> every replica that lacks some of it
//! ```
//!
//! A write sends its whole state to every replica, so what was written a moment ago is under way, and no difference.
//! Only what is older than [`IN_FLIGHT_US`] by its write time is repaired.

use super::{ApplyWhy, Effect, RepairWhen};
use crate::causality::Object;
use crate::ids::NodeId;
use crate::staleness::SightedState;
use crate::time::Hlc;

/// Versions written so shortly before a read are taken to be under way to every replica, in microseconds.
pub const IN_FLIGHT_US: u64 = 1_000_000;

/// What a replica is known to hold.
#[derive(Debug, Clone)]
enum Holds {
    /// The state that the reply shows.
    Reply,
    /// A state that it told of, without its values.
    Seen(SightedState),
    /// An object that it sent.
    Sent(Object),
}

#[derive(Debug, Clone)]
struct Replica {
    node: NodeId,
    holds: Holds,
}

/// What a read showed of a key, and when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    /// The state that the reply was made of.
    pub(super) reply: Option<&'a Object>,
    /// The coordinator's clock when the read began.
    pub(super) began: Hlc,
}

/// The replicas of a key of which it is known what they hold.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Those that hold what the reply shows, or are being sent it.
    pub(super) holders: Vec<&'a NodeId>,
    /// Those that told of their state.
    pub(super) seen: Vec<(&'a NodeId, &'a SightedState)>,
    /// Those whose objects, with more than the reply, came too late to be part of it.
    pub(super) late: &'a [(NodeId, Object)],
}

/// The repair of one key by one read.
#[derive(Debug, Clone)]
pub(super) struct ProbeRepair {
    reply: Option<Object>,
    replicas: Vec<Replica>,
    /// Replicas that have more than the reply, to be fetched from, or not answered yet.
    fetching: Vec<NodeId>,
    /// Replicas that were sent the joined state and have not acknowledged it.
    applying: Vec<NodeId>,
    joined: Option<Object>,
    begun: bool,
}

impl Shown<'_> {
    /// Whether a state differs from the reply by something that is not under way.
    pub(super) fn differs_from(&self, seen: &SightedState) -> bool {
        self.is_lacked_by(seen) || self.is_exceeded_by(seen)
    }

    /// Whether all that is newest has long been under way.
    pub(super) fn is_settled(&self, newest: Option<Hlc>) -> bool {
        let age_us = |hlc: Hlc| self.began.wall().0.saturating_sub(hlc.wall().0);
        newest.is_none_or(|newest| age_us(newest) >= IN_FLIGHT_US)
    }

    fn is_lacked_by(&self, seen: &SightedState) -> bool {
        self.reply.is_some_and(|reply| self.is_settled(reply.newest()) && lacks(seen, reply))
    }

    fn is_exceeded_by(&self, seen: &SightedState) -> bool {
        self.is_settled(newest(seen)) && exceeds(seen, self.reply)
    }
}

impl ProbeRepair {
    /// The repair of a key of which some replica was found to differ.
    pub(super) fn new(shown: Shown<'_>, known: Known<'_>) -> Self {
        let ahead = known.seen.iter().filter(|(_, seen)| shown.is_exceeded_by(seen));
        let fetching = ahead.map(|(node, _)| (*node).clone()).collect();
        let mut joined = shown.reply.cloned();
        for (_, object) in known.late.iter().filter(|(_, object)| shown.is_settled(object.newest())) {
            join(&mut joined, object, shown.began);
        }
        let holders = known.holders.into_iter().map(|node| (node, Holds::Reply));
        let seen = known.seen.into_iter().map(|(node, seen)| (node, Holds::Seen(seen.clone())));
        let late = known.late.iter().map(|(node, object)| (node, Holds::Sent(object.clone())));
        let replicas = holders.chain(seen).chain(late);
        let replicas = replicas.map(|(node, holds)| Replica { node: node.clone(), holds }).collect();
        let reply = shown.reply.cloned();
        Self { reply, replicas, fetching, applying: Vec::new(), joined, begun: false }
    }

    /// Whether it waits to be begun.
    pub(super) fn is_found(&self) -> bool {
        !self.begun
    }

    /// Whether some answer is to come, or it waits to be begun.
    pub(super) fn goes_on(&self) -> bool {
        !self.begun || !self.fetching.is_empty() || !self.applying.is_empty()
    }

    /// Begins: at most N - R replicas are fetched from.
    pub(super) fn begin(&mut self, effects: &mut Vec<Effect>) {
        self.begun = true;
        effects.extend(self.fetching.iter().map(|node| Effect::Fetch { to: node.clone() }));
        self.apply_once_all_have_answered(effects);
    }

    /// Takes what a replica holds that was fetched from. False if none was.
    pub(super) fn fetched(
        &mut self,
        from: &NodeId,
        object: Option<&Object>,
        at: Hlc,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !self.no_longer_fetches(from) {
            return false;
        }
        if let Some(object) = object {
            join(&mut self.joined, object, at);
            if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.node == *from) {
                replica.holds = Holds::Sent(object.clone());
            }
        }
        self.apply_once_all_have_answered(effects);
        true
    }

    /// A replica refuses what it was asked here. False if it was asked nothing.
    pub(super) fn refused(&mut self, from: &NodeId, effects: &mut Vec<Effect>) -> bool {
        if self.no_longer_fetches(from) {
            self.apply_once_all_have_answered(effects);
            return true;
        }
        self.applied(from)
    }

    /// A replica has the joined state. False if it was not sent it.
    pub(super) fn applied(&mut self, from: &NodeId) -> bool {
        let at = self.applying.iter().position(|node| node == from);
        at.map(|at| self.applying.swap_remove(at)).is_some()
    }

    fn no_longer_fetches(&mut self, from: &NodeId) -> bool {
        let at = self.fetching.iter().position(|node| self.begun && node == from);
        at.map(|at| self.fetching.swap_remove(at)).is_some()
    }

    fn apply_once_all_have_answered(&mut self, effects: &mut Vec<Effect>) {
        let Some(joined) = self.joined.as_ref().filter(|_| self.fetching.is_empty()) else { return };
        for Replica { node, holds } in &self.replicas {
            let behind = match holds {
                Holds::Reply => self.reply.as_ref().is_none_or(|reply| reply.lacks(joined)),
                Holds::Seen(seen) => lacks(seen, joined),
                Holds::Sent(object) => object.lacks(joined),
            };
            if behind {
                let (to, object) = (node.clone(), joined.clone());
                effects.push(Effect::Apply { to, object, why: ApplyWhy::Repair(RepairWhen::Async) });
                self.applying.push(node.clone());
            }
        }
    }
}

fn join(joined: &mut Option<Object>, object: &Object, at: Hlc) {
    match joined {
        Some(joined) => joined.merge(object, at),
        None => *joined = Some(object.clone()),
    }
}

fn newest(seen: &SightedState) -> Option<Hlc> {
    seen.versions.iter().map(|version| version.hlc).max()
}

/// Whether merging `object` into the state would change its versions or its context.
fn lacks(seen: &SightedState, object: &Object) -> bool {
    !seen.context.covers_all(object.context())
        || seen.versions.iter().any(|version| object.has_dropped(version.dot))
}

/// Whether the state has seen, or seen the end of, something that lives or is unknown in `object`.
fn exceeds(seen: &SightedState, object: Option<&Object>) -> bool {
    let Some(object) = object else { return !seen.context.is_empty() };
    let dropped_there =
        |dot| seen.context.covers(dot) && !seen.versions.iter().any(|version| version.dot == dot);
    !object.context().covers_all(&seen.context)
        || object.versions().iter().any(|version| dropped_there(version.dot))
}
