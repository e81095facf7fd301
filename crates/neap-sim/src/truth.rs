//! What was true, whatever the code under test reports: which versions were written, what each replaced, and when
//! each replica applied them.

use std::collections::{BTreeMap, HashMap};

use super::network::NodeIndex;
use super::queue::Time;
use neap_protocol::causality::{CausalContext, Object};
use neap_protocol::ids::{Dot, WriteId};
use neap_protocol::time::Hlc;

/// A key's place in the world: all keys of all buckets are numbered.
pub type KeyIndex = u32;

/// A version's place in the truth, in the order in which they were written.
pub type VersionIndex = u32;

/// Not yet.
pub const NEVER: Time = Time::MAX;

/// One version, as it was written.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its name.
    pub dot: Dot,
    /// Its key.
    pub key: KeyIndex,
    /// Its write time.
    pub hlc: Hlc,
    /// The write it came from.
    pub write_id: WriteId,
    /// Whether its client named the write.
    pub named: bool,
    /// The W it was written with.
    pub w: u8,
    /// Which run of which node coordinated it.
    pub by: (NodeIndex, u64),
    /// What it replaced.
    pub past: CausalContext,
    /// Versions that replaced it, none of which replaced another of them.
    pub superseded_by: Vec<VersionIndex>,
    /// When it was written.
    pub written_at: Time,
    /// When each home, by its place in the preference list, applied it or something that covers it.
    pub applied_at: Box<[Time]>,
    /// When W homes had.
    pub committed_at: Time,
    /// When all had.
    pub converged_at: Time,
    /// When its client was told that it succeeded.
    pub acked_at: Time,
    /// The homes that ever acknowledged it, as bits by place.
    pub ever_promised: u32,
    /// Those of them that still keep it, as far as their disks go.
    pub promised: u32,
    /// The homes among them that its client was told of.
    pub acked_by: u32,
    /// The homes of whose names a second node acknowledged it, with a disk of its own.
    pub by_ghost: u32,
    /// The homes whose disk was set back unnoticed to before it.
    pub set_back: u32,
    /// Whether a home that had applied it lost it again, with its disk or what that had not synced.
    pub unapplied: bool,
    /// Whether no disk holds it any more, nor anything that covers it.
    pub lost: bool,
}

/// One key.
#[derive(Debug, Clone, Default)]
pub struct KeyTruth {
    /// Its homes, in preference order.
    pub homes: Vec<NodeIndex>,
    /// Versions that some home may lack, or that nothing has replaced everywhere.
    pub recent: Vec<VersionIndex>,
    /// All versions that were ever written.
    pub written: Vec<VersionIndex>,
    /// Whether any of its versions is lost.
    pub loses: bool,
    /// Acknowledged versions that a read may have to return: none is covered by another of at least as many homes.
    pub acked: Vec<VersionIndex>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Truth {
    versions: Vec<Version>,
    keys: Vec<KeyTruth>,
    by_dot: HashMap<Dot, VersionIndex>,
    /// Named writes that were carried out more than once, and unnamed ones that must not be.
    by_write: HashMap<WriteId, Vec<VersionIndex>>,
    /// The convergence times of versions that have converged, in nanoseconds.
    pub convergence: Vec<Time>,
}

/// A version about to be recorded.
#[derive(Debug)]
pub struct Written<'a> {
    /// Its key.
    pub key: KeyIndex,
    /// Its coordinator's disk.
    pub disk: u64,
    /// The coordinator's object before.
    pub before: &'a Object,
    /// What the write replaced.
    pub past: CausalContext,
    /// The version as the code under test made it.
    pub version: &'a neap_protocol::causality::Version,
    /// The W it was asked with.
    pub w: u8,
    /// Which run of which node coordinates it.
    pub by: (NodeIndex, u64),
    /// The id of the write.
    pub write_id: WriteId,
    /// Whether its client named it.
    pub named: bool,
}

impl Truth {
    /// Nothing was written yet to keys with these homes.
    #[must_use]
    pub fn new(homes: impl IntoIterator<Item = Vec<NodeIndex>>) -> Self {
        let keys = homes.into_iter().map(|homes| KeyTruth { homes, ..KeyTruth::default() }).collect();
        Self { keys, ..Self::default() }
    }

