//! Fallbacks: who stands in for a home that is down (Thaler and Ravishankar, "Using name-based mappings to
//! increase hit rates": highest random weight).

use xxhash_rust::xxh3::xxh3_64;

use super::hash::mix;
use super::member::{Member, NodeIndex};
use crate::ids::PartitionId;

/// The members' names, hashed once.
#[derive(Debug, Clone)]
pub(super) struct Rendezvous {
    names: Vec<u64>,
}

impl Rendezvous {
    pub(super) fn new(members: &[Member]) -> Self {
        Self { names: members.iter().map(|member| xxh3_64(member.id.as_str().as_bytes())).collect() }
    }

    /// Every node but `homes`, the first to be asked first. A node's rank among the others depends on its name
    /// and the partition alone, so it is the same whoever else joins or leaves. Weights are left out: a
    /// fallback keeps hints for a while, it owns nothing.
    pub(super) fn fallbacks(&self, partition: PartitionId, homes: &[NodeIndex]) -> Vec<NodeIndex> {
        let seed = mix(u64::from(partition.0).wrapping_add(1));
        let mut others: Vec<(u64, NodeIndex)> = self
            .names
            .iter()
            .enumerate()
            .map(|(at, name)| (mix(name ^ seed), NodeIndex::from_usize(at)))
            .filter(|(_, node)| !homes.contains(node))
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others.into_iter().map(|(_, node)| node).collect()
    }
}
