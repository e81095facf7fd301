//! What is counted of each peer.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter};

use super::names::{key, metric, value};
use crate::protocol::ids::NodeId;

/// The counters that name a peer. Peers that are not known share one name, so that attribute values stay bounded.
pub(super) struct Peers {
    missed_by: Counter<u64>,
    lagging: Counter<u64>,
    known: BTreeMap<NodeId, OfPeer>,
    unknown: OfPeer,
}

struct OfPeer {
    zone: String,
    missed_by: BoundCounter<u64>,
    lagging: BoundCounter<u64>,
}

impl Peers {
    pub(super) fn new(meter: &Meter, zones: &BTreeMap<NodeId, String>) -> Self {
        let missed_by = meter
            .u64_counter(metric::MISSED_BY)
            .with_description("Stale reads, by each replica among the R that lacked what was missed.")
            .build();
        let lagging = meter
            .u64_counter(metric::LAGGING)
            .with_description("Answered writes, by each replica that had not acknowledged them.")
            .build();
        let unknown = OfPeer::new(&missed_by, &lagging, value::UNKNOWN, value::UNKNOWN);
        let mut peers = Self { missed_by, lagging, known: BTreeMap::new(), unknown };
        peers.set(zones);
        peers
    }

    /// Which there are.
    pub(super) fn set(&mut self, zones: &BTreeMap<NodeId, String>) {
        self.known.retain(|peer, of| zones.get(peer) == Some(&of.zone));
        for (peer, zone) in zones {
            self.known
                .entry(peer.clone())
                .or_insert_with(|| OfPeer::new(&self.missed_by, &self.lagging, peer.as_str(), zone));
        }
    }

    /// A stale read asked it.
    pub(super) fn missed(&self, peer: &NodeId) {
        self.of(peer).missed_by.add(1);
    }

    /// It had not acknowledged a write.
    pub(super) fn lagged(&self, peer: &NodeId) {
        self.of(peer).lagging.add(1);
    }

    fn of(&self, peer: &NodeId) -> &OfPeer {
        self.known.get(peer).unwrap_or(&self.unknown)
    }
}

impl OfPeer {
    fn new(missed_by: &Counter<u64>, lagging: &Counter<u64>, peer: &str, zone: &str) -> Self {
        let attributes =
            [KeyValue::new(key::PEER, peer.to_owned()), KeyValue::new(key::ZONE, zone.to_owned())];
        Self {
            zone: zone.to_owned(),
            missed_by: missed_by.bind(&attributes),
            lagging: lagging.bind(&attributes),
        }
    }
}
