//! Invariant 7: every request ends, by reply or by its deadline, every queue is bounded and drains, and so is every
//! object.

use std::collections::BTreeSet;

use super::{Invariant, Violation};
use crate::queue::{MILLIS, Time};
use crate::truth::KeyIndex;
use neap_protocol::bounds::ObjectBounds;
use neap_protocol::causality::Object;

/// How much later than its deadline a client may be told, by true time: the clock of its node may run slow, and
/// deadlines are looked at now and then.
const GRACE: Time = 60 * MILLIS;

/// A request ended so long after it began, with `allowed` as its time.
pub fn ended(took: Time, allowed: Time, what: &str) -> Result<(), Violation> {
    if took > allowed + allowed / 1_000 + GRACE {
        let ms = took / MILLIS;
        let what = format!("{what} ended after {ms} ms and was to end after {} ms", allowed / MILLIS);
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// A queue holds so many entries.
pub fn within(name: &str, entries: usize, bound: usize) -> Result<(), Violation> {
    if entries > bound {
        let what = format!("{name} holds {entries} entries, and its bound is {bound}");
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// Nothing was asked of a healed cluster for a while: a queue that is not empty never will be.
pub fn drained(name: &str, entries: usize) -> Result<(), Violation> {
    if entries > 0 {
        let what = format!("{name} still holds {entries} entries long after the last request");
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// A healed cluster does not serve.
#[must_use]
pub fn does_not_serve(what: &str) -> Violation {
    Violation::of(Invariant::Endings, format!("the cluster is healed and does not serve: {what}"))
}

/// A coordinator has carried out a write: it left no more than an object may be, or less than it found.
pub fn left(key: KeyIndex, before: &Object, after: &Object, bounds: ObjectBounds) -> Result<(), Violation> {
    let sizes = [
        ("bytes", before.message_bytes(), after.message_bytes(), bounds.bytes),
        ("versions", before.versions().len(), after.versions().len(), bounds.versions),
    ];
    for (what, found, left, bound) in sizes {
        if left > bound && left >= found {
            let what = format!("a write left {left} {what} where it found {found}, and the bound is {bound}");
            return Err(Violation::at(Invariant::Endings, key, what));
        }
    }
    Ok(())
}

/// An object is stored whose coordinators, `homes` of them, all kept to its bounds: together they left no more than as many
/// times that. A home that lost its disk is another coordinator from then on.
pub fn joined(key: KeyIndex, object: &Object, homes: usize, bounds: ObjectBounds) -> Result<(), Violation> {
    let actors: BTreeSet<_> = object.versions().iter().map(|version| version.dot.actor).collect();
    let coordinators = actors.len().max(homes);
    let sizes = [
        ("bytes", object.message_bytes(), bounds.bytes),
        ("versions", object.versions().len(), bounds.versions),
    ];
    for (what, holds, bound) in sizes {
        if holds > bound.saturating_mul(coordinators) {
            let what = format!(
                "an object holds {holds} {what} of {coordinators} coordinators, each bound to {bound}"
            );
            return Err(Violation::at(Invariant::Endings, key, what));
        }
    }
    Ok(())
}
