//! One shard's actors, put together on its thread.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{Ceiling, ShardClock};
use crate::actors::completeness::CompletenessTable;
use crate::actors::coordinator::{Coordinator, CoordinatorParts};
use crate::actors::counters::NodeCounters;
use crate::actors::identity::Dots;
use crate::actors::messages::{Answer, Backfilled, Damaged, FetchSettings};
use crate::actors::placement::Shard;
use crate::actors::replica_store::{CoordinatorCell, ReplicaParts, ReplicaStore};
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::shell::{self, ToMailbox};
use crate::actors::sli_recorder::{ObservationBuffer, ObservationSink};
use crate::actors::turnstile::Turnstile;
use crate::protocol::ids::NodeId;
use crate::protocol::staleness::Sampling;
use crate::protocol::time::Hlc;
use crate::storage::{GroupCommit, Store};
use crate::telemetry::Tracing;
use crate::transport::{Lane, LaneConfig};

/// What a shard is made of; all of it can be sent to the shard's thread.
pub struct ShardParts {
    /// This node.
    pub me: NodeId,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// Which partitions this node may answer reads of.
    pub completeness: Arc<CompletenessTable>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Bytes of records that are kept in memory.
    pub recent_bytes: u64,
    /// Who syncs it.
    pub commit: Arc<GroupCommit>,
    /// The dots of this run.
    pub dots: Arc<Dots>,
    /// The synced ceiling of the clocks.
    pub ceiling: Arc<Ceiling>,
    /// The ceiling found on disk, above which the clock begins.
    pub found_ceiling: Hlc,
    /// `clock.max_skew`, in microseconds.
    pub max_skew_us: u64,
    /// Who remembers how far peers have come.
    pub gate: Arc<SharedGate>,
    /// Who pulls what this node may lack.
    pub backfill: Recipient<Backfilled>,
    /// The same, to be told of damaged records.
    pub damaged_pull: Recipient<Damaged>,
    /// Who fetches bucket settings.
    pub fetch_settings: Recipient<FetchSettings>,
    /// `limits.timeout`, in microseconds.
    pub timeout_us: u64,
    /// `staleness.probe`: which reads get a verdict.
    pub probe: Sampling,
    /// Who is told what was observed; each actor of the shard has an
    /// [`ObservationBuffer`] over it.
    pub observations: Arc<ObservationSink>,
    /// Where traces go.
    pub tracing: Tracing,
    /// The objective on the staleness age, in microseconds.
    pub age_objective_us: u64,
    /// Which shard this is.
    pub shard: u16,
    /// Shards of this node.
    pub shards: usize,
    /// The shard's connections.
    pub lane: LaneConfig,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// Starts the coordinator and the replica store of a shard on this thread.
#[must_use]
pub fn start_shard(parts: ShardParts) -> Shard {
    let (counters, settings) = (parts.counters.clone(), parts.settings.clone());
    let clock = ShardClock::new(parts.found_ceiling, parts.ceiling, parts.max_skew_us);
    let clock = Rc::new(RefCell::new(clock));
    let coordinator_cell: CoordinatorCell = Rc::new(OnceCell::new());
    let damaged = Rc::new(OnceCell::new());
    let replica = ReplicaStore::new(ReplicaParts {
        me: parts.me.clone(),
        ring: parts.ring.clone(),
        settings: parts.settings.clone(),
        completeness: parts.completeness,
        store: parts.store,
        recent_bytes: parts.recent_bytes,
        commit: parts.commit,
        dots: parts.dots,
        clock: clock.clone(),
        coordinator: coordinator_cell.clone(),
        backfill: parts.backfill,
        damaged_key: damaged.clone(),
        damaged_pull: parts.damaged_pull,
        gate: parts.gate,
        fetch_settings: parts.fetch_settings.clone(),
        keep_write_ids_us: parts.timeout_us.saturating_mul(2),
        observations: Rc::new(RefCell::new(ObservationBuffer::new(parts.observations.clone()))),
        counters: parts.counters.clone(),
    });
    let replica = shell::context().run(replica);
    let context = shell::context::<Coordinator>();
    let answers: Recipient<Answer> = context.address().recipient();
    let sink = ToMailbox::new(answers.clone(), parts.counters.clone());
    // The cells are empty: they were made a few lines ago.
    let _ = coordinator_cell.set(answers);
    let heals: Recipient<Damaged> = context.address().recipient();
    let _ = damaged.set(heals.clone());
    let coordinator = context.run(Coordinator::new(CoordinatorParts {
        me: parts.me,
        ring: parts.ring,
        settings: parts.settings,
        clock,
        replica: replica.clone().recipient(),
        fetch_settings: parts.fetch_settings,
        lane: Rc::new(Lane::start(parts.lane, Rc::new(sink))),
        follow_us: parts.timeout_us,
        probe: parts.probe,
        tracing: parts.tracing,
        age_objective_us: parts.age_objective_us,
        observations: ObservationBuffer::new(parts.observations),
        shard: parts.shard,
        shards: parts.shards,
        counters: parts.counters,
    }));
    let turnstile = Turnstile::new(coordinator.recipient(), settings, counters);
    Shard { turnstile, replica: replica.recipient(), damaged: heals }
}
