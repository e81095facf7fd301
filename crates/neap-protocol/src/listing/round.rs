//! One round of a listing: the nodes' pages, and their states of keys that they left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{KeyPage, StatesRequest};
use crate::causality::Object;
use crate::ids::{BucketName, Key, NodeId, PartitionId};
use crate::message::Refusal;
use crate::quorum::Quorum;
use crate::ring::{NodeIndex, Ring};
use crate::time::Hlc;

/// Keys of one [`StatesRequest`].
const STATES_MAX: usize = 1_024;

/// How far a page speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Through {
    Key(Key),
    End,
}

/// A node's word on a key.
#[derive(Debug)]
enum Told {
    Holds(Object),
    Nothing,
    Damaged,
}

/// Whose answers count for a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deciders<'a> {
    pub(super) ring: &'a Ring,
    pub(super) bucket: &'a BucketName,
    pub(super) quorum: Quorum,
}

/// Fewer than R replicas hold a sound record of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// The answers to one round's requests.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Nodes whose pages have not come.
    waiting: BTreeSet<NodeIndex>,
    /// How far the pages speak that have.
    speaks: BTreeMap<NodeIndex, Through>,
    told: BTreeMap<Key, BTreeMap<NodeIndex, Told>>,
    /// Nodes that are asked for states, and of which keys.
    asked: BTreeMap<NodeIndex, Vec<Key>>,
    refusals: Vec<(NodeId, Refusal)>,
}

impl<'a> Deciders<'a> {
    /// The replicas of a key, in preference order.
    fn replicas(&self, key: &Key) -> &'a [NodeIndex] {
        self.ring.homes(self.ring.partition_of(self.bucket, key), self.quorum.n)
    }
}

impl Round {
    /// Every member is asked for a page.
    pub(super) fn begin(ring: &Ring) -> Self {
        let waiting = ring.members().iter().filter_map(|member| ring.index_of(&member.id)).collect();
        Self { waiting, ..Self::default() }
    }

    /// Whether a page of this node is to come; no more from now on.
    pub(super) fn expects_page_of(&mut self, node: NodeIndex) -> bool {
        self.waiting.remove(&node)
    }

