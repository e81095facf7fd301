//! What peers ask of this node, handed to the actor whose affair it is.

use std::sync::Arc;

use actix::Recipient;
use tokio::sync::Semaphore;

use crate::actors::admission::Admission;
use crate::actors::bucket_settings::{PeerSettings, SettingsTable};
use crate::actors::clock::{now_ns, wall};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::front::Draining;
use crate::actors::key_lister::PeerAsksKeys;
use crate::actors::key_pages::KeyQuestion;
use crate::actors::large_objects;
use crate::actors::messages::{Client, ClientOperation, Damaged, ReplicaCommand, ReplyTo};
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::shell::hand_over;
use crate::actors::sli_recorder::PeerAsksSlo;
use crate::actors::traced_responder::traced_responder;
use crate::protocol::bounds::MessageBounds;
use crate::protocol::coordinator::Ask;
use crate::protocol::ids::{BucketName, NodeId, PartitionId};
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal, ScanCursor};
use crate::protocol::replica::{PageBounds, ReplicaAsk, ScanFinding, ScanHost, ScannedRecord, scan_page};
use crate::protocol::time::Hlc;
use crate::protocol::view::View;
use crate::storage::{Store, objects};
use crate::telemetry::{Call, TraceContext, Tracing};
use crate::transport::{Incoming, PeerService, Responder};

/// How many scans run at once: each holds a thread and a page.
const SCANS_MAX: usize = 2;

/// What the service is made of.
pub struct ServiceParts {
    /// This node.
    pub me: NodeId,
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
    /// What is remembered of peers.
    pub gate: Arc<SharedGate>,
    /// The settings actor.
    pub peer_settings: Recipient<PeerSettings>,
    /// The recorder.
    pub slo: Recipient<PeerAsksSlo>,
    /// Who makes pages of keys.
    pub keys: Recipient<PeerAsksKeys>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Which partitions this node may speak for.
    pub completeness: Arc<CompletenessTable>,
    /// Where traces go.
    pub tracing: Tracing,
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
            let (ring, buckets) = (parts.ring.current(), parts.settings.current());
            let view = View { me: &parts.me, ring: &ring, buckets: &buckets };
            let mut tell = |finding| match finding {
                ScanFinding::Damaged(bucket, key) => {
                    let shard = parts.shards.of(&ring, &bucket, &key);
                    // Counted; it is met again.
                    let damaged = Damaged { bucket, key, readable: false };
                    let _ = hand_over(&shard.damaged, damaged, &parts.counters.mailbox_refused);
                }
                ScanFinding::TooLarge(object) => large_objects::cannot_be_sent(&parts.counters, &object),
            };
            let sendable_bytes = MessageBounds::default().sendable_bytes();
            let bounds = PageBounds { wanted_bytes: max_bytes as usize, sendable_bytes };
            let page = scan_page(view, &Scanner(&parts), &asker, after, bounds, &mut tell);
            let answer = page.map_or_else(PeerAnswer::Refused, PeerAnswer::Scanned);
            responder.respond(answer, shown());
            drop(permit);
        }));
    }
}

/// The wall clock as a frame's clock, for answers that no shard gives.
fn shown() -> Hlc {
    Hlc::from_wall(wall())
}

/// The disk, for a scan.
struct Scanner<'a>(&'a ServiceParts);

impl ScanHost for Scanner<'_> {
    fn records(
        &self,
        after: Option<&ScanCursor>,
        limit: usize,
        wanted: &mut dyn FnMut(PartitionId, &BucketName) -> bool,
    ) -> Result<Vec<ScannedRecord>, Refusal> {
        let scanned = objects::scan(&*self.0.store, after, limit, wanted, &mut |key, damage| {
            self.0.counters.damaged_records.add();
            tracing::error!(key = %key.escape_ascii(), "a stored record is damaged: {damage}");
        });
        scanned.map_err(|error| {
            tracing::error!("a scan failed: {error}");
            Refusal::Storage
        })
    }

    fn may_lack(&self) -> bool {
        self.0.completeness.current().may_lack()
    }
}

impl PeerService for NodeService {
    fn serve(&self, incoming: Incoming, responder: Box<dyn Responder>) {
        let Incoming { from, request, deadline, clock, trace } = incoming;
        let parts = &self.parts;
        let trace = trace.as_deref().and_then(TraceContext::parse);
        let responder = traced_responder(&parts.tracing, trace, &request, responder);
        match request {
            PeerRequest::Replica(target, request) => {
                let shard = parts.shards.of(&parts.ring.current(), &target.bucket, &target.key);
                let (asker, to) = (Some((from, clock)), ReplyTo::Peer(responder));
                let ask = ReplicaAsk { target, request, deadline, asker, trace, to };
                let command = ReplicaCommand::Ask(Box::new(ask));
                // A command that comes back drops its responder, which then answers `overloaded`.
                let _ = hand_over(&shard.replica, command, &parts.counters.mailbox_refused);
            }
            PeerRequest::Forward(write, write_id, version) => {
                if parts.draining.is_set() {
                    return responder.respond(PeerAnswer::Refused(Refusal::Draining), shown());
                }
                let Some(permit) = parts.admission.permit(&write.bucket) else {
                    parts.counters.admission_refused.add();
                    return responder.respond(PeerAnswer::Refused(Refusal::Overloaded), shown());
                };
                let shard = parts.shards.of(&parts.ring.current(), &write.bucket, &write.key);
                let ask = Ask::Forwarded { write, write_id, version, from };
                let client = Client::Peer(responder);
                let trace = parts.tracing.begin(trace, Call::Forwarded, now_ns());
                let operation = ClientOperation { ask, client, deadline, permit, trace };
                shard.turnstile.enter(vec![operation]);
            }
            PeerRequest::RecallDirectories => {
                let memory = parts.completeness.current().memory();
                responder.respond(PeerAnswer::Recalled(parts.gate.recall(&from, memory)), shown());
            }
            PeerRequest::Scan { after, max_bytes } => self.scan(from, after, max_bytes, responder),
            PeerRequest::SloSummary => {
                let _ = hand_over(&parts.slo, PeerAsksSlo { responder }, &parts.counters.mailbox_refused);
            }
            PeerRequest::ListKeys(request) => {
                let asked = PeerAsksKeys { question: KeyQuestion::Page(request), deadline, responder };
                let _ = hand_over(&parts.keys, asked, &parts.counters.mailbox_refused);
            }
            PeerRequest::ListStates(request) => {
                let asked = PeerAsksKeys { question: KeyQuestion::States(request), deadline, responder };
                let _ = hand_over(&parts.keys, asked, &parts.counters.mailbox_refused);
            }
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
