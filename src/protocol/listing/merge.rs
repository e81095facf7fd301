//! One listing: rounds of pages, merged as far as all of a round's pages speak.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{KeyPage, KeyRange, ListError, ListReply, ListedKey, PageRequest};
use crate::protocol::bucket::BucketSettings;
use crate::protocol::causality::{Object, shown};
use crate::protocol::ids::{Key, NodeId, PartitionId};
use crate::protocol::message::Refusal;
use crate::protocol::ring::{NodeIndex, Ring};
use crate::protocol::time::{Hlc, WallMicros};

/// How many bytes of keys and states a page holds, about.
const PAGE_BYTES: u32 = 1 << 20;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask every member this, which begins a round; what earlier rounds asked for counts no more.
    Ask(PageRequest),
    /// Wait for more answers of this round.
    Wait,
    /// Tell the client. The listing is over.
    Tell(Result<ListReply, ListError>),
}

/// A listing of the keys of a range, up to a number of them.
#[derive(Debug)]
pub struct Listing {
    range: KeyRange,
    limit: usize,
    settings: BucketSettings,
    /// The wall clock when it began: what has expired by then is not listed.
    began: WallMicros,
    keys: Vec<ListedKey>,
    /// Whether some round is over, so that there is something to tell.
    advanced: bool,
    waiting: BTreeSet<NodeIndex>,
    pages: BTreeMap<NodeIndex, KeyPage>,
    refusals: Vec<(NodeId, Refusal)>,
}

impl Listing {
    /// A listing of up to `limit` keys (at least one) of a bucket with these settings, which begins at `began`.
    ///
    /// # Errors
    ///
    /// There are fewer nodes than N.
    pub fn new(
        ring: &Ring,
        settings: BucketSettings,
        range: KeyRange,
        limit: usize,
        began: WallMicros,
    ) -> Result<Self, ListError> {
        let members = u16::try_from(ring.members().len()).unwrap_or(u16::MAX);
        let n = settings.quorum.n;
        if u16::from(n) > members {
            return Err(ListError::TooFewMembers { n, members });
        }
        Ok(Self {
            range,
            limit: limit.max(1),
            settings,
            began,
            keys: Vec::new(),
            advanced: false,
            waiting: BTreeSet::new(),
            pages: BTreeMap::new(),
            refusals: Vec::new(),
        })
    }

    /// Begins a round: every member is to be asked this.
    pub fn ask(&mut self, ring: &Ring) -> PageRequest {
        self.pages.clear();
        self.refusals.clear();
        self.waiting = ring.members().iter().filter_map(|member| ring.index_of(&member.id)).collect();
        let wanted = self.limit.saturating_sub(self.keys.len()).saturating_add(1);
        PageRequest {
            range: self.range.clone(),
            n: self.settings.quorum.n,
            max_keys: u32::try_from(wanted).unwrap_or(u32::MAX),
            max_bytes: PAGE_BYTES,
        }
    }

    /// Takes a member's answer to this round's request.
    pub fn answered(&mut self, ring: &Ring, from: &NodeId, answer: Result<KeyPage, Refusal>) -> Next {
        let Some(index) = ring.index_of(from).filter(|index| self.waiting.remove(index)) else {
            return Next::Wait;
        };
        match answer {
            Ok(page) => drop(self.pages.insert(index, page)),
            Err(refusal) => self.refusals.push((from.clone(), refusal)),
        }
        let lacking = self.lacking(ring);
        if lacking == 0 {
            // Of a damaged record too few sound copies may be here, and another home may yet answer.
            match self.merge(ring) {
                Ok(next) => return next,
                Err(_) if !self.waiting.is_empty() => return Next::Wait,
                Err(Damaged) => return Next::Tell(Err(self.too_few(ring, 1))),
            }
        }
        if self.waiting.is_empty() { Next::Tell(Err(self.too_few(ring, lacking))) } else { Next::Wait }
    }

