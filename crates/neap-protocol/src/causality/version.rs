//! What one write leaves behind: a version while it lives, a record of it once it was superseded.

use bytes::Bytes;

use super::context::CausalContext;
use crate::bucket::BlindWrite;
use crate::ids::{Dot, WriteId};
use crate::planted::{self, Bug};
use crate::time::{Hlc, WallMicros};

/// A client's bytes with what it said about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The `Content-Type` given with the bytes, if any.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
    /// When the value ceases to be shown.
    pub expires_at: Option<WallMicros>,
}

/// What a version says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A value.
    Value(Value),
    /// The key was deleted.
    Tombstone,
}

/// One version of a key: what one coordinator made of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its unique name.
    pub dot: Dot,
    /// When its coordinator stamped it: the write time.
    pub hlc: Hlc,
    /// The W it was written with.
    pub w: u8,
    /// The write it came from.
    pub write_id: WriteId,
    /// Whether the client named the write, so that it may come again.
    pub named: bool,
    /// What the write replaced: the context that came with it, or all that its coordinator had seen of the key
    /// when a blind write overwrote that. Empty for a write that replaced nothing, and for one without a name,
    /// as nobody can ask for its answer again.
    pub past: CausalContext,
    /// Whether `past` holds all that the dot's actor issued for the key before it, so that the context of the
    /// reply may say "up to this dot" instead of naming the dot.
    pub gapless: bool,
    /// Whether no value was there before it, as its coordinator saw. False for one without a name, as `past` is empty.
    pub created: bool,
    /// Value or tombstone.
    pub body: Body,
}

impl Version {
    pub(super) fn order(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }

    /// Whether this is a tombstone.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self.body, Body::Tombstone)
    }

    pub(super) fn answered(&self, request: Option<&CausalContext>) -> Answered {
        let context = reply_context(request, &self.past, self.dot, self.gapless);
        Answered { dot: self.dot, hlc: self.hlc, context, created: self.created }
    }
}

/// The record of a named write of which a version lives no more: a retry is answered from it, and another
/// coordinator's version of the same write is recognised by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The write.
    pub write_id: WriteId,
    /// The version's dot.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// What it replaced, as in [`Version::past`].
    pub past: CausalContext,
    /// As in [`Version::gapless`].
    pub gapless: bool,
    /// As in [`Version::created`].
    pub created: bool,
    /// When it was superseded here.
    pub at: Hlc,
}

impl Superseded {
    pub(super) fn of(version: Version, at: Hlc) -> Self {
        let Version { dot, hlc, write_id, past, gapless, created, .. } = version;
        Self { write_id, dot, hlc, past, gapless, created, at }
    }

    /// Whether `version` is another copy of this write that replaced nothing this one did not replace.
    pub(super) fn supersedes(&self, version: &Version) -> bool {
        let harmless = self.past.covers_all(&version.past) || planted::has(Bug::DropEveryCopy);
        version.named && version.write_id == self.write_id && harmless
    }

    /// Whether this record makes `other` unnecessary. Of two that replaced the same, the greater by (HLC, dot)
    /// stays, so that all replicas keep the same one.
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        self.write_id == other.write_id
            && self.past.covers_all(&other.past)
            && (self.order() >= other.order() || !other.past.covers_all(&self.past))
    }

    pub(super) fn order(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }

    pub(super) fn answered(&self, request: Option<&CausalContext>) -> Answered {
        let context = reply_context(request, &self.past, self.dot, self.gapless);
        Answered { dot: self.dot, hlc: self.hlc, context, created: self.created }
    }
}

/// How a write relates to what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Replaces exactly what the context covers.
    Context(CausalContext),
    /// No context was given: the bucket's policy says what is replaced.
    Blind(BlindWrite),
}

/// A write about to be carried out by its coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The new version's dot: the coordinator's own next.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// The W it is written with.
    pub w: u8,
    /// The write.
    pub write_id: WriteId,
    /// Whether the client named it.
    pub named: bool,
    /// Whether no value is there before it.
    pub created: bool,
    /// What it replaces.
    pub mode: Mode,
    /// What it says.
    pub body: Body,
}

/// What a write was, or had been, answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The version.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// The context for the client: its own, what the write replaced, and the new version.
    pub context: CausalContext,
    /// Whether no value was there before.
    pub created: bool,
}

/// The context of a reply. Nothing but what the client sent, what its write replaced and the new version is in
/// it: a version that the client was never shown must not be replaced by its next write.
pub(super) fn reply_context(
    request: Option<&CausalContext>,
    past: &CausalContext,
    dot: Dot,
    gapless: bool,
) -> CausalContext {
    let mut context = past.clone();
    if let Some(request) = request {
        context.join(request);
    }
    if gapless {
        context.add_up_to(dot.actor, dot.counter);
    } else {
        context.add(dot);
    }
    context
}
