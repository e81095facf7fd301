//! The coordinator's machines, driven by hand: answers in, effects out, time as an argument.

mod converge;
mod down;
mod heal;
mod probe_repair;
mod read;
mod table;
mod track;
mod write;

use bytes::Bytes;
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Body, Intent, Mode, Object, Value};
use neap::protocol::coordinator::{Asked, Effect, Input};
use neap::protocol::ids::{ActorId, Dot, NodeId, WriteId};
use neap::protocol::message::{CoordinateReply, Refusal, ReplicaReply};
use neap::protocol::sli::Path;
use neap::protocol::staleness::{Came, Interval};
use neap::protocol::time::{Hlc, Moment};

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn nodes(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| node(name)).collect()
}

fn intent(directory: u64, counter: u64, mode: Mode) -> Intent {
    let actor = ActorId(directory);
    Intent {
        dot: Dot { actor, counter },
        hlc: Hlc(counter * 1_000 + directory),
        w: 2,
        write_id: WriteId(u128::from(directory) << 64 | u128::from(counter)),
        named: false,
        created: true,
        mode,
        body: Body::Value(Value { content_type: None, bytes: Bytes::from_static(b"v"), expires_at: None }),
    }
}

/// An object that one actor wrote `counters` to, each replacing the last.
pub fn object(directory: u64, counters: std::ops::RangeInclusive<u64>) -> Object {
    let mut object = Object::new();
    for counter in counters {
        object.put(intent(directory, counter, Mode::Blind(BlindWrite::Overwrite)));
    }
    object
}

pub fn stamp(again: bool) -> CoordinateReply {
    let mut object = Object::new();
    let answered = object.put(intent(1, 1, Mode::Blind(BlindWrite::Overwrite)));
    CoordinateReply::Stamped { object, answered, again }
}

pub fn stamped() -> Input {
    Input::Coordinated(Box::new(stamp(false)))
}

/// The same of a write that had been carried out before.
pub fn stamped_again() -> Input {
    Input::Coordinated(Box::new(stamp(true)))
}

/// When a home came to have something, to within so much.
pub fn came(from: u64, to: u64, path: Path) -> Came {
    Came { at: Interval { from: Moment(from), to: Moment(to) }, exactly: true, path }
}

pub fn applied(from: &str) -> Input {
    applied_at(from, came(1_000, 1_000, Path::Direct))
}

pub fn applied_at(from: &str, came: Came) -> Input {
    Input::Applied { from: node(from), siblings: 1, came }
}

pub fn refused(from: &str, to: Asked, refusal: Refusal) -> Input {
    Input::Replica { from: node(from), to, reply: ReplicaReply::Refused(refusal) }
}

pub fn fetched(from: &str, object: Option<Object>) -> Input {
    Input::Replica { from: node(from), to: Asked::Fetch, reply: ReplicaReply::Fetched(object) }
}

/// The homes that effects apply to, in order.
pub fn applies(effects: &[Effect]) -> Vec<NodeId> {
    let to = effects.iter().filter_map(|effect| match effect {
        Effect::Apply { to, .. } => Some(to.clone()),
        _ => None,
    });
    to.collect()
}

/// The homes that effects fetch from, in order.
pub fn fetches(effects: &[Effect]) -> Vec<NodeId> {
    let to = effects.iter().filter_map(|effect| match effect {
        Effect::Fetch { to } => Some(to.clone()),
        _ => None,
    });
    to.collect()
}
