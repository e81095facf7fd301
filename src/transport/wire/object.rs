//! Objects and contexts on the wire.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::protocol::causality::{Body, CausalContext, Object, Superseded, Value, Version};
use crate::protocol::ids::{ActorId, Dot, WriteId};
use crate::protocol::time::{Hlc, WallMicros};

/// Actor and counter.
pub(super) type WireDot = (u64, u64);

/// [`Object`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireObject {
    context: WireContext,
    versions: Vec<WireVersion>,
    superseded: Vec<WireSuperseded>,
}

/// [`CausalContext`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireContext {
    vector: Vec<WireDot>,
    cloud: Vec<WireDot>,
}

/// [`Version`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireVersion {
    dot: WireDot,
    hlc: u64,
    w: u8,
    write_id: u128,
    named: bool,
    past: WireContext,
    gapless: bool,
    created: bool,
    value: Option<WireValue>,
}

/// [`Value`]; a tombstone has none.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireValue {
    content_type: Option<String>,
    bytes: Bytes,
    expires_at: Option<u64>,
}

/// [`Superseded`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireSuperseded {
    write_id: u128,
    dot: WireDot,
    hlc: u64,
    past: WireContext,
    gapless: bool,
    created: bool,
    at: u64,
}

pub(super) fn wire_dot(dot: Dot) -> WireDot {
    (dot.actor.0, dot.counter)
}

pub(super) fn dot_of((actor, counter): WireDot) -> Dot {
    Dot { actor: ActorId(actor), counter }
}

pub(super) fn wire_dots(dots: &[Dot]) -> Vec<WireDot> {
    dots.iter().copied().map(wire_dot).collect()
}

impl From<&CausalContext> for WireContext {
    fn from(context: &CausalContext) -> Self {
        let vector = context.vector().iter();
        let vector = vector.map(|&(actor, counter)| (actor.0, counter)).collect();
        Self { vector, cloud: wire_dots(context.cloud()) }
    }
}

impl From<WireContext> for CausalContext {
    fn from(context: WireContext) -> Self {
        let vector = context.vector.into_iter().map(|(actor, counter)| (ActorId(actor), counter));
        Self::from_parts(vector, context.cloud.into_iter().map(dot_of))
    }
}

impl From<&Object> for WireObject {
    fn from(object: &Object) -> Self {
        let superseded = object.superseded().iter().map(|record| WireSuperseded {
            write_id: record.write_id.0,
            dot: wire_dot(record.dot),
            hlc: record.hlc.0,
            past: (&record.past).into(),
            gapless: record.gapless,
            created: record.created,
            at: record.at.0,
        });
        Self {
            context: object.context().into(),
            versions: object.versions().iter().map(WireVersion::from).collect(),
            superseded: superseded.collect(),
        }
    }
}

impl From<WireObject> for Object {
    fn from(object: WireObject) -> Self {
        let superseded = object.superseded.into_iter().map(|record| Superseded {
            write_id: WriteId(record.write_id),
            dot: dot_of(record.dot),
            hlc: Hlc(record.hlc),
            past: record.past.into(),
            gapless: record.gapless,
            created: record.created,
            at: Hlc(record.at),
        });
        let versions = object.versions.into_iter().map(Version::from);
        Self::from_parts(object.context.into(), versions.collect(), superseded.collect())
    }
}

impl From<&Version> for WireVersion {
    fn from(version: &Version) -> Self {
        let value = match &version.body {
            Body::Value(value) => Some(WireValue {
                content_type: value.content_type.clone(),
                bytes: value.bytes.clone(),
                expires_at: value.expires_at.map(|at| at.0),
            }),
            Body::Tombstone => None,
        };
        Self {
            dot: wire_dot(version.dot),
            hlc: version.hlc.0,
            w: version.w,
            write_id: version.write_id.0,
            named: version.named,
            past: (&version.past).into(),
            gapless: version.gapless,
            created: version.created,
            value,
        }
    }
}

impl From<WireVersion> for Version {
    fn from(version: WireVersion) -> Self {
        let body = match version.value {
            Some(WireValue { content_type, bytes, expires_at }) => {
                Body::Value(Value { content_type, bytes, expires_at: expires_at.map(WallMicros) })
            }
            None => Body::Tombstone,
        };
        Self {
            dot: dot_of(version.dot),
            hlc: Hlc(version.hlc),
            w: version.w,
            write_id: WriteId(version.write_id),
            named: version.named,
            past: version.past.into(),
            gapless: version.gapless,
            created: version.created,
            body,
        }
    }
}
