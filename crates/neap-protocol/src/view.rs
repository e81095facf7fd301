//! What a machine may look at of the node that it runs on.

use crate::ids::NodeId;
use crate::ring::Ring;
use crate::settings::BucketTable;

/// Snapshots that do not change while a machine takes a step.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// This node.
    pub me: &'a NodeId,
    /// The ring in force.
    pub ring: &'a Ring,
    /// The settings of all buckets.
    pub buckets: &'a BucketTable,
}

impl View<'_> {
    /// Every other member.
    #[must_use]
    pub fn others(&self) -> Vec<NodeId> {
        let ids = self.ring.members().iter().map(|member| &member.id);
        ids.filter(|&id| id != self.me).cloned().collect()
    }
}
