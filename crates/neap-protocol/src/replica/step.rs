//! What becomes of what is held: the atomic step of a coordinated write, and merging.

use crate::bounds::{ObjectBounds, Overfull, write_bytes};
use crate::causality::{Answered, Object};
use crate::ids::{ActorId, Dot};
use crate::message::{Coordinate, intent_of};
use crate::planted::{self, Bug};
use crate::time::Hlc;

/// What is to be done with a write, before a dot is drawn for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Carry it out.
    Write,
    /// It was carried out before: answer as then.
    Again(Answered),
    /// `If-None-Match: *`, and a value is there.
    Exists,
    /// The object would outgrow a bound.
    Overfull(Overfull),
}

/// What a write would be stamped with, and what it may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prospect {
    /// Who would issue its dot.
    pub actor: ActorId,
    /// The earliest time that it would get.
    pub hlc: Hlc,
    /// Named writes superseded before this would be forgotten.
    pub horizon: Hlc,
    /// The bounds of the object.
    pub bounds: ObjectBounds,
}

/// Looks at what is held and decides what a coordinated write does. `exists` says whether readers are shown a value of it.
#[must_use]
pub fn decide(held: &Object, coordinate: &Coordinate, exists: bool, prospect: Prospect) -> Decision {
    if coordinate.write.write_id.is_some()
        && !planted::has(Bug::AnswerRetryTwice)
        && let Some(answered) = held.answer_to(coordinate.write_id, coordinate.write.context.as_ref())
    {
        return Decision::Again(answered);
    }
    if coordinate.write.only_if_absent && exists {
        return Decision::Exists;
    }
    match overfull(held, coordinate, prospect) {
        Some(why) => Decision::Overfull(why),
        None => Decision::Write,
    }
}

/// Which bound a write would break. One that leaves less than it found breaks none: it is how an object that grew beyond
/// its bound, by a join or before it was bounded, becomes smaller.
fn overfull(held: &Object, coordinate: &Coordinate, prospect: Prospect) -> Option<Overfull> {
    let Prospect { actor, hlc, horizon, bounds } = prospect;
    let (held_bytes, write_bytes) = (held.message_bytes(), write_bytes(&coordinate.write));
    // No more than this comes of it: a named blind write keeps the context of what it replaced.
    let at_most = held_bytes + write_bytes + held.context().message_bytes();
    if at_most <= bounds.bytes && held.versions().len() < bounds.versions {
        return None;
    }
    let dot = Dot { actor, counter: u64::MAX };
    let left = carry_out(held.clone(), coordinate.clone(), (dot, hlc), false, horizon).object;
    let (held_versions, left_versions) = (held.versions().len(), left.versions().len());
    let many = left_versions > bounds.versions && left_versions >= held_versions;
    if many && !planted::has(Bug::SiblingsUnbounded) {
        let number = |versions| u32::try_from(versions).unwrap_or(u32::MAX);
        return Some(Overfull::Versions {
            held_versions: number(held_versions),
            left_versions: number(left_versions),
            siblings_max: u16::try_from(bounds.versions).unwrap_or(u16::MAX),
        });
    }
    let left_bytes = left.message_bytes();
    let large = left_bytes > bounds.bytes && left_bytes >= held_bytes;
    (large && !planted::has(Bug::ObjectsUnbounded)).then_some(Overfull::Bytes {
        held_bytes: held_bytes as u64,
        write_bytes: write_bytes as u64,
        bound_bytes: bounds.bytes as u64,
    })
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
