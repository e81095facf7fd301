//! What peers ask of this node, handed to the actor whose affair it is.

use std::sync::Arc;

use actix::Recipient;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::actors::admission::Admission;
use crate::actors::bucket_settings::{PeerSettings, SettingsTable};
use crate::actors::clock::{moment, wall};
use crate::actors::completeness::Completeness;
use crate::actors::counters::NodeCounters;
use crate::actors::front::Draining;
use crate::actors::messages::{
    ClientAsk, ClientOperation, FetchSettings, ReplicaAsk, ReplicaCommand, ReplyTo,
};
use crate::actors::placement::Shards;
use crate::actors::ring_membership::RingTable;
use crate::actors::shell::hand_over;
use crate::protocol::ids::NodeId;
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, ScanCursor, ScanPage};
use crate::protocol::time::Hlc;
use crate::storage::{Store, StoreError, Table, keys, record};
use crate::transport::{Incoming, PeerService, Responder};

/// How many scans run at once: each holds a thread and a page.
const SCANS_MAX: usize = 2;
/// How many records a scan looks at before it answers, whether or not any was for the asker.
const SCAN_LOOKS_AT: usize = 4_096;

/// What the service is made of.
pub struct ServiceParts {
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// The data plane.
    pub shards: Arc<Shards>,
    /// Permits, which writes handed over by other nodes need too.
    pub admission: Admission,
    /// Whether the node is stopping.
    pub draining: Arc<Draining>,
    /// The settings actor.
    pub peer_settings: Recipient<PeerSettings>,
    /// The settings actor.
    pub fetch_settings: Recipient<FetchSettings>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Which partitions this node may speak for.
    pub completeness: Arc<Completeness>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// Serves peers.
pub struct NodeService {
    parts: Arc<ServiceParts>,
    scans: Arc<Semaphore>,
}

impl NodeService {
    /// A service over `parts`.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        Self { parts: Arc::new(parts), scans: Arc::new(Semaphore::new(SCANS_MAX)) }
    }

    fn scan(&self, asker: NodeId, after: Option<ScanCursor>, max_bytes: u32, responder: Box<dyn Responder>) {
        let Ok(permit) = self.scans.clone().try_acquire_owned() else {
            return responder.respond(PeerAnswer::Refused(Refusal::Overloaded), shown());
        };
        let parts = self.parts.clone();
        // Detached: the answer goes by the responder, and a scan is bounded by its page.
        drop(tokio::task::spawn_blocking(move || {
            let answer = match page(&parts, &asker, after, max_bytes as usize) {
                Ok(page) => PeerAnswer::Scanned(page),
                Err(error) => {
                    tracing::error!("a scan for {asker} failed: {error}");
                    PeerAnswer::Refused(Refusal::Storage)
                }
            };
            responder.respond(answer, shown());
            drop(permit);
        }));
    }
}

/// The wall clock as a frame's clock, for answers that no shard gives.
fn shown() -> Hlc {
    Hlc::from_wall(wall())
}

/// The next objects, in storage order, that `asker` is a home of.
fn page(
    parts: &ServiceParts,
    asker: &NodeId,
    after: Option<ScanCursor>,
    max_bytes: usize,
) -> Result<ScanPage, StoreError> {
    let ring = parts.ring.current();
    let asker = ring.index_of(asker);
    let mut incomplete = parts.completeness.may_lack();
    let mut after = after.map(|cursor| cursor.0);
    let (mut objects, mut bytes, mut looked) = (Vec::new(), 0, 0);
    while bytes < max_bytes && looked < SCAN_LOOKS_AT {
        let entries = parts.store.scan(Table::Objects, &[], after.as_deref(), 64)?;
        if entries.is_empty() {
            return Ok(ScanPage { objects, next: None, incomplete });
        }
        for (stored_key, value) in entries {
            looked += 1;
            after = Some(stored_key.clone());
            let Ok((partition, bucket, key)) = keys::parse_object_key(&stored_key) else { continue };
            let n = parts.settings.get(&bucket).0.quorum.n;
            if !asker.is_some_and(|asker| ring.homes(partition, n).contains(&asker)) {
                continue;
            }
            let size = value.len();
            match record::decode(&stored_key, value) {
                Ok(object) => {
                    bytes += size;
                    objects.push((bucket, key, object));
                }
                Err(damage) => {
                    // What cannot be read cannot be handed over, so this scan vouches for nothing.
                    incomplete = true;
                    parts.counters.damaged_records.add();
                    tracing::error!(key = %stored_key.escape_ascii(), "a stored record is damaged: {damage}");
                }
            }
            if bytes >= max_bytes {
                break;
            }
        }
    }
    let next = after.map(|last: Bytes| ScanCursor(last));
    Ok(ScanPage { objects, next, incomplete })
}

impl PeerService for NodeService {
    fn serve(&self, incoming: Incoming, responder: Box<dyn Responder>) {
        let Incoming { from, request, deadline, clock, .. } = incoming;
        let parts = &self.parts;
        match request {
            PeerRequest::Replica(target, request) => {
                let shard = parts.shards.of(&parts.ring.current(), &target.bucket, &target.key);
                let (asker, reply) = (Some((from, clock)), ReplyTo::Peer(responder));
                let command =
                    ReplicaCommand::Ask(Box::new(ReplicaAsk { target, request, deadline, asker, reply }));
                // A command that comes back drops its responder, which then answers `overloaded`.
                let _ = hand_over(&shard.replica, command, &parts.counters.mailbox_refused);
            }
            PeerRequest::Forward(write, write_id, version) => {
                if parts.draining.is_set() {
                    return responder.respond(PeerAnswer::Refused(Refusal::Draining), shown());
                }
                if version > parts.settings.version(&write.bucket) {
                    let fetch = FetchSettings { bucket: write.bucket.clone(), from };
                    let _ = hand_over(&parts.fetch_settings, fetch, &parts.counters.mailbox_refused);
                    return responder.respond(PeerAnswer::Refused(Refusal::SettingsBehind), shown());
                }
                let Some(permit) = parts.admission.permit() else {
                    parts.counters.admission_refused.add();
                    return responder.respond(PeerAnswer::Refused(Refusal::Overloaded), shown());
                };
                let shard = parts.shards.of(&parts.ring.current(), &write.bucket, &write.key);
                let ask = ClientAsk::Forwarded(write, write_id, responder);
                // The home answers a little before the node that handed over gives up.
                let left = deadline.micros_since(moment());
                let deadline = moment().plus_micros(left - left / 10);
                let operation = ClientOperation { ask, deadline, permit: Some(permit) };
                let _ = hand_over(&shard.coordinator, operation, &parts.counters.mailbox_refused);
            }
            PeerRequest::Scan { after, max_bytes } => self.scan(from, after, max_bytes, responder),
            PeerRequest::FetchSettings(_)
            | PeerRequest::StoreSettings(..)
            | PeerRequest::ListSettings
            | PeerRequest::HoldsBucket(_) => {
                let request = PeerSettings { request, responder };
                let _ = hand_over(&parts.peer_settings, request, &parts.counters.mailbox_refused);
            }
        }
    }
}
