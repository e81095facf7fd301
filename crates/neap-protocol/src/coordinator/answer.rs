//! What was asked of whom, and how its answer is told to a machine.

use super::{Asked, Input};
use crate::ids::{NodeId, OperationId};
use crate::message::{CoordinateReply, PeerAnswer, Refusal, ReplicaReply};
use crate::staleness::{Came, Interval, PeerClocks};
use crate::time::Moment;

/// What answers an operation's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    /// This node's own replica, to a coordinated write.
    Coordinated(Box<CoordinateReply>),
    /// This node's own replica.
    Own(ReplicaReply),
    /// A peer, or the transport in its place.
    Peer(PeerAnswer),
}

/// The kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What a home holds.
    Fetch = 0,
    /// That it merges a state, or stamps a write.
    Apply = 1,
    /// That it coordinates a write.
    Forward = 2,
    /// In which states it was lately.
    Probe = 3,
}

/// Names a question: of which operation, and of which kind.
pub(super) fn tag(id: OperationId, kind: Kind) -> u64 {
    id.0 * 4 + kind as u64
}

/// What a tag names.
#[must_use]
pub fn untag(tag: u64) -> (OperationId, Kind) {
    let kind = match tag % 4 {
        0 => Kind::Fetch,
        1 => Kind::Apply,
        2 => Kind::Forward,
        _ => Kind::Probe,
    };
    (OperationId(tag / 4), kind)
}

impl Kind {
    pub(super) fn of(asked: Asked) -> Self {
        match asked {
            Asked::Fetch => Self::Fetch,
            Asked::Probe => Self::Probe,
            Asked::Apply => Self::Apply,
        }
    }
}

/// An answer that tells no time.
pub(super) fn input(from: NodeId, kind: Kind, answer: AnswerBody) -> Input {
    let asked = if kind == Kind::Fetch { Asked::Fetch } else { Asked::Apply };
    match answer {
        AnswerBody::Coordinated(reply) => Input::Coordinated(reply),
        AnswerBody::Own(reply) => Input::Replica { from, to: asked, reply },
        AnswerBody::Peer(answer) if kind == Kind::Forward => {
            let result = Box::new(match answer {
                PeerAnswer::Forwarded(result) => Ok(*result),
                PeerAnswer::Refused(refusal) => Err(refusal),
                _ => Err(Refusal::NoAnswer),
            });
            Input::Forwarded { from, result }
        }
        AnswerBody::Peer(answer) => {
            let reply = match answer {
                PeerAnswer::Replica(reply) => reply,
                PeerAnswer::Refused(refusal) => ReplicaReply::Refused(refusal),
                _ => ReplicaReply::Refused(Refusal::NoAnswer),
            };
            Input::Replica { from, to: asked, reply }
        }
    }
}

/// An acknowledgement, by this node's clock; another answer to the same question as it is.
pub(super) fn acknowledged(
    clocks: &mut PeerClocks,
    from: NodeId,
    (sent, now): (Option<Moment>, Moment),
    answer: AnswerBody,
) -> Input {
    match answer {
        AnswerBody::Own(ReplicaReply::Applied { siblings, when }) => {
            clocks.own(&from, when.clock);
            let earliest = if when.exactly { when.applied } else { Moment(0) };
            let at = Interval { from: earliest, to: when.applied };
            Input::Applied { from, siblings, came: Came { at, exactly: when.exactly, path: when.path } }
        }
        AnswerBody::Peer(PeerAnswer::Replica(ReplicaReply::Applied { siblings, when })) => {
            let came = clocks.came(&from, (sent.unwrap_or(Moment(0)), now), when);
            Input::Applied { from, siblings, came }
        }
        answer => input(from, Kind::Apply, answer),
    }
}

/// An answer to a probe, by this node's clock. `sent` is none where the question is no longer remembered.
pub(super) fn sighted(
    clocks: &mut PeerClocks,
    from: NodeId,
    (sent, now): (Option<Moment>, Moment),
    answer: AnswerBody,
) -> Input {
    let result = match (answer, sent) {
        (AnswerBody::Own(ReplicaReply::Probed(digest)), _) => {
            clocks.own(&from, digest.clock);
            Ok(Box::new(digest.own(now)))
        }
        (AnswerBody::Peer(PeerAnswer::Replica(ReplicaReply::Probed(digest))), Some(sent)) => {
            Ok(Box::new(clocks.sighted(&from, (sent, now), *digest)))
        }
        (
            AnswerBody::Own(ReplicaReply::Refused(refusal))
            | AnswerBody::Peer(
                PeerAnswer::Replica(ReplicaReply::Refused(refusal)) | PeerAnswer::Refused(refusal),
            ),
            _,
        ) => Err(refusal),
        _ => Err(Refusal::NoAnswer),
    };
    Input::Probed { from, result }
}
