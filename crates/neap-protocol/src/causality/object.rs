//! What a replica keeps under one key: the versions that live, and what it takes to merge them.
//!
//! # Merging
//!
//! A version stays if the other side has it too or has never seen it: the merge of dotted version vector sets.
//!
//! # One write, several versions
//!
//! A client that had no answer sends a named write again, perhaps to another coordinator, which does not know
//! it yet and carries it out a second time: two versions, *copies*, of one write. They are kept apart and shown
//! as one ([`Object::siblings`]). What a write replaced by one of its copies' dots must take the other copies
//! with it; otherwise the next write of that very client would stand beside its own retried one.
//!
//! It may take only copies that replaced nothing more than the superseded one did. A blind write that came
//! again late can have overwritten what had superseded its first copy; dropping that copy too would leave
//! nothing of either. So a copy goes with a superseded one if `copy.past ⊆ superseded.past`, which makes the
//! rule harmless: all that the copy replaced stays replaced by the other. Retries of writes with a context, and
//! of blind siblings, always fulfil it. A blind overwrite that found more at its second coordinator than at its
//! first does not, and may come to stand beside what superseded the first.
//!
//! # What is promised
//!
//! [`Object::merge`] is commutative, associative and idempotent in versions, context and superseded records
//! while no record was forgotten, neither by age ([`Object::forget_superseded`]) nor because there were more
//! than [`SUPERSEDED_MAX`]. A forgotten record never costs a version: a retry that comes after it makes a
//! sibling, no more.

use bytes::Bytes;

use super::context::CausalContext;
use super::version::{Answered, Body, Intent, Mode, Superseded, Value, Version, reply_context};
use crate::bucket::BlindWrite;
use crate::ids::{Dot, WriteId};
use crate::planted::{self, Bug};
use crate::time::Hlc;

/// How many records of superseded named writes an object keeps at most; the newest are kept.
pub const SUPERSEDED_MAX: usize = 64;

