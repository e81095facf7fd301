//! The stored form of an [`Object`]: own, versioned and checked, so that the domain type may change without
//! making old disks unreadable.
//!
//! All numbers are little-endian; a list is its length (`u32`) and its entries. The body, under the seal of
//! `sealed`:
//!
//! ```text
//! record     = object, [1u8, what it must have seen: context, if it lacks what was too large to be sent to this replica]
//! object     = context, superseded: [superseded], versions: [version]
//! context    = vector: [actor, counter u64], cloud: [dot]
//! actor      = u64
//! dot        = actor, counter u64
//! superseded = write id u128, dot, hlc u64, at u64, flags u8, past: context
//! version    = flags u8, w u8, write id u128, dot, hlc u64, past: context,
//!              expiry u64 (if flagged), content type: bytes (if flagged), value: bytes (unless a tombstone)
//! ```

use bytes::{Buf as _, Bytes};

use super::sealed::{self, RecordDamaged};
use neap_protocol::causality::{Body, CausalContext, Object, Superseded, Value, Version};
use neap_protocol::ids::{ActorId, Dot, WriteId};
use neap_protocol::replica::{Held, LackingObject};
use neap_protocol::time::{Hlc, WallMicros};

const NAMED: u8 = 1;
const TOMBSTONE: u8 = 1 << 1;
const CONTENT_TYPE: u8 = 1 << 2;
const EXPIRES: u8 = 1 << 3;
const GAPLESS: u8 = 1 << 4;
const CREATED: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = NAMED | TOMBSTONE | CONTENT_TYPE | EXPIRES | GAPLESS | CREATED;

/// What follows an object that may lack something.
const LACKING: u8 = 1;

const SUPERSEDED_GAPLESS: u8 = 1;
const SUPERSEDED_CREATED: u8 = 1 << 1;

const ACTOR_LEN: usize = 8;
const DOT_LEN: usize = ACTOR_LEN + 8;
const LIST_LEN: usize = 4;
const CONTEXT_MIN_LEN: usize = LIST_LEN + LIST_LEN;
/// Without what its context holds.
const SUPERSEDED_MIN_LEN: usize = 16 + DOT_LEN + 8 + 8 + 1 + CONTEXT_MIN_LEN;
/// Without what its context holds, and its body.
const VERSION_MIN_LEN: usize = 1 + 1 + 16 + DOT_LEN + 8 + CONTEXT_MIN_LEN;

/// The record to store under `key` (see [`super::keys::object_key`]) for `object`. Copies each value once.
#[must_use]
pub fn encode(key: &[u8], object: &Object) -> Bytes {
    let mut out = sealed::begin(body_len(object));
    put_object(&mut out, object);
    sealed::finish(key, out)
}

/// The same, for an object that lacks what was too large to be sent to this replica. Versions of neap that do not know of
/// such find it damaged, which is as much as they can do about it.
#[must_use]
pub fn encode_lacking(key: &[u8], LackingObject { object, lacks }: &LackingObject) -> Bytes {
    let mut out = sealed::begin(body_len(object) + 1 + context_len(lacks));
    put_object(&mut out, object);
    out.push(LACKING);
    put_context(&mut out, lacks);
    sealed::finish(key, out)
}

/// Reads the record found under `key`: an object, or one that lacks something. The values share its memory. Never
/// allocates more than a small multiple of the record's own length.
pub fn decode(key: &[u8], record: Bytes) -> Result<Held, RecordDamaged> {
    let mut rest = Reader(sealed::unseal(key, record)?);
    let object = rest.object()?;
    if rest.0.is_empty() {
        return Ok(Held::Object(object));
    }
    let [LACKING] = rest.array("end")? else { return Err(malformed("end")) };
    let lacks = rest.context()?;
    if rest.0.is_empty() { Ok(Held::Lacking(LackingObject { object, lacks })) } else { Err(malformed("end")) }
}

fn malformed(what: &'static str) -> RecordDamaged {
    RecordDamaged::Malformed { what }
}

