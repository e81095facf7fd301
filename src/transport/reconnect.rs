//! Who waits to dial whom again, so that word of a node that is back ends the waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::protocol::ids::NodeId;

/// All links of a node, over all lanes, by the peer they dial.
#[derive(Debug, Default)]
pub struct Reconnects {
    waiting: Mutex<BTreeMap<NodeId, Vec<Weak<Notify>>>>,
}

impl Reconnects {
    /// `wake` is to be notified when `peer` shows itself.
    pub fn register(&self, peer: &NodeId, wake: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let links = waiting.entry(peer.clone()).or_default();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(wake));
    }

    /// `peer` has just shaken hands with this node: it is worth dialling now.
    pub fn seen(&self, peer: &NodeId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for link in waiting.get(peer).into_iter().flatten() {
            if let Some(wake) = link.upgrade() {
                wake.notify_one();
            }
        }
    }
}
