//! What becomes of what is held: the atomic step of a coordinated write, and merging.

use crate::planted::{self, Bug};
use crate::protocol::causality::{Answered, Object};
use crate::protocol::ids::Dot;
use crate::protocol::message::{Coordinate, intent_of};
use crate::protocol::time::Hlc;

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

/// Looks at what is held and decides what a coordinated write does. `exists` says whether readers are shown a value of it.
#[must_use]
pub fn decide(held: &Object, coordinate: &Coordinate, exists: bool) -> Decision {
    if coordinate.write.write_id.is_some()
        && !planted::has(Bug::AnswerRetryTwice)
        && let Some(answered) = held.answer_to(coordinate.write_id, coordinate.write.context.as_ref())
    {
        return Decision::Again(answered);
    }
    if coordinate.write.only_if_absent && exists { Decision::Exists } else { Decision::Write }
}

/// A write carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object after it.
    pub object: Object,
    /// What the client is told.
    pub answered: Answered,
}

/// Carries out a write under `dot` at `hlc`; `created` says that no value is there. Named writes superseded before
/// `horizon` are forgotten.
#[must_use]
pub fn carry_out(
    mut held: Object,
    coordinate: Coordinate,
    (dot, hlc): (Dot, Hlc),
    created: bool,
    horizon: Hlc,
) -> Written {
    let answered = held.put(intent_of(coordinate, dot, hlc, created));
    held.forget_superseded(horizon);
    Written { object: held, answered }
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