    /// Whether some page is to come.
    pub(super) fn lacks_pages(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether some states are to come.
    pub(super) fn lacks_states(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Why nodes did not answer.
    pub(super) fn refusals(&self) -> &[(NodeId, Refusal)] {
        &self.refusals
    }

    /// Takes in a node's page.
    pub(super) fn page(&mut self, node: NodeIndex, page: KeyPage) {
        self.speaks.insert(node, page.through.map_or(Through::End, Through::Key));
        for (key, object) in page.entries {
            self.tell(node, key, object);
        }
    }

    /// Takes in a node's states. The keys of which it did not speak yet are asked for again.
    pub(super) fn states(&mut self, node: NodeIndex, states: KeyPage) {
        let Some(asked) = self.asked.remove(&node) else { return };
        for key in asked.into_iter().filter(|key| states.speaks_for(key)) {
            self.told.entry(key).or_default().insert(node, Told::Nothing);
        }
        for (key, object) in states.entries {
            self.tell(node, key, object);
        }
    }

    fn tell(&mut self, node: NodeIndex, key: Key, object: Option<Object>) {
        let told = object.map_or(Told::Damaged, Told::Holds);
        self.told.entry(key).or_default().insert(node, told);
    }

    /// A node does not answer. Nothing that it said before counts either: it may have left out what hides a key.
    pub(super) fn refused(&mut self, node: NodeIndex, name: NodeId, refusal: Refusal) {
        self.waiting.remove(&node);
        self.speaks.remove(&node);
        self.asked.remove(&node);
        self.told.values_mut().for_each(|told| drop(told.remove(&node)));
        self.refusals.push((name, refusal));
    }

    /// Partitions of which fewer than R replicas speak.
    pub(super) fn lacking(&self, deciders: Deciders<'_>) -> u32 {
        let Deciders { ring, quorum, .. } = deciders;
        let lacks = |partition: &PartitionId| {
            let replicas = ring.homes(*partition, quorum.n).iter();
            replicas.filter(|replica| self.speaks.contains_key(replica)).count() < usize::from(quorum.r)
        };
        let lacking = (0..ring.partitions()).map(PartitionId).filter(lacks).count();
        u32::try_from(lacking).unwrap_or(u32::MAX)
    }

    /// How far R replicas of each partition speak: a page that ends early holds nobody up where others go further. None
    /// while some partition lacks R of them.
    pub(super) fn reach(&self, deciders: Deciders<'_>) -> Option<Through> {
        let Deciders { ring, quorum, .. } = deciders;
        let of_partition = |partition: PartitionId| {
            let replicas = ring.homes(partition, quorum.n).iter();
            let mut speak: Vec<&Through> = replicas.filter_map(|replica| self.speaks.get(replica)).collect();
            speak.sort_unstable_by(|one, other| other.cmp(one));
            speak.get(usize::from(quorum.r).checked_sub(1)?).copied()
        };
        let mut least: Option<&Through> = None;
        for partition in (0..ring.partitions()).map(PartitionId) {
            let reach = of_partition(partition)?;
            least = Some(least.map_or(reach, |least| least.min(reach)));
        }
        least.cloned()
    }

    /// The keys up to `reach` of which something was told, in order.
    pub(super) fn keys_through<'a>(&'a self, reach: &'a Through) -> impl Iterator<Item = &'a Key> {
        self.told.keys().take_while(move |key| match reach {
            Through::Key(through) => *key <= through,
            Through::End => true,
        })
    }

    fn speaks_for(&self, node: NodeIndex, key: &Key) -> bool {
        match self.speaks.get(&node) {
            Some(Through::Key(through)) => key <= through,
            Some(Through::End) => true,
            None => false,
        }
    }

    /// What is to be asked of nodes whose pages left out a key that another page has: theirs may be a dead state that
    /// hides it. A node is asked one thing at a time.
    pub(super) fn ask_states(
        &mut self,
        deciders: Deciders<'_>,
        reach: &Through,
        max_bytes: u32,
    ) -> Vec<(NodeIndex, StatesRequest)> {
        let mut asks: BTreeMap<NodeIndex, (Vec<Key>, usize)> = BTreeMap::new();
        for key in self.keys_through(reach) {
            let Some(told) = self.told.get(key) else { continue };
            if !told.values().any(|told| matches!(told, Told::Holds(_))) {
                continue;
            }
            for &replica in deciders.replicas(key) {
                let silent = self.speaks_for(replica, key) && !told.contains_key(&replica);
                if silent && !self.asked.contains_key(&replica) {
                    let (keys, bytes) = asks.entry(replica).or_default();
                    if keys.len() < STATES_MAX && *bytes < max_bytes as usize {
                        *bytes += key.as_bytes().len();
                        keys.push(key.clone());
                    }
                }
            }
        }
        let ask = |(node, (keys, _)): (NodeIndex, (Vec<Key>, usize))| {
            self.asked.insert(node, keys.clone());
            let (bucket, n) = (deciders.bucket.clone(), deciders.quorum.n);
            (node, StatesRequest { bucket, n, keys, max_bytes })
        };
        asks.into_iter().map(ask).collect()
    }

    /// The states of a key at its replicas, joined.
    pub(super) fn joined(&self, deciders: Deciders<'_>, key: &Key, at: Hlc) -> Result<Object, Damaged> {
        let told = self.told.get(key);
        let (mut sound, mut joined) = (0, Object::new());
        for &replica in deciders.replicas(key).iter().filter(|replica| self.speaks_for(**replica, key)) {
            match told.and_then(|told| told.get(&replica)) {
                Some(Told::Damaged) => continue,
                Some(Told::Holds(object)) => joined.merge(object, at),
                Some(Told::Nothing) | None => {}
            }
            sound += 1;
        }
        if sound < usize::from(deciders.quorum.r) { Err(Damaged) } else { Ok(joined) }
    }
}
