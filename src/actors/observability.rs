//! What is told of a node to the outside, and what feeds it.

use std::sync::Arc;

use crate::actors::admission::Admission;
use crate::actors::counters::NodeCounters;
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::sli_recorder::{Shown, Tap};
use crate::protocol::sli::Observation;
use crate::protocol::slo::SloDocument;
use crate::storage::GroupCommit;
use crate::telemetry::{Instruments, Metrics, Source, Sources, Tracing};
use crate::transport::TransportCounters;

/// What is told of a node to the outside.
pub struct Observability {
    /// Where traces go.
    pub tracing: Tracing,
    /// What the instruments are read by.
    pub metrics: Metrics,
    /// What was measured and told to nobody.
    pub dropped: Source,
}

/// The instruments, which are fed with what the recorder is told, and with what it says of the objectives.
#[must_use]
pub fn instruments(
    ring: &Arc<RingTable>,
    gate: &Arc<SharedGate>,
    (counters, transport, admission): (&Arc<NodeCounters>, &Arc<TransportCounters>, &Admission),
    commit: &Arc<GroupCommit>,
    metrics: &Metrics,
    dropped: Source,
) -> (Tap, Shown) {
    let members = ring.current();
    let zones = members.members().iter().map(|member| (member.id.clone(), member.zone.clone())).collect();
    let sources = sources(counters.clone(), transport.clone(), admission.clone(), commit.clone(), dropped);
    let mut instruments = Instruments::new(&metrics.meter(), &zones, sources);
    let standing = instruments.standing().clone();
    let (ring, gate) = (ring.clone(), gate.clone());
    let shown = move |document: &SloDocument| {
        let members = ring.current();
        let up = members.members().iter().filter(|member| gate.is_up(&member.id)).count() as u64;
        standing.set_ring_members(vec![("up", up), ("down", members.members().len() as u64 - up)]);
        standing.show_slo(document);
    };
    (Box::new(move |observation: &Observation| instruments.take(observation)), Box::new(shown))
}

/// What is counted elsewhere and told with the instruments.
fn sources(
    counters: Arc<NodeCounters>,
    transport: Arc<TransportCounters>,
    admission: Admission,
    commit: Arc<GroupCommit>,
    dropped: Source,
) -> Sources {
    let (overload, repairs, syncs) = (counters.clone(), counters.clone(), commit.clone());
    let (near, objects) = (counters.clone(), counters.clone());
    Sources {
        overload_refused: Box::new(move || {
            vec![
                ("admission", overload.admission_refused.get()),
                ("turn", overload.waiting_expired.get()),
                ("mailbox", overload.mailbox_refused.get()),
                ("operations_table", overload.operations_refused.get()),
                ("settings_waits", overload.settings_waits_refused.get()),
                ("disk_full", overload.disk_full_refused.get()),
                ("disk_behind", overload.disk_behind_refused.get()),
                ("memory", overload.memory_refused.get()),
            ]
        }),
        refused_by_bucket: Box::new(move || admission.refused()),
        objects_near_bound: Box::new(move || {
            vec![("bytes", near.objects_nearly_full.get()), ("siblings", near.objects_many_siblings.get())]
        }),
        objects_refused: Box::new(move || {
            vec![
                ("object_full", objects.object_full_refused.get()),
                ("too_many_siblings", objects.too_many_siblings_refused.get()),
                ("too_large_to_send", objects.objects_too_large.get()),
                ("left_out", objects.objects_left_out.get()),
            ]
        }),
        peer_dropped: Box::new(move || {
            vec![
                ("requests_over_bound", transport.requests_over_bound.get()),
                ("requests_not_sent", transport.requests_not_sent.get()),
                ("outbox_over_bound", transport.outbox_over_bound.get()),
                ("corrupt_frames", transport.corrupt_frames.get()),
                ("responders_dropped", transport.responders_dropped.get()),
            ]
        }),
        telemetry_dropped: Box::new(move || {
            let mut all = dropped();
            all.push(("observations", counters.observations_dropped.get()));
            all
        }),
        read_repairs: Box::new(move || {
            vec![
                ("blocking", repairs.read_repairs_blocking.get()),
                ("async", repairs.read_repairs_async.get()),
            ]
        }),
        syncs: Box::new(move || syncs.stats().syncs),
        durable_writes: Box::new(move || commit.stats().durable),
    }
}