    /// The deadline has passed: what is there is told, else why there is nothing.
    pub fn ended(self, ring: &Ring) -> Result<ListReply, ListError> {
        if self.advanced {
            return Ok(ListReply { keys: self.keys, more_after: Some(self.range.after) });
        }
        let lacking = self.lacking(ring).max(1);
        let (partitions, needed) = (ring.partitions(), self.settings.quorum.r);
        Err(ListError::Deadline { lacking, partitions, needed })
    }

    fn too_few(&self, ring: &Ring, lacking: u32) -> ListError {
        let (partitions, needed) = (ring.partitions(), self.settings.quorum.r);
        ListError::Lacking { lacking, partitions, needed, refusals: self.refusals.clone() }
    }

    /// How many partitions lack the answers of R homes.
    fn lacking(&self, ring: &Ring) -> u32 {
        let quorum = self.settings.quorum;
        let lacks = |partition: &PartitionId| {
            let homes = ring.homes(*partition, quorum.n).iter();
            homes.filter(|home| self.pages.contains_key(home)).count() < usize::from(quorum.r)
        };
        let lacking = (0..ring.partitions()).map(PartitionId).filter(lacks).count();
        u32::try_from(lacking).unwrap_or(u32::MAX)
    }

    /// Takes over the keys that all pages speak for.
    fn merge(&mut self, ring: &Ring) -> Result<Next, Damaged> {
        let through = self.pages.values().filter_map(|page| page.through.clone()).min();
        let mut states: BTreeMap<&Key, Vec<(NodeIndex, Option<&Object>)>> = BTreeMap::new();
        for (&node, page) in &self.pages {
            let spoken_for =
                page.entries.iter().take_while(|(key, _)| through.as_ref().is_none_or(|last| key <= last));
            for (key, object) in spoken_for {
                states.entry(key).or_default().push((node, object.as_ref()));
            }
        }
        let mut listed = Vec::new();
        let mut cut_after = None;
        for (key, of_nodes) in states {
            if self.keys.len() + listed.len() == self.limit {
                cut_after = listed.last().or(self.keys.last()).map(|last: &ListedKey| last.key.clone());
                break;
            }
            listed.extend(self.judge(ring, key, &of_nodes)?);
        }
        self.keys.append(&mut listed);
        self.advanced = true;
        let Some(after) = cut_after.or(through) else {
            return Ok(Next::Tell(Ok(ListReply { keys: std::mem::take(&mut self.keys), more_after: None })));
        };
        let after = Bytes::copy_from_slice(after.as_bytes());
        if self.keys.len() == self.limit {
            let reply = ListReply { keys: std::mem::take(&mut self.keys), more_after: Some(after) };
            return Ok(Next::Tell(Ok(reply)));
        }
        self.range.after = after;
        Ok(Next::Ask(self.ask(ring)))
    }

    /// The key as it is listed, if its homes' states show a value.
    fn judge(
        &self,
        ring: &Ring,
        key: &Key,
        of_nodes: &[(NodeIndex, Option<&Object>)],
    ) -> Result<Option<ListedKey>, Damaged> {
        let quorum = self.settings.quorum;
        let homes = ring.homes(ring.partition_of(&self.range.bucket, key), quorum.n);
        let damaged =
            |home: &NodeIndex| of_nodes.iter().any(|(node, object)| node == home && object.is_none());
        let sound = homes.iter().filter(|&home| self.pages.contains_key(home) && !damaged(home)).count();
        if sound < usize::from(quorum.r) {
            return Err(Damaged);
        }
        let mut merged = Object::new();
        for object in
            of_nodes.iter().filter(|(node, _)| homes.contains(node)).filter_map(|(_, object)| *object)
        {
            merged.merge(object, Hlc::from_wall(self.began));
        }
        let versions = shown(&merged, self.settings.resolution, self.began).versions();
        let newest = versions.iter().map(|version| version.hlc).max();
        Ok(newest.map(|newest| ListedKey { key: key.clone(), newest, versions: versions.len() }))
    }
}

/// Fewer than R homes hold a sound record of a key.
struct Damaged;
