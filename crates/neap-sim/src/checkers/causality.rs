//! Invariant 3: causality is exact.
//!
//! Of every object, wherever it is stored or shown: a version that it has seen lives in it unless something else
//! that it has seen replaced it, and does not live in it if so. Dots, and the times of one directory, are given
//! once. A write that its coordinator knows already is not carried out again.

use std::collections::HashMap;

use super::{Invariant, Violation};
use crate::truth::{KeyIndex, Truth, Version, Written};
use neap_protocol::causality::{CausalContext, Object};
use neap_protocol::ids::{ActorId, Dot};
use neap_protocol::time::Hlc;

/// The checker.
#[derive(Debug, Default)]
pub struct Causality {
    dots: HashMap<ActorId, u64>,
    /// By the disk that the directory lies on: a copy of it goes its own way.
    times: HashMap<u64, Hlc>,
}

impl Causality {
    /// A coordinator has just written a version.
    pub fn wrote(&mut self, truth: &Truth, written: &Written<'_>) -> Result<(), Violation> {
        let Written { key, disk, before, version, write_id, named, .. } = written;
        let broken = |what: String| Err(Violation::at(Invariant::Causality, *key, what));
        let last = self.dots.entry(version.dot.actor).or_default();
        if version.dot.counter <= *last {
            return broken(format!(
                "dot {} was given for {key}, and its actor had come to {last} before: it may name two versions",
                shown(version.dot)
            ));
        }
        *last = version.dot.counter;
        let last = self.times.entry(*disk).or_insert(Hlc::ZERO);
        if version.hlc <= *last {
            let time = version.hlc;
            return broken(format!(
                "the time {time:?} was given, and its directory had come to {last:?} before"
            ));
        }
        *last = version.hlc;
        if version.write_id != *write_id {
            return broken(format!("the write {write_id} made a version of the write {}", version.write_id));
        }
        if let Some(first) = truth.copies(*write_id).next()
            && !named
        {
            return broken(format!(
                "the unnamed write {write_id} was carried out twice: {} and {}",
                shown(first.dot),
                shown(version.dot)
            ));
        }
        if let Some(known) = before.versions().iter().find(|known| known.write_id == *write_id) {
            return broken(format!(
                "the write {write_id} was carried out again as {}, and its coordinator held it as {}",
                shown(version.dot),
                shown(known.dot)
            ));
        }
        Ok(())
    }

    /// An object that is stored, or was stored just before as `before`, or is shown to a client.
    pub fn object(
        &self,
        truth: &Truth,
        key: KeyIndex,
        object: &Object,
        before: Option<&Object>,
    ) -> Result<(), Violation> {
        let broken = |what: String| Err(Violation::at(Invariant::Causality, key, what));
        let context = object.context();
        for live in object.versions() {
            let Some((_, version)) = truth.named(live.dot).filter(|(_, version)| version.key == key) else {
                return broken(format!("a version {} is there that nobody wrote", shown(live.dot)));
            };
            if version.hlc != live.hlc || version.write_id != live.write_id {
                return broken(format!("the version {} is not what was written", shown(live.dot)));
            }
            if !context.covers(live.dot) {
                return broken(format!("the version {} lives outside its object's context", shown(live.dot)));
            }
            if let Some(by) = replaced_by(truth, version, context) {
                return broken(format!(
                    "the version {} lives beside {}, which replaced it",
                    shown(live.dot),
                    shown(by.dot)
                ));
            }
        }
        let lives = |dot: Dot| object.versions().iter().any(|live| live.dot == dot);
        let before = before.into_iter().flat_map(Object::versions).filter_map(|old| truth.named(old.dot));
        let recent = truth.key(key).into_iter().flat_map(|key| key.recent.iter());
        let recent = recent.filter_map(|index| truth.version(*index));
        for version in before.map(|(_, version)| version).chain(recent) {
            let seen = context.covers(version.dot);
            if seen && !lives(version.dot) && !may_be_gone(truth, version, context) {
                return broken(format!(
                    "the version {} was seen and is gone, and nothing that was seen replaced it",
                    shown(version.dot)
                ));
            }
        }
        for (at, sibling) in object.siblings().iter().enumerate() {
            let again =
                object.siblings().into_iter().skip(at + 1).find(|other| other.write_id == sibling.write_id);
            if again.is_some() {
                return broken(format!("the write {} is shown twice", sibling.write_id));
            }
        }
        Ok(())
    }

    /// The context that a writer is given: what it sent, what its write replaced, and its own version.
    pub fn reply_context(
        &self,
        truth: &Truth,
        version: &Version,
        sent: Option<&CausalContext>,
        context: &CausalContext,
    ) -> Result<(), Violation> {
        let broken = |what: String| Err(Violation::at(Invariant::Causality, version.key, what));
        if !context.covers(version.dot) {
            return broken(format!("the context of a reply lacks its own version {}", shown(version.dot)));
        }
        let recent = truth.key(version.key).into_iter().flat_map(|key| key.recent.iter());
        for other in recent.filter_map(|index| truth.version(*index)) {
            let known = other.dot == version.dot
                || version.past.covers(other.dot)
                || sent.is_some_and(|sent| sent.covers(other.dot));
            if context.covers(other.dot) && !known {
                return broken(format!(
                    "the context of the reply to {} covers {}, which its client never saw",
                    shown(version.dot),
                    shown(other.dot)
                ));
            }
        }
        Ok(())
    }
}

/// What replaced a version, among what a context covers.
fn replaced_by<'a>(truth: &'a Truth, version: &Version, context: &CausalContext) -> Option<&'a Version> {
    let by = version.superseded_by.iter().filter_map(|index| truth.version(*index));
    by.into_iter().find(|by| context.covers(by.dot))
}

/// Whether a version may be gone: it was replaced, or it is a copy of a named write that was replaced as another
/// copy, and replaced nothing more than that one.
fn may_be_gone(truth: &Truth, version: &Version, context: &CausalContext) -> bool {
    if replaced_by(truth, version, context).is_some() {
        return true;
    }
    version.named
        && truth.copies(version.write_id).any(|copy| {
            copy.dot != version.dot
                && context.covers(copy.dot)
                && replaced_by(truth, copy, context).is_some()
                && copy.past.covers_all(&version.past)
        })
}

/// A dot, as people read it.
#[must_use]
pub fn shown(dot: Dot) -> String {
    let Dot { actor, counter } = dot;
    format!("{:04x}:{counter}", actor.0 >> 48)
}
