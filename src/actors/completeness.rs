//! What this node may answer for, as every actor sees it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::protocol::membership::Completeness;

/// An immutable snapshot that every actor shares.
#[derive(Debug)]
pub struct CompletenessTable(ArcSwap<Completeness>);

impl CompletenessTable {
    /// Starts with `completeness`.
    #[must_use]
    pub fn new(completeness: Completeness) -> Self {
        Self(ArcSwap::from_pointee(completeness))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> arc_swap::Guard<Arc<Completeness>> {
        self.0.load()
    }

    /// Shows another.
    pub fn show(&self, completeness: Completeness) {
        self.0.store(Arc::new(completeness));
    }
}
