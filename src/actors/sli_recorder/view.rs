//! What the recorder has published, for whoever reads it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::protocol::slo::SloDocument;

/// How this node's objectives stood lately: an immutable document, replaced as a whole.
#[derive(Debug)]
pub struct SloView(ArcSwap<SloDocument>);

impl SloView {
    /// Shows `document` first.
    #[must_use]
    pub fn new(document: SloDocument) -> Self {
        Self(ArcSwap::from_pointee(document))
    }

    /// The document in force.
    #[must_use]
    pub fn current(&self) -> Arc<SloDocument> {
        self.0.load_full()
    }

    /// Puts another in its place.
    pub fn show(&self, document: SloDocument) {
        self.0.store(Arc::new(document));
    }
}
