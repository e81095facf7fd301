//! What becomes of what is held: the atomic step of a coordinated write, and merging.

use crate::planted::{self, Bug};
use crate::protocol::causality::{Answered, Body, Object, Version};
use crate::protocol::ids::Dot;
use crate::protocol::message::{Coordinate, intent_of};
use crate::protocol::time::{Hlc, WallMicros};

/// What is to be done with a write, before a dot is drawn for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Carry it out.
    Write,
    /// It was carried out before: answer as then.
    Again(Answered),
    /// `If-None-Match: *`, and a value is there.
    Exists,
}

/// Whether a version shows a value at `now`.
#[must_use]
pub fn shows_value(version: &Version, now: WallMicros) -> bool {
    match &version.body {
        Body::Value(value) => value.expires_at.is_none_or(|at| now < at),
        Body::Tombstone => false,
    }
}

/// Looks at what is held and decides what a coordinated write does.
#[must_use]
pub fn decide(held: &Object, coordinate: &Coordinate, now: WallMicros) -> Decision {
    if coordinate.write.write_id.is_some()
        && !planted::has(Bug::AnswerRetryTwice)
        && let Some(answered) = held.answer_to(coordinate.write_id, coordinate.write.context.as_ref())
    {
        return Decision::Again(answered);
    }
    let exists = held.versions().iter().any(|version| shows_value(version, now));
    if coordinate.write.only_if_absent && exists { Decision::Exists } else { Decision::Write }
}

/// A write carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object after it.
    pub object: Object,
    /// What the client is told.
    pub answered: Answered,
    /// Whether no live value was there before.
    pub created: bool,
}

/// Carries out a write under `dot` at `hlc`. Named writes superseded before `horizon` are forgotten.
#[must_use]
pub fn carry_out(mut held: Object, coordinate: Coordinate, dot: Dot, hlc: Hlc, horizon: Hlc) -> Written {
    let created = !held.versions().iter().any(|version| shows_value(version, hlc.wall()));
    let answered = held.put(intent_of(coordinate, dot, hlc));
    held.forget_superseded(horizon);
    Written { object: held, answered, created }
}

/// Joins `incoming` into what is held; none if that changes nothing.
#[must_use]
pub fn merge(held: &Object, incoming: &Object, now: Hlc, horizon: Hlc) -> Option<Object> {
    let mut merged = held.clone();
    merged.merge(incoming, now);
    if planted::has(Bug::OverwriteOnMerge) {
        merged = incoming.clone();
    }
    if merged == *held {
        return None;
    }
    merged.forget_superseded(horizon);
    Some(merged)
}
