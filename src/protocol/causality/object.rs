//! What a replica keeps under one key: the versions that live, and what it takes to merge them.

use bytes::Bytes;

use super::context::CausalContext;
use crate::protocol::bucket::BlindWrite;
use crate::protocol::ids::{Dot, WriteId};
use crate::protocol::time::{Hlc, WallMicros};

/// How many superseded write ids an object remembers at most, the newest first to be kept.
const SUPERSEDED_MAX: usize = 64;

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

/// One version of a key.
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
    /// The dots that a blind write replaced, for the context of its reply.
    pub replaced: Vec<Dot>,
    /// Dots of other copies of the same write (a retry through another coordinator), collapsed into this.
    pub aliases: Vec<Dot>,
    /// Value or tombstone.
    pub body: Body,
}

impl Version {
    fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        std::iter::once(self.dot).chain(self.aliases.iter().copied())
    }

    fn order(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }

    /// Whether this is a tombstone.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self.body, Body::Tombstone)
    }
}

/// The memory of a named write whose version no longer lives, so that a retry is answered as the first try was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The write.
    pub write_id: WriteId,
    /// Its version's dot.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// The dots that it replaced, if it was blind.
    pub replaced: Vec<Dot>,
    /// When its version was superseded here.
    pub at: Hlc,
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
    /// The context for the client: its own, what a blind write replaced, and the new version.
    pub context: CausalContext,
}

/// A dotted version vector set with the memory of superseded named writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    context: CausalContext,
    versions: Vec<Version>,
    superseded: Vec<Superseded>,
}

impl Object {
    /// An object nothing was ever written to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an object together from what was stored or received. Order is restored; nothing is dropped.
    #[must_use]
    pub fn from_parts(
        context: CausalContext,
        mut versions: Vec<Version>,
        mut superseded: Vec<Superseded>,
    ) -> Self {
        versions.sort_by_key(|version| version.dot);
        superseded.sort_by_key(|record| record.write_id);
        Self { context, versions, superseded }
    }

    /// Every dot ever seen for the key.
    #[must_use]
    pub fn context(&self) -> &CausalContext {
        &self.context
    }

    /// The versions that live, ordered by dot.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Superseded named writes still remembered, ordered by write id.
    #[must_use]
    pub fn superseded(&self) -> &[Superseded] {
        &self.superseded
    }

    /// The version that `lww` shows: the greatest by (HLC, dot). What other versions cover is not among the
    /// versions any more, so coverage comes first.
    #[must_use]
    pub fn lww(&self) -> Option<&Version> {
        self.versions.iter().max_by_key(|version| version.order())
    }

    /// The time of the newest live version.
    #[must_use]
    pub fn newest(&self) -> Option<Hlc> {
        self.versions.iter().map(|version| version.hlc).max()
    }

    /// How a write with this id was answered, if this object remembers it. `request` is the context that
    /// came with the retry.
    #[must_use]
    pub fn answer_to(&self, write_id: WriteId, request: Option<&CausalContext>) -> Option<Answered> {
        let live = self.versions.iter().find(|version| version.write_id == write_id);
        let (dot, hlc, replaced) = match live {
            Some(version) => (version.dot, version.hlc, &version.replaced),
            None => {
                let at = self.superseded.binary_search_by_key(&write_id, |record| record.write_id).ok()?;
                let record = self.superseded.get(at)?;
                (record.dot, record.hlc, &record.replaced)
            }
        };
        Some(Answered { dot, hlc, context: reply_context(request, replaced, dot) })
    }

    /// Carries out a write at its coordinator, whose own dot `intent.dot` is. Versions that the mode covers
    /// are dropped; the new one is added.
    ///
    /// The caller has asked [`Object::answer_to`] first: a write that is remembered is not carried out again.
    pub fn put(&mut self, intent: Intent) -> Answered {
        let Intent { dot, hlc, w, write_id, named, mode, body } = intent;
        let mut replaced = Vec::new();
        let mut gone = Vec::new();
        let request = match mode {
            Mode::Blind(BlindWrite::Overwrite) => {
                replaced = self.versions.iter().flat_map(Version::dots).collect();
                gone = std::mem::take(&mut self.versions);
                None
            }
            Mode::Blind(BlindWrite::Sibling) => None,
            Mode::Context(context) => {
                let (kept, covered) = std::mem::take(&mut self.versions)
                    .into_iter()
                    .partition(|version: &Version| !version.dots().any(|dot| context.covers(dot)));
                self.versions = kept;
                gone = covered;
                self.context.join(&context);
                Some(context)
            }
        };
        self.remember(gone, hlc);
        self.context.add_up_to(dot.actor, dot.counter);
        let context = reply_context(request.as_ref(), &replaced, dot);
        let version = Version { dot, hlc, w, write_id, named, replaced, aliases: Vec::new(), body };
        let at = self.versions.partition_point(|other| other.dot < dot);
        self.versions.insert(at, version);
        Answered { dot, hlc, context }
    }