fn context_len(context: &CausalContext) -> usize {
    CONTEXT_MIN_LEN + dots_len(context)
}

fn dots_len(context: &CausalContext) -> usize {
    (context.vector().len() + context.cloud().len()) * DOT_LEN
}

fn body_len(object: &Object) -> usize {
    let versions = object.versions().iter().map(|version| {
        let body = match &version.body {
            Body::Tombstone => 0,
            Body::Value(value) => {
                let content_type = value.content_type.as_ref().map_or(0, |text| LIST_LEN + text.len());
                8 + content_type + LIST_LEN + value.bytes.len()
            }
        };
        VERSION_MIN_LEN + dots_len(&version.past) + body
    });
    let superseded = object.superseded().iter().map(|old| SUPERSEDED_MIN_LEN + dots_len(&old.past));
    context_len(object.context()) + 2 * LIST_LEN + superseded.sum::<usize>() + versions.sum::<usize>()
}

/// Lengths are far below `u32::MAX`: a request's size is bounded long before. Were one not, the record would be
/// found malformed when read, not misread.
fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_list<T>(out: &mut Vec<u8>, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_len(out, list.len());
    for entry in list {
        put(out, entry);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_actor(out: &mut Vec<u8>, actor: ActorId) {
    out.extend_from_slice(&actor.0.to_le_bytes());
}

fn put_dot(out: &mut Vec<u8>, dot: &Dot) {
    put_actor(out, dot.actor);
    out.extend_from_slice(&dot.counter.to_le_bytes());
}

fn put_object(out: &mut Vec<u8>, object: &Object) {
    put_context(out, object.context());
    put_list(out, object.superseded(), put_superseded);
    put_list(out, object.versions(), put_version);
}

fn put_context(out: &mut Vec<u8>, context: &CausalContext) {
    put_list(out, context.vector(), |out, &(actor, counter)| put_dot(out, &Dot { actor, counter }));
    put_list(out, context.cloud(), put_dot);
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

fn put_superseded(out: &mut Vec<u8>, old: &Superseded) {
    out.extend_from_slice(&old.write_id.0.to_le_bytes());
    put_dot(out, &old.dot);
    out.extend_from_slice(&old.hlc.0.to_le_bytes());
    out.extend_from_slice(&old.at.0.to_le_bytes());
    out.push(flag(old.gapless, SUPERSEDED_GAPLESS) | flag(old.created, SUPERSEDED_CREATED));
    put_context(out, &old.past);
}

fn put_version(out: &mut Vec<u8>, version: &Version) {
    let value = match &version.body {
        Body::Value(value) => Some(value),
        Body::Tombstone => None,
    };
    let flags = flag(version.named, NAMED)
        | flag(version.gapless, GAPLESS)
        | flag(version.created, CREATED)
        | flag(value.is_none(), TOMBSTONE)
        | flag(value.is_some_and(|value| value.content_type.is_some()), CONTENT_TYPE)
        | flag(value.is_some_and(|value| value.expires_at.is_some()), EXPIRES);
    out.extend_from_slice(&[flags, version.w]);
    out.extend_from_slice(&version.write_id.0.to_le_bytes());
    put_dot(out, &version.dot);
    out.extend_from_slice(&version.hlc.0.to_le_bytes());
    put_context(out, &version.past);
    let Some(value) = value else { return };
    if let Some(at) = value.expires_at {
        out.extend_from_slice(&at.0.to_le_bytes());
    }
    if let Some(content_type) = &value.content_type {
        put_bytes(out, content_type.as_bytes());
    }
    put_bytes(out, &value.bytes);
}

/// What is left of a body.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, len: usize, what: &'static str) -> Result<Bytes, RecordDamaged> {
        if len > self.0.len() { Err(malformed(what)) } else { Ok(self.0.split_to(len)) }
    }

    fn array<const LEN: usize>(&mut self, what: &'static str) -> Result<[u8; LEN], RecordDamaged> {
        let array = *self.0.first_chunk::<LEN>().ok_or(malformed(what))?;
        self.0.advance(LEN);
        Ok(array)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, RecordDamaged> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn len(&mut self, what: &'static str) -> Result<usize, RecordDamaged> {
        usize::try_from(u32::from_le_bytes(self.array(what)?)).map_err(|_| malformed(what))
    }

    fn bytes(&mut self, what: &'static str) -> Result<Bytes, RecordDamaged> {
        let len = self.len(what)?;
        self.take(len, what)
    }

    /// A list grows only as entries are found, whatever length it claims, so a false one allocates nothing.
    fn list<T>(
        &mut self,
        what: &'static str,
        entry: impl Fn(&mut Self) -> Result<T, RecordDamaged>,
    ) -> Result<Vec<T>, RecordDamaged> {
        let count = self.len(what)?;
        (0..count).map(|_| entry(self)).collect()
    }

    fn actor(&mut self) -> Result<ActorId, RecordDamaged> {
        self.u64("actor").map(ActorId)
    }

    fn dot(&mut self) -> Result<Dot, RecordDamaged> {
        Ok(Dot { actor: self.actor()?, counter: self.u64("dot")? })
    }

    fn context(&mut self) -> Result<CausalContext, RecordDamaged> {
        let vector = self.list("vector", |rest| Ok((rest.actor()?, rest.u64("vector")?)))?;
        let cloud = self.list("cloud", Self::dot)?;
        Ok(CausalContext::from_parts(vector, cloud))
    }

    fn write_id(&mut self) -> Result<WriteId, RecordDamaged> {
        self.array("write id").map(u128::from_le_bytes).map(WriteId)
    }

    fn superseded(&mut self) -> Result<Superseded, RecordDamaged> {
        let (write_id, dot) = (self.write_id()?, self.dot()?);
        let (hlc, at) = (Hlc(self.u64("write time")?), Hlc(self.u64("time of superseding")?));
        let [flags] = self.array("flags")?;
        if flags & !(SUPERSEDED_GAPLESS | SUPERSEDED_CREATED) != 0 {
            return Err(malformed("flags"));
        }
        Ok(Superseded {
            write_id,
            dot,
            hlc,
            at,
            gapless: flags & SUPERSEDED_GAPLESS != 0,
            created: flags & SUPERSEDED_CREATED != 0,
            past: self.context()?,
        })
    }

    fn version(&mut self) -> Result<Version, RecordDamaged> {
        let [flags, w] = self.array("flags")?;
        let tombstone = flags & TOMBSTONE != 0;
        if flags & !KNOWN_FLAGS != 0 || (tombstone && flags & (CONTENT_TYPE | EXPIRES) != 0) {
            return Err(malformed("flags"));
        }
        Ok(Version {
            w,
            named: flags & NAMED != 0,
            write_id: self.write_id()?,
            dot: self.dot()?,
            hlc: Hlc(self.u64("write time")?),
            gapless: flags & GAPLESS != 0,
            created: flags & CREATED != 0,
            past: self.context()?,
            body: if tombstone { Body::Tombstone } else { Body::Value(self.value(flags)?) },
        })
    }

    fn value(&mut self, flags: u8) -> Result<Value, RecordDamaged> {
        let expires_at = match flags & EXPIRES {
            0 => None,
            _ => Some(WallMicros(self.u64("expiry")?)),
        };
        let content_type = match flags & CONTENT_TYPE {
            0 => None,
            _ => Some(self.content_type()?),
        };
        Ok(Value { content_type, expires_at, bytes: self.bytes("value")? })
    }

    fn content_type(&mut self) -> Result<String, RecordDamaged> {
        String::from_utf8(self.bytes("content type")?.into()).map_err(|_| malformed("content type"))
    }

    fn object(&mut self) -> Result<Object, RecordDamaged> {
        let context = self.context()?;
        let superseded = self.list("superseded writes", Self::superseded)?;
        let versions = self.list("versions", Self::version)?;
        Ok(Object::from_parts(context, versions, superseded))
    }
}
