//! The shards and the connections of peers, on threads of their own.

use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use actix::{Arbiter, Recipient};

use super::memory::Memory;
use super::{Common, StartError, micros};
use crate::actors::identity::Dots;
use crate::actors::messages::{Backfilled, Damaged, FetchSettings};
use crate::actors::placement::{Placement, Shard, Shards};
use crate::actors::ring_membership::SharedGate;
use crate::actors::shard::{ShardParts, start_shard};
use crate::actors::sli_recorder::ObservationSink;
use crate::config::Config;
use crate::protocol::staleness::Sampling;
use crate::storage::GroupCommit;
use crate::telemetry::Tracing;
use crate::transport::{
    Acceptor, AcceptorBounds, AcceptorConfig, Connection, LaneConfig, LanePurpose, PeerService, Secret,
};

/// The control plane, as the shards know it.
pub(super) struct ShardNeighbours {
    pub(super) fetch_settings: Recipient<FetchSettings>,
    pub(super) backfill: Recipient<Backfilled>,
    pub(super) damaged_pull: Recipient<Damaged>,
    pub(super) observations: Arc<ObservationSink>,
    pub(super) tracing: Tracing,
    pub(super) gate: Arc<SharedGate>,
}

/// Starts every shard on a thread of its own.
pub(super) fn start_shards(
    config: &Config,
    common: &Common,
    dots: &Arc<Dots>,
    commit: &Arc<GroupCommit>,
    (placement, memory): (Placement, &Memory),
    around: &ShardNeighbours,
) -> Result<(Vec<Arbiter>, Shards), StartError> {
    let (mut arbiters, mut shards) = (Vec::new(), Vec::new());
    for shard in 0..placement.shards {
        let parts = ShardParts {
            me: common.me.clone(),
            ring: common.ring.clone(),
            settings: common.settings.clone(),
            completeness: common.completeness.clone(),
            store: common.store.clone(),
            commit: commit.clone(),
            dots: dots.clone(),
            ceiling: common.ceiling.clone(),
            found_ceiling: common.found_ceiling,
            max_skew_us: common.max_skew_us,
            gate: around.gate.clone(),
            backfill: around.backfill.clone(),
            damaged_pull: around.damaged_pull.clone(),
            fetch_settings: around.fetch_settings.clone(),
            timeout_us: micros(config.limits.timeout),
            probe: Sampling::of(config.staleness.probe),
            observations: around.observations.clone(),
            tracing: around.tracing.clone(),
            age_objective_us: micros(config.slo.age_p95),
            shard,
            shards: placement.shards.into(),
            recent_bytes: memory.records_of_shard,
            lane: LaneConfig { purpose: LanePurpose::Data { shard }, ..common.lanes.clone() },
            counters: common.counters.clone(),
        };
        let arbiter = Arbiter::new();
        let (started, shard) = mpsc::channel();
        arbiter.spawn_fn(move || drop(started.send(start_shard(parts))));
        arbiters.push(arbiter);
        shards.push(shard.recv().map_err(|_| std::io::Error::other("a shard's thread ended at once"))?);
    }
    let mut shards = shards.into_iter();
    let first = shards.next().ok_or_else(|| std::io::Error::other("there are no shards"))?;
    Ok((arbiters, Shards::new(first, shards.collect::<Vec<Shard>>())))
}

/// Accepts peers on this thread; each connection then runs on the thread of its lane.
pub(super) fn accept(
    common: &Common,
    secret: Secret,
    (listener, bounds): (TcpListener, AcceptorBounds),
    service: Arc<dyn PeerService>,
    placement: Placement,
    arbiters: &[Arbiter],
) -> Result<actix_rt::task::JoinHandle<()>, StartError> {
    let LaneConfig { cluster, peers, gatekeeper, reconnects, counters, now, memory, .. } =
        common.lanes.clone();
    let members = peers.into_iter().map(|(_, address)| address).collect();
    let config =
        AcceptorConfig { cluster, secret, members, gatekeeper, reconnects, counters, now, bounds, memory };
    let acceptor = Acceptor::new(config);
    let handles: Vec<actix_rt::ArbiterHandle> = arbiters.iter().map(Arbiter::handle).collect();
    let dispatch = move |connection: Connection| {
        let service = service.clone();
        let home = match connection.purpose() {
            LanePurpose::Data { shard } => handles.get(usize::from(placement.shard_of_lane(shard))),
            LanePurpose::Control => None,
        };
        match home {
            Some(arbiter) => {
                // A thread that has ended takes no more connections; the peer finds its one closed.
                let _ = arbiter.spawn(connection.run(service));
            }
            None => drop(actix_rt::spawn(connection.run(service))),
        }
    };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(actix_rt::spawn(acceptor.run(listener, dispatch)))
}
