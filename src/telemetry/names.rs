//! Every name of a metric, an attribute and a bucket bound, once.

use opentelemetry::InstrumentationScope;

/// Who the metrics and spans are made by.
#[must_use]
pub fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("neap").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// Names of metrics.
pub mod metric {
    /// Answered reads, by what is said of them.
    pub const READS: &str = "neap.reads";
    /// Reads that were judged after their verdict had been unknown.
    pub const LATE_VERDICTS: &str = "neap.reads.late_verdicts";
    /// By how much older a read's answer was than what it missed.
    pub const STALENESS_AGE: &str = "neap.read.staleness_age";
    /// For how long a read's answer had been superseded.
    pub const EXPOSURE: &str = "neap.read.exposure";
    /// How long ago what a read returned was written.
    pub const VALUE_AGE: &str = "neap.read.value_age";
    /// Which replica among the R was behind.
    pub const MISSED_BY: &str = "neap.read.missed_by";
    /// How long clients wait.
    pub const OPERATION_DURATION: &str = "neap.operation.duration";
    /// Answered writes.
    pub const WRITES: &str = "neap.writes";
    /// Homes that lack a write when its client is answered.
    pub const LAGGING_REPLICAS: &str = "neap.write.lagging_replicas";
    /// Which replicas those were.
    pub const LAGGING: &str = "neap.write.lagging";
    /// From a write's commit to its last home.
    pub const CONVERGENCE_TIME: &str = "neap.write.convergence_time";
    /// Committed writes that some home lacks.
    pub const UNCONVERGED: &str = "neap.write.unconverged";
    /// How long ago the oldest of them was committed.
    pub const UNCONVERGED_OLDEST_AGE: &str = "neap.write.unconverged_oldest_age";
    /// The greatest number of homes that lack one of them.
    pub const MAX_LAGGING: &str = "neap.write.max_lagging";
    /// Writes that are no more followed.
    pub const UNTRACKED: &str = "neap.write.untracked";
    /// What left more than one live version.
    pub const CONFLICTS: &str = "neap.conflicts";
    /// States merged by replicas: with the writes, what conflicts are a share of.
    pub const MERGES: &str = "neap.merges";
    /// Live versions in a reply.
    pub const SIBLINGS: &str = "neap.siblings";
    /// Repairs made by reads.
    pub const READ_REPAIRS: &str = "neap.read_repairs";
    /// Members of the ring.
    pub const RING_MEMBERS: &str = "neap.ring.members";
    /// By how much a peer's clock is ahead.
    pub const CLOCK_OFFSET: &str = "neap.clock.offset";
    /// By how much that may be wrong.
    pub const CLOCK_UNCERTAINTY: &str = "neap.clock.uncertainty";
    /// How fast an objective's budget is spent.
    pub const SLO_BURN_RATE: &str = "neap.slo.burn_rate";
    /// What is left of it.
    pub const SLO_BUDGET_REMAINING: &str = "neap.slo.budget_remaining";
    /// What was refused because a limit was reached.
    pub const OVERLOAD_REFUSED: &str = "neap.overload.refused";
    /// Of these, by bucket, what its clients were refused.
    pub const OVERLOAD_REFUSED_BY_BUCKET: &str = "neap.overload.refused_by_bucket";
    /// How long operations waited until a shard was handed them.
    pub const DWELL_TIME: &str = "neap.queue.dwell_time";
    /// Writes that left an object beyond three quarters of a bound.
    pub const OBJECTS_NEAR_BOUND: &str = "neap.objects.near_bound";
    /// What was refused because an object is as large as it may be, or larger.
    pub const OBJECTS_REFUSED: &str = "neap.objects.refused";
    /// What was to go to a peer, or came from one, and was dropped.
    pub const PEER_DROPPED: &str = "neap.peer.dropped";
    /// Syncs of the disk.
    pub const SYNCS: &str = "neap.storage.syncs";
    /// Writes that are as durable as `storage.commit` wants them.
    pub const DURABLE_WRITES: &str = "neap.storage.durable_writes";
    /// What was measured and told to nobody.
    pub const TELEMETRY_DROPPED: &str = "neap.telemetry.dropped";
}

