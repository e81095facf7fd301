//! The ring: which nodes are the homes of which key.
//!
//! ```text
//! bucket, key ──xxh3──> position ──top bits──> partition ──layout of N──> N homes, in order
//!                                                  └──rendezvous──> fallbacks
//! ```
//!
//! The circle of hashes is cut into equal partitions, fixed for a cluster's life (DeCandia et al., "Dynamo",
//! section 6.2, strategy 3). A *layout* is a table partition -> homes, one for each N. The founders' is dealt even
//! to the slot; each later one is computed from the layout before it, and moves no more than the change demands.
//! A ring never changes: a change of members makes the next one.
//!
//! Nodes hold slots in proportion to their weights, to the slot, as far as two rules allow, which come first: no
//! node is a home of a partition twice, and homes are spread over zones as evenly as the zones' sizes allow
//! (in distinct zones where there are N). A change moves what nodes gain, and where the rules forbid the direct way a
//! little more: over many changes, within a hundredth of the cheapest way there. Everything is computed in whole
//! numbers and fixed orders, so nodes that apply the same changes have the same ring.

mod chain;
mod error;
mod first_place;
mod founding;
mod gifts;
mod hash;
mod layout;
mod member;
mod position;
mod rebalance;
mod rendezvous;
mod share;
mod zones;

use xxhash_rust::xxh3::Xxh3;

use layout::{Layout, Nodes};
use rendezvous::Rendezvous;

use crate::ids::{BucketName, Epoch, Key, NodeId, PartitionId};
use crate::quorum::N_MAX;

pub use error::RingError;
pub use member::{InvalidWeight, Member, NodeIndex, Weight};
pub use position::{key_hash, partition_of};

/// The most members a ring counts.
pub const MEMBERS_MAX: usize = 4_096;

/// The most partitions a circle is cut into.
pub const PARTITIONS_MAX: u32 = 65_536;

/// One membership record's view of who owns what. Immutable; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct Ring {
    epoch: Epoch,
    partitions: u32,
    /// By id.
    members: Vec<Member>,
    /// For N = 1, 2 and so on. All of them, at once: each is computed from the one before it, so one that was
    /// left for later would have to keep every record since.
    layouts: Vec<Layout>,
    rendezvous: Rendezvous,
    fingerprint: u64,
}

impl Ring {
    /// The first ring, epoch 1, with a layout for every N in 1..=[`N_MAX`] that the members allow. The order of
    /// `members` does not matter.
    pub fn founders(partitions: u32, members: Vec<Member>) -> Result<Self, RingError> {
        if !partitions.is_power_of_two() || partitions > PARTITIONS_MAX {
            return Err(RingError::Partitions { given: partitions });
        }
        let members = sorted(members)?;
        let nodes = Nodes::new(&members);
        let layouts = layouts_allowed(&members).map(|n| Layout::found(n, partitions, &nodes)).collect();
        Ok(Self::assemble(Epoch(1), partitions, members, layouts))
    }

    /// The next record's ring: `members` are all that it counts, who joined among them and who left not. Each
    /// layout is computed from the layout before it; one for an N that the members did not allow before is as
    /// the founders' would be. Layouts for an N above the number of members are gone: whoever removes members
    /// sees to it that no bucket uses them.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self, RingError> {
        let members = sorted(members)?;
        let nodes = Nodes::new(&members);
        let epoch = Epoch(self.epoch.0.saturating_add(1));
        let renamed: Vec<Option<NodeIndex>> =
            self.members.iter().map(|member| index_of(&members, &member.id)).collect();
        let next = |n: usize| match self.layout(n) {
            Some(layout) => layout.next(&renamed, &nodes, epoch.0),
            None => Layout::found(n, self.partitions, &nodes),
        };
        let layouts = layouts_allowed(&members).map(next).collect();
        Ok(Self::assemble(epoch, self.partitions, members, layouts))
    }

    fn assemble(epoch: Epoch, partitions: u32, members: Vec<Member>, layouts: Vec<Layout>) -> Self {
        let rendezvous = Rendezvous::new(&members);
        let fingerprint = fingerprint(epoch, partitions, &members, &layouts);
        Self { epoch, partitions, members, layouts, rendezvous, fingerprint }
    }

    fn layout(&self, n: usize) -> Option<&Layout> {
        self.layouts.get(n.checked_sub(1)?)
    }

    /// The number of the membership record.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many partitions the circle is cut into.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The members, sorted by id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The place of a member, if it is one.
    #[must_use]
    pub fn index_of(&self, id: &NodeId) -> Option<NodeIndex> {
        index_of(&self.members, id)
    }

    /// The member at a place of this ring.
    #[must_use]
    pub fn member(&self, index: NodeIndex) -> Option<&Member> {
        self.members.get(index.at())
    }

    /// The partition of a key.
    #[must_use]
    pub fn partition_of(&self, bucket: &BucketName, key: &Key) -> PartitionId {
        partition_of(self.partitions, bucket, key)
    }

    /// The `n` homes of a partition, the first place first. Empty if there are fewer than `n` members, if `n` is
    /// 0 or above [`N_MAX`], and for a partition that does not exist.
    #[must_use]
    pub fn homes(&self, partition: PartitionId, n: u8) -> &[NodeIndex] {
        let layout = self.layout(usize::from(n));
        layout.map_or(&[], |layout| layout.homes(partition.0 as usize))
    }

    /// The nodes that are no homes of a partition, in the order in which they stand in for homes that are down.
    #[must_use]
    pub fn fallbacks(&self, partition: PartitionId, n: u8) -> Vec<NodeIndex> {
        self.rendezvous.fallbacks(partition, self.homes(partition, n))
    }

    /// A hash of the record: epoch, partitions, members with zones and weights, layouts. Addresses are no part of
    /// it, for they say where a node is and not what it owns.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn sorted(mut members: Vec<Member>) -> Result<Vec<Member>, RingError> {
    if members.is_empty() {
        return Err(RingError::NoMembers);
    }
    if members.len() > MEMBERS_MAX {
        return Err(RingError::TooManyMembers { given: members.len() });
    }
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let twice = members.iter().zip(members.iter().skip(1)).find(|(one, next)| one.id == next.id);
    if let Some((member, _)) = twice {
        return Err(RingError::DuplicateId { id: member.id.clone() });
    }
    Ok(members)
}

fn index_of(members: &[Member], id: &NodeId) -> Option<NodeIndex> {
    members.binary_search_by(|member| member.id.cmp(id)).ok().map(NodeIndex::from_usize)
}

fn layouts_allowed(members: &[Member]) -> impl Iterator<Item = usize> {
    1..=members.len().min(usize::from(N_MAX))
}

fn fingerprint(epoch: Epoch, partitions: u32, members: &[Member], layouts: &[Layout]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(b"neap ring 1");
    hash.update(&epoch.0.to_le_bytes());
    hash.update(&partitions.to_le_bytes());
    for member in members {
        // Each text after its length, so that no two lists of members run into the same bytes.
        for text in [member.id.as_str(), &member.zone] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(&member.weight.thousandths().to_le_bytes());
    }
    for layout in layouts {
        let slots: Vec<u8> = layout.all().iter().flat_map(|node| node.0.to_le_bytes()).collect();
        hash.update(&(slots.len() as u64).to_le_bytes());
        hash.update(&slots);
    }
    hash.digest()
}
