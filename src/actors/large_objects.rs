//! Says which objects are too large to be sent. All are counted; a line is written once a second at the most, so that a
//! key that is asked for often does not fill the log.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::actors::clock::moment;
use crate::actors::counters::NodeCounters;
use crate::protocol::ids::NodeId;
use crate::protocol::message::LeftOut;
use crate::protocol::replica::LargeObject;

const EVERY_US: u64 = 1_000_000;

/// When one kind of line was last written, in microseconds of the process.
struct Said(AtomicU64);

impl Said {
    fn is_due(&self) -> bool {
        let (now, last) = (moment().0.max(1), self.0.load(Ordering::Relaxed));
        let due = last == 0 || now.saturating_sub(last) >= EVERY_US;
        // Of several at once one writes.
        due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

static TOO_LARGE: Said = Said(AtomicU64::new(0));
static LEFT_OUT: Said = Said(AtomicU64::new(0));

/// An object of this node was asked for and cannot be sent.
pub fn cannot_be_sent(counters: &NodeCounters, object: &LargeObject) {
    counters.objects_too_large.add();
    if TOO_LARGE.is_due() {
        let LargeObject { bucket, key, bytes } = object;
        tracing::warn!(
            %bucket, key = %key.as_bytes().escape_ascii(), bytes,
            "an object is too large to be sent to another node: read it with r=1 at this node, and write what is to \
             stay with the context of that read"
        );
    }
}

/// An object of a peer cannot be sent to this node, which pulls from it.
pub fn is_left_out(counters: &NodeCounters, peer: &NodeId, left_out: &LeftOut) {
    counters.objects_left_out.add();
    if LEFT_OUT.is_due() {
        let LeftOut { bucket, key, .. } = left_out;
        tracing::warn!(
            %peer, %bucket, key = %key.as_bytes().escape_ascii(),
            "an object is too large to be sent to this node, which does not answer for its key before the object is \
             smaller: read it with r=1 at a node that holds it, and write what is to stay with the context of that read"
        );
    }
}