/// Keys of attributes of metrics.
pub mod key {
    /// What is said of a read.
    pub const VERDICT: &str = "verdict";
    /// More about it.
    pub const DETAIL: &str = "detail";
    /// The R of a read.
    pub const R: &str = "r";
    /// A node.
    pub const PEER: &str = "peer";
    /// Its zone.
    pub const ZONE: &str = "zone";
    /// What a client asked for.
    pub const OPERATION: &str = "operation";
    /// How that ended.
    pub const OUTCOME: &str = "outcome";
    /// How many homes lagged.
    pub const LAGGING: &str = "lagging";
    /// By which way a write came to its last home.
    pub const PATH: &str = "path";
    /// Where a conflict was seen.
    pub const WHERE: &str = "where";
    /// How it is resolved.
    pub const RESOLUTION: &str = "resolution";
    /// When a repair was made.
    pub const WHEN: &str = "when";
    /// What a member of the ring does.
    pub const STATE: &str = "state";
    /// An objective.
    pub const SLO: &str = "slo";
    /// What it is taken over.
    pub const WINDOW: &str = "window";
    /// A bucket; of few only.
    pub const BUCKET: &str = "bucket";
    /// How a request's bucket stood when it came.
    pub const CLASS: &str = "class";
    /// Why.
    pub const REASON: &str = "reason";
}

/// Values of attributes that no type of the protocol names.
pub mod value {
    /// A replica was asked what it holds.
    pub const FETCHED: &str = "fetched";
    /// A replica was asked which states it was in lately.
    pub const PROBED: &str = "probed";
    /// A replica was asked nothing: there was no connection, or no need.
    pub const NOT_ASKED: &str = "not_asked";
    /// A read whose homes were not all asked.
    pub const UNSAMPLED: &str = "unsampled";
    /// All homes are known.
    pub const ALL: &str = "all";
    /// So few are unknown that none can have been missed.
    pub const OVERLAP: &str = "overlap";
    /// A peer that is not, or not yet, known: attribute values stay bounded.
    pub const UNKNOWN: &str = "unknown";
    /// A read.
    pub const READ: &str = "read";
    /// A write.
    pub const WRITE: &str = "write";
    /// A merge.
    pub const MERGE: &str = "merge";
    /// Before the client was answered.
    pub const BLOCKING: &str = "blocking";
    /// After it.
    pub const ASYNC: &str = "async";
    /// How many homes lagged behind a write.
    pub const LAGGING: [&str; 3] = ["0", "1", "2+"];
    /// The span queue was full.
    pub const SPANS_QUEUE_FULL: &str = "spans_queue_full";
    /// The collector did not take spans.
    pub const SPANS_EXPORT_FAILED: &str = "spans_export_failed";
    /// Spans came after the end.
    pub const SPANS_AFTER_SHUTDOWN: &str = "spans_after_shutdown";
    /// The collector did not take metric points.
    pub const POINTS_EXPORT_FAILED: &str = "points_export_failed";
    /// Log lines for which the queue had no room.
    pub const LOG_QUEUE_FULL: &str = "log_queue_full";
    /// Log lines that standard error did not take.
    pub const LOG_NOT_WRITTEN: &str = "log_not_written";
}

/// Names of spans.
pub mod span {
    /// A read, at its coordinator.
    pub const READ: &str = "neap.read";
    /// A write, at its coordinator, or at the node that hands it on.
    pub const WRITE: &str = "neap.write";
    /// A home is asked what it holds.
    pub const REPLICA_READ: &str = "neap.replica.read";
    /// A home is asked to apply a state.
    pub const REPLICA_APPLY: &str = "neap.replica.apply";
    /// A home is asked in which states it was lately.
    pub const REPLICA_PROBE: &str = "neap.replica.probe";
    /// A home is asked to coordinate a write.
    pub const REPLICA_FORWARD: &str = "neap.replica.forward";
    /// From a read's answer to the verdict on it.
    pub const VERIFY: &str = "neap.read.verify";
    /// From a write's answer to its last home having it.
    pub const CONVERGE: &str = "neap.write.converge";
}

/// Names of events of spans.
pub mod event {
    /// A replica of the key of a read: what it had when the read began.
    pub const REPLICA_STATE: &str = "neap.replica.state";
}