/// A dotted version vector set with the records of superseded named writes.
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
        superseded.sort_by_key(|record| (record.write_id, record.dot));
        Self { context, versions, superseded }
    }

    /// The same state with values of no bytes and no media type: what it takes to tell what a reader is shown.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        for version in &mut self.versions {
            if let Body::Value(Value { expires_at, .. }) = version.body {
                version.body = Body::Value(Value { content_type: None, bytes: Bytes::new(), expires_at });
            }
        }
        self
    }

    /// Every dot ever seen for the key.
    #[must_use]
    pub fn context(&self) -> &CausalContext {
        &self.context
    }

    /// All versions that live, ordered by dot, each copy of a named write by itself: what is stored and sent.
    /// A reader is shown [`Object::siblings`].
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The versions that live, one a write, ordered by dot: of several copies of a named write the greatest by
    /// (HLC, dot).
    #[must_use]
    pub fn siblings(&self) -> Vec<&Version> {
        let greatest = |version: &&Version| {
            let mut copies = self.versions.iter().filter(|copy| copy.write_id == version.write_id);
            !copies.any(|copy| copy.order() > version.order())
        };
        self.versions.iter().filter(greatest).collect()
    }

    /// Records of superseded named writes, ordered by write id and dot.
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
    /// came with the retry. Where several copies of the write are known, the greatest that lives answers, else
    /// the greatest of all.
    #[must_use]
    pub fn answer_to(&self, write_id: WriteId, request: Option<&CausalContext>) -> Option<Answered> {
        let copies = self.versions.iter().filter(|version| version.write_id == write_id);
        if let Some(version) = copies.max_by_key(|version| version.order()) {
            return Some(version.answered(request));
        }
        let records = self.superseded.iter().filter(|record| record.write_id == write_id);
        records.max_by_key(|record| record.order()).map(|record| record.answered(request))
    }

    /// Carries out a write at its coordinator, whose own dot `intent.dot` is. Versions that the mode covers
    /// are dropped; the new one is added.
    ///
    /// The caller has asked [`Object::answer_to`] first: a write that is remembered is not carried out again.
    ///
    /// The object must hold all that the dot's actor ever issued for the key, as the new context says that it
    /// does. A replica that lost a record its actor wrote to, and goes on under the same actor, would make
    /// others drop what it lost: it has to take a new start first.
    pub fn put(&mut self, intent: Intent) -> Answered {
        let Intent { dot, hlc, w, write_id, named, created, mode, body } = intent;
        let past = match mode {
            Mode::Blind(BlindWrite::Overwrite) => self.context.clone(),
            Mode::Blind(BlindWrite::Sibling) => CausalContext::new(),
            Mode::Context(context) => context,
        };
        let gapless = past.up_to(dot.actor) >= self.context.up_to(dot.actor);
        let replaced = |version: &Version| past.covers(version.dot);
        let (gone, kept) = std::mem::take(&mut self.versions).into_iter().partition(replaced);
        self.versions = kept;
        self.settle(gone, hlc);
        self.context.join(&past);
        if planted::has(Bug::ForgetWhatWasOverwritten) {
            self.context = CausalContext::new();
        }
        self.context.add_up_to(dot.actor, dot.counter);
        let mut context = reply_context(None, &past, dot, gapless);
        if planted::has(Bug::ReplyCoversUnseen) {
            context = self.context.clone();
        }
        let past = if named { past } else { CausalContext::new() };
        let version =
            Version { dot, hlc, w, write_id, named, past, gapless, created: named && created, body };
        let at = self.versions.partition_point(|other| other.dot < dot);
        self.versions.insert(at, version);
        Answered { dot, hlc, context, created }
    }

    /// Joins what another replica holds into this; the module says what is promised. `now` is noted for named
    /// writes that this very merge supersedes and has no part in anything else.
    pub fn merge(&mut self, other: &Self, now: Hlc) {
        if self == other {
            return;
        }
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for version in &other.versions {
            if self.has_dropped(version.dot) {
                gone.push(version.clone());
            } else if !self.context.covers(version.dot) {
                kept.push(version.clone());
            }
        }
        for version in std::mem::take(&mut self.versions) {
            let dropped = other.has_dropped(version.dot) && !planted::has(Bug::ResurrectReplaced);
            if dropped { gone.push(version) } else { kept.push(version) }
        }
        if planted::has(Bug::DropSibling) {
            kept.truncate(1);
        }
        kept.sort_by_key(|version| version.dot);
        self.versions = kept;
        for record in &other.superseded {
            self.record(record.clone());
        }
        self.settle(gone, now);
        self.context.join(&other.context);
    }

    /// Whether merging `other` into this would change the versions or the context. What is remembered of
    /// superseded writes alone is no reason to repair: it ages at each replica by itself.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> bool {
        if !self.context.covers_all(&other.context) {
            return true;
        }
        // All that the other side has seen is seen here, so it brings no version; it can still take some away,
        // by their dots or as copies of what it, or both together, know to be superseded.
        let superseded_here = other.versions.iter().filter(|version| self.has_dropped(version.dot));
        let found: Vec<Superseded> = superseded_here
            .filter(|version| version.named)
            .map(|version| Superseded::of(version.clone(), Hlc::ZERO))
            .collect();
        self.versions.iter().any(|version| {
            other.has_dropped(version.dot)
                || other.superseded.iter().chain(&found).any(|record| record.supersedes(version))
        })
    }

    /// Forgets named writes that were superseded before `horizon`.
    pub fn forget_superseded(&mut self, horizon: Hlc) {
        self.superseded.retain(|record| record.at >= horizon);
    }

    /// Whether `dot` was seen here and lives no more.
    #[must_use]
    pub fn has_dropped(&self, dot: Dot) -> bool {
        self.context.covers(dot) && position(&self.versions, dot).is_err()
    }

    /// Records what is gone, and drops the copies that go with it. These are recorded too; since they replaced
    /// nothing that the recorded ones did not, they take no further copies with them.
    fn settle(&mut self, gone: Vec<Version>, at: Hlc) {
        for version in gone.into_iter().filter(|version| version.named) {
            self.record(Superseded::of(version, at));
        }
        let superseded = |version: &Version| self.superseded.iter().any(|r| r.supersedes(version));
        let (gone, kept): (Vec<_>, _) = std::mem::take(&mut self.versions).into_iter().partition(superseded);
        self.versions = kept;
        for version in gone {
            self.record(Superseded::of(version, at));
        }
        while self.superseded.len() > SUPERSEDED_MAX {
            let age = |r: &Superseded| (r.at, r.hlc, r.dot);
            let oldest = self.superseded.iter().enumerate().min_by_key(|(_, record)| age(record));
            let Some((at, _)) = oldest else { break };
            self.superseded.remove(at);
        }
    }

    /// Adds a record, unless one is there that stands for it, in place of those that it stands for.
    fn record(&mut self, mut record: Superseded) {
        if let Some(known) = self.superseded.iter_mut().find(|known| known.stands_for(&record)) {
            known.at = known.at.max(record.at);
            return;
        }
        self.superseded.retain(|known| {
            let redundant = record.stands_for(known);
            if redundant {
                record.at = record.at.max(known.at);
            }
            !redundant
        });
        let place = (record.write_id, record.dot);
        let at = self.superseded.partition_point(|known| (known.write_id, known.dot) < place);
        self.superseded.insert(at, record);
    }
}

fn position(versions: &[Version], dot: Dot) -> Result<usize, usize> {
    versions.binary_search_by_key(&dot, |version| version.dot)
}