    /// All versions, in the order in which they were written.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// A version.
    #[must_use]
    pub fn version(&self, index: VersionIndex) -> Option<&Version> {
        self.versions.get(index as usize)
    }

    fn version_mut(&mut self, index: VersionIndex) -> Option<&mut Version> {
        self.versions.get_mut(index as usize)
    }

    /// The version of that name.
    #[must_use]
    pub fn named(&self, dot: Dot) -> Option<(VersionIndex, &Version)> {
        let index = *self.by_dot.get(&dot)?;
        self.version(index).map(|version| (index, version))
    }

    /// All versions of a write.
    pub fn copies(&self, write_id: WriteId) -> impl Iterator<Item = &Version> {
        self.by_write.get(&write_id).into_iter().flatten().filter_map(|index| self.version(*index))
    }

    /// A key.
    #[must_use]
    pub fn key(&self, key: KeyIndex) -> Option<&KeyTruth> {
        self.keys.get(key as usize)
    }

    /// Whether no disk holds a version any more, nor anything that covers it.
    #[must_use]
    pub fn is_lost(&self, index: VersionIndex) -> bool {
        let key = self.version(index).and_then(|version| self.key(version.key));
        let Some(key) = key.filter(|key| key.loses) else { return false };
        // What is followed no more was everywhere, and so was what replaced it: it went with that.
        let mut ask = vec![index];
        while let Some(version) = ask.pop().and_then(|index| self.version(index).map(|v| (index, v))) {
            match version {
                (_, version) if version.lost => return true,
                (index, _) if key.recent.contains(&index) => {}
                (_, version) => ask.extend(&version.superseded_by),
            }
        }
        false
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> KeyIndex {
        KeyIndex::try_from(self.keys.len()).unwrap_or(KeyIndex::MAX)
    }

    /// The place of a node among a key's homes.
    #[must_use]
    pub fn place(&self, key: KeyIndex, node: NodeIndex) -> Option<usize> {
        self.key(key)?.homes.iter().position(|home| *home == node)
    }

    /// Records a version that was just written.
    pub fn write(&mut self, now: Time, written: Written<'_>) -> VersionIndex {
        let Written { key, before, past, version, w, by, write_id, named, .. } = written;
        let index = VersionIndex::try_from(self.versions.len()).unwrap_or(VersionIndex::MAX);
        let homes = self.key(key).map_or(0, |key| key.homes.len());
        let live = before.versions().iter().filter_map(|live| self.by_dot.get(&live.dot).copied());
        let recent = self.key(key).into_iter().flat_map(|key| key.recent.iter().copied());
        let mut replaced: Vec<VersionIndex> = live.chain(recent).collect();
        replaced.sort_unstable();
        replaced.dedup();
        replaced.retain(|&old| {
            let Some(version) = self.version(old) else { return false };
            let by_another = |other: &VersionIndex| self.version(*other).is_some_and(|v| past.covers(v.dot));
            past.covers(version.dot) && !version.superseded_by.iter().any(by_another)
        });
        for old in replaced {
            if let Some(version) = self.version_mut(old) {
                version.superseded_by.push(index);
            }
        }
        self.by_dot.insert(version.dot, index);
        self.by_write.entry(write_id).or_default().push(index);
        self.versions.push(Version {
            dot: version.dot,
            key,
            hlc: version.hlc,
            write_id,
            named,
            w,
            by,
            past,
            superseded_by: Vec::new(),
            written_at: now,
            applied_at: vec![NEVER; homes].into_boxed_slice(),
            committed_at: NEVER,
            converged_at: NEVER,
            acked_at: NEVER,
            ever_promised: 0,
            promised: 0,
            acked_by: 0,
            by_ghost: 0,
            set_back: 0,
            unapplied: false,
            lost: false,
        });
        if let Some(key) = self.keys.get_mut(key as usize) {
            key.recent.push(index);
            key.written.push(index);
        }
        index
    }

    /// A home now holds `object`.
    pub fn holds(&mut self, now: Time, key: KeyIndex, node: NodeIndex, object: &Object) {
        let Some(place) = self.place(key, node) else { return };
        let Self { versions, keys, convergence, .. } = self;
        let Some(key) = keys.get_mut(key as usize) else { return };
        let mut converged = false;
        for &index in &key.recent {
            let Some(version) = versions.get_mut(index as usize) else { continue };
            let Some(applied) = version.applied_at.get_mut(place) else { continue };
            if *applied != NEVER || !object.context().covers(version.dot) {
                continue;
            }
            *applied = now;
            let by = version.applied_at.iter().filter(|at| **at != NEVER).count();
            if by >= usize::from(version.w) {
                version.committed_at = version.committed_at.min(now);
            }
            if by == version.applied_at.len() && version.converged_at == NEVER {
                version.converged_at = now;
                convergence.push(now.saturating_sub(version.committed_at));
                converged = true;
            }
        }
        if converged {
            prune(versions, &mut key.recent);
        }
    }

    /// A disk was set back: what it holds under the key is now this. What it had acknowledged and lacks counts as
    /// kept no more; `unnoticed` says that the protocol has no way to know.
    pub fn set_back(&mut self, key: KeyIndex, node: NodeIndex, object: Option<&Object>, unnoticed: bool) {
        let Some(place) = self.place(key, node) else { return };
        let Self { versions, keys, by_dot, .. } = self;
        let Some(key) = keys.get_mut(key as usize) else { return };
        let live = object.into_iter().flat_map(Object::versions);
        // What lives there again may have been replaced everywhere else, and by what was written while no disk held it.
        let mut again: Vec<VersionIndex> = live.filter_map(|live| by_dot.get(&live.dot).copied()).collect();
        let bit = 1 << place;
        for &index in &key.written {
            let version = versions.get_mut(index as usize);
            let kept = |dot| object.is_some_and(|object| object.context().covers(dot));
            let Some(version) = version.filter(|version| !kept(version.dot)) else { continue };
            version.promised &= !bit;
            version.set_back |= if unnoticed { bit } else { 0 };
            let Some(applied) = version.applied_at.get_mut(place).filter(|at| **at != NEVER) else {
                continue;
            };
            // What it answered while it had it may still be under way.
            version.ever_promised |= bit;
            *applied = NEVER;
            version.unapplied = true;
            version.lost |= nowhere(version);
            key.loses |= version.lost;
            // That it was everywhere, and what replaced it too, is true no more.
            again.push(index);
        }
        for index in again {
            if !key.recent.contains(&index) {
                key.recent.push(index);
                find_successors(versions, &key.written, index);
            }
        }
        key.recent.extend(key.acked.iter());
        key.recent.sort_unstable();
        key.recent.dedup();
    }

    /// A home acknowledged that it has all that `promise` covers, and what was written as `written`; or a second node of its name did, which is
    /// `ghost_of` it.
    pub fn promise(
        &mut self,
        key: KeyIndex,
        node: NodeIndex,
        ghost_of: Option<NodeIndex>,
        promise: &CausalContext,
        written: Option<Dot>,
    ) {
        let Some(place) = self.place(key, ghost_of.unwrap_or(node)) else { return };
        let Self { versions, keys, by_dot, .. } = self;
        let Some(key) = keys.get_mut(key as usize) else { return };
        let written = written.and_then(|dot| by_dot.get(&dot));
        for &index in key.recent.iter().chain(written) {
            let version = versions.get_mut(index as usize);
            let told = |version: &&mut Version| written == Some(&index) || promise.covers(version.dot);
            if let Some(version) = version.filter(told) {
                version.ever_promised |= 1 << place;
                let bits = if ghost_of.is_some() { &mut version.by_ghost } else { &mut version.promised };
                *bits |= 1 << place;
            }
        }
    }

    /// So many disks are gone at once that nobody may remember which directories there were: that these homes kept
    /// anything is not to be relied on.
    pub fn forgotten(&mut self, nodes: &[NodeIndex]) {
        let Self { versions, keys, .. } = self;
        for version in versions {
            let homes = keys.get(version.key as usize).map(|key| key.homes.as_slice()).unwrap_or_default();
            for (place, _) in homes.iter().enumerate().filter(|(_, home)| nodes.contains(home)) {
                version.set_back |= 1 << place;
            }
        }
    }

    /// A client was told that a write succeeded, at these homes.
    pub fn ack(&mut self, now: Time, index: VersionIndex, homes: &[NodeIndex]) {
        let Some(version) = self.version(index) else { return };
        let (key_index, first) = (version.key, version.acked_at == NEVER);
        let places = homes.iter().filter_map(|home| self.place(key_index, *home));
        let bits = places.fold(0, |bits, place| bits | 1 << place);
        let Some(version) = self.version_mut(index) else { return };
        version.acked_at = version.acked_at.min(now);
        version.acked_by |= bits;
        if !first {
            return;
        }
        let (past, by) = (version.past.clone(), version.acked_by.count_ones());
        let Self { versions, keys, .. } = self;
        let Some(key) = keys.get_mut(key_index as usize) else { return };
        key.acked.retain(|&old| {
            let old = versions.get(old as usize);
            old.is_some_and(|old| !past.covers(old.dot) || old.acked_by.count_ones() > by)
        });
        key.acked.push(index);
        if !key.recent.contains(&index) {
            self.follow_again(key_index, index);
        }
    }

    /// Follows a version again that was everywhere, as was one that replaced it. Disks may have been set back since:
    /// it is where that one is.
    fn follow_again(&mut self, key: KeyIndex, index: VersionIndex) {
        let mut ends = Vec::new();
        let mut ask = vec![index];
        while let Some(at) = ask.pop() {
            let followed = self.key(key).is_some_and(|key| key.recent.contains(&at));
            match self.version(at) {
                Some(version) if followed => ends.push(version.applied_at.clone()),
                Some(version) => ask.extend(&version.superseded_by),
                None => {}
            }
        }
        let Some(version) = self.version_mut(index) else { return };
        for (place, applied) in version.applied_at.iter_mut().enumerate() {
            if ends.iter().all(|end| end.get(place).is_none_or(|at| *at == NEVER)) {
                version.unapplied |= *applied != NEVER;
                *applied = NEVER;
            }
        }
        version.lost |= nowhere(version);
        let lost = version.lost;
        if let Some(key) = self.keys.get_mut(key as usize) {
            key.loses |= lost;
            key.recent.push(index);
        }
    }

    /// Counts of versions: written, acknowledged, lost, and not yet everywhere.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let count = |wanted: &dyn Fn(&Version) -> bool| {
            self.versions.iter().filter(|version| wanted(version)).count() as u64
        };
        BTreeMap::from([
            ("versions", self.versions.len() as u64),
            ("acked", count(&|version| version.acked_at != NEVER)),
            ("lost_with_every_disk", count(&|version| version.lost && version.acked_at != NEVER)),
            ("unconverged", count(&|version| version.converged_at == NEVER)),
        ])
    }
}