/// Keys of attributes of spans and their events.
pub mod attribute {
    /// Whether a read missed a committed version.
    pub const STALE: &str = "neap.read.stale";
    /// What is said of a read.
    pub const VERDICT: &str = "neap.read.verdict";
    /// The staleness age.
    pub const AGE_MS: &str = "neap.staleness.age_ms";
    /// The exposure.
    pub const EXPOSURE_MS: &str = "neap.staleness.exposure_ms";
    /// The age, by its order of magnitude.
    pub const AGE_BUCKET: &str = "neap.staleness.bucket";
    /// Whether the age is past its objective.
    pub const SLO_BREACH: &str = "neap.staleness.slo_breach";
    /// Of a read the replicas that are known to have been behind when it began; of a write those that had not
    /// acknowledged it when the client was told.
    pub const LAGGING: &str = "neap.replicas.lagging";
    /// Homes that had.
    pub const ACKED: &str = "neap.replicas.acked";
    /// How many had to.
    pub const REQUIRED: &str = "neap.replicas.required";
    /// How many homes there are.
    pub const TOTAL: &str = "neap.replicas.total";
    /// Whether some home still lacked a write 100 ms after its commit.
    pub const WRITE_LAGGING: &str = "neap.write.lagging";
    /// How long a write took from its commit to its last home.
    pub const CONVERGENCE_MS: &str = "neap.write.convergence_ms";
    /// By which way it came there.
    pub const CONVERGENCE_PATH: &str = "neap.write.convergence_path";
    /// Whether this brings a home up to date that was found behind.
    pub const REPAIR: &str = "neap.repair";
    /// Live versions.
    pub const SIBLINGS: &str = "neap.siblings";
    /// The node that was asked.
    pub const PEER: &str = "neap.peer";
    /// The hash of bucket and key, as `neap ring key` shows it.
    pub const KEY_HASH: &str = "neap.key.hash";
    /// The key as text.
    pub const KEY_TEXT: &str = "neap.key.text";
    /// The write time of what was written, or of the newest version that was returned.
    pub const VERSION_TIME: &str = "neap.version_time";
    /// How many writes a read missed, or may have missed.
    pub const MISSED_COUNT: &str = "neap.missed.count";
    /// The write time of the newest of them.
    pub const MISSED_VERSION_TIME: &str = "neap.missed.version_time";
    /// The node that coordinated the newest of them.
    pub const MISSED_WRITER: &str = "neap.missed.writer";
    /// The actor that named the newest of them, where it is not known whose that is.
    pub const MISSED_ACTOR: &str = "neap.missed.actor";
    /// What a replica was asked for by a read.
    pub const REPLICA_ASKED: &str = "neap.replica.asked";
    /// What a replica had when a read began, compared with the reply.
    pub const REPLICA_VERSUS_REPLY: &str = "neap.replica.versus_reply";
    /// The write time of the newest version that it had.
    pub const REPLICA_VERSION_TIME: &str = "neap.replica.version_time";
    /// For how long it had been behind.
    pub const REPLICA_LAG_MS: &str = "neap.replica.lag_ms";
    /// The kind of database.
    pub const DB_SYSTEM: &str = "db.system.name";
    /// What is done.
    pub const DB_OPERATION: &str = "db.operation.name";
    /// The bucket.
    pub const DB_NAMESPACE: &str = "db.namespace";
    /// What failed, by a name of few.
    pub const ERROR_TYPE: &str = "error.type";
    /// The method of the client's request.
    pub const HTTP_METHOD: &str = "http.request.method";
    /// The template of its path.
    pub const HTTP_ROUTE: &str = "http.route";
}

/// Keys of attributes of the resource.
pub mod resource {
    /// The name of the service.
    pub const SERVICE_NAME: &str = "service.name";
    /// The node's id.
    pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
    /// The program's version.
    pub const SERVICE_VERSION: &str = "service.version";
    /// The cluster's name.
    pub const SERVICE_NAMESPACE: &str = "service.namespace";
    /// The node's zone.
    pub const ZONE: &str = "neap.zone";
}

/// Upper bounds of buckets. Every default objective is one of them.
pub mod bounds {
    /// Of ages and exposures, in seconds.
    pub const AGE: [f64; 16] =
        [0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0];
    /// Of convergence times, in seconds.
    pub const CONVERGENCE: [f64; 17] = [
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 60.0, 600.0, 3_600.0,
    ];
    /// Of how long clients wait, in seconds.
    pub const DURATION: [f64; 15] = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ];
    /// Of homes: there are never more than 15.
    pub const HOMES: [f64; 9] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0];
    /// Of live versions. By default a write leaves no more than 100, and what is joined of three homes 300.
    pub const SIBLINGS: [f64; 12] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 50.0, 75.0, 100.0, 300.0];
}