    /// Joins what another replica holds into this. Commutative, associative and idempotent; `now` is noted
    /// for named writes that this very merge supersedes and has no part in anything else.
    ///
    /// A version stays if the other side has it too or has never seen it. Copies of one named write are one
    /// version: it goes when any copy was superseded, and the greatest by (HLC, dot) stands for all.
    pub fn merge(&mut self, other: &Self, now: Hlc) {
        if self == other {
            return;
        }
        let mine = std::mem::take(&mut self.versions);
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for version in &mine {
            keep_unless_superseded(version, other, &other.versions, &mut kept, &mut gone);
        }
        for version in &other.versions {
            keep_unless_superseded(version, self, &mine, &mut kept, &mut gone);
        }
        for record in &other.superseded {
            self.add_superseded(record.clone());
        }
        self.remember(gone, now);
        self.context.join(&other.context);
        kept.sort_by_key(|version| (version.write_id, std::cmp::Reverse(version.order())));
        for version in kept {
            if self.is_superseded(version.write_id) {
                continue;
            }
            match self.versions.last_mut() {
                Some(first) if first.write_id == version.write_id => collapse(first, &version),
                _ => self.versions.push(version),
            }
        }
        self.versions.sort_by_key(|version| version.dot);
    }

    /// Whether merging `other` into this would change the versions or the context.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> bool {
        if !self.context.covers_all(&other.context) {
            return true;
        }
        // Everything the other has seen is seen here; it can still know that something living here is gone.
        self.versions.iter().any(|version| {
            version.dots().any(|dot| other.context.covers(dot) && !lives_in(dot, &other.versions))
                || other.is_superseded(version.write_id)
        })
    }

    /// Forgets named writes that were superseded before `horizon`.
    pub fn forget_superseded(&mut self, horizon: Hlc) {
        self.superseded.retain(|record| record.at >= horizon);
    }

    fn is_superseded(&self, write_id: WriteId) -> bool {
        self.superseded.binary_search_by_key(&write_id, |record| record.write_id).is_ok()
    }

    fn remember(&mut self, gone: Vec<Version>, at: Hlc) {
        for version in gone.into_iter().filter(|version| version.named) {
            let Version { dot, hlc, write_id, replaced, .. } = version;
            self.add_superseded(Superseded { write_id, dot, hlc, replaced, at });
        }
    }

    fn add_superseded(&mut self, record: Superseded) {
        match self.superseded.binary_search_by_key(&record.write_id, |known| known.write_id) {
            Ok(at) => {
                if let Some(known) = self.superseded.get_mut(at) {
                    let newest = known.at.max(record.at);
                    if (record.hlc, record.dot) > (known.hlc, known.dot) {
                        *known = record;
                    }
                    known.at = newest;
                }
            }
            Err(at) => self.superseded.insert(at, record),
        }
        if self.superseded.len() > SUPERSEDED_MAX {
            let oldest = (0..self.superseded.len())
                .min_by_key(|&at| self.superseded.get(at).map(|r| (r.at, r.hlc, r.dot)));
            if let Some(at) = oldest {
                self.superseded.remove(at);
            }
        }
    }
}

fn reply_context(request: Option<&CausalContext>, replaced: &[Dot], dot: Dot) -> CausalContext {
    let mut context = request.cloned().unwrap_or_default();
    for &dot in replaced {
        context.add(dot);
    }
    context.add(dot);
    context
}

fn lives_in(dot: Dot, versions: &[Version]) -> bool {
    versions.iter().any(|version| version.dots().any(|other| other == dot))
}

/// Puts `version` among `kept` unless the side it did not come from saw one of its dots and dropped it.
fn keep_unless_superseded(
    version: &Version,
    other: &Object,
    others_versions: &[Version],
    kept: &mut Vec<Version>,
    gone: &mut Vec<Version>,
) {
    let superseded = version.dots().any(|dot| other.context.covers(dot) && !lives_in(dot, others_versions));
    if superseded { gone.push(version.clone()) } else { kept.push(version.clone()) }
}

/// Takes the dots of another copy of the same write into `first`, the greatest.
fn collapse(first: &mut Version, copy: &Version) {
    for dot in copy.dots() {
        if dot != first.dot
            && let Err(at) = first.aliases.binary_search(&dot)
        {
            first.aliases.insert(at, dot);
        }
    }
}