/// Whether no home's own disk holds a version, nor anything that covers it. What only a second node of a home's name
/// holds is as good as gone: that disk will not be kept.
fn nowhere(version: &Version) -> bool {
    version.applied_at.iter().all(|at| *at == NEVER)
}

/// Finds what replaced a version, of all that was ever written after it.
fn find_successors(versions: &mut [Version], written: &[VersionIndex], index: VersionIndex) {
    let Some(dot) = versions.get(index as usize).map(|version| version.dot) else { return };
    let mut found: Vec<VersionIndex> = Vec::new();
    for &later in written.iter().filter(|later| **later > index) {
        let Some(version) = versions.get(later as usize).filter(|later| later.past.covers(dot)) else {
            continue;
        };
        let by_another = |other: &VersionIndex| {
            versions.get(*other as usize).is_some_and(|other| version.past.covers(other.dot))
        };
        if !found.iter().any(by_another) {
            found.push(later);
        }
    }
    if let Some(version) = versions.get_mut(index as usize) {
        version.superseded_by = found;
    }
}

/// Forgets versions that every home has, and something that replaced them too.
fn prune(versions: &[Version], recent: &mut Vec<VersionIndex>) {
    let everywhere = |index: &VersionIndex| {
        versions.get(*index as usize).is_some_and(|v| v.applied_at.iter().all(|at| *at != NEVER))
    };
    recent.retain(|index| {
        let superseded = versions.get(*index as usize).map(|version| &version.superseded_by);
        !(everywhere(index) && superseded.is_some_and(|by| by.iter().any(everywhere)))
    });
}
