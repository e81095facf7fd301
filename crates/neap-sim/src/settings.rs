//! What a simulated world is like.

use super::workload::{Bucket, buckets};
use neap_protocol::bounds::{ENVELOPE_BYTES, MessageBounds, SIBLINGS_MAX_DEFAULT};
use neap_protocol::coordinator::{FanOut, TrackLimits};
use neap_protocol::pbs::Legs;
use neap_protocol::quorum::Quorum;
use neap_protocol::ring::{Member, Ring, RingError, Weight};
use neap_protocol::staleness::{Sampling, UnjudgedLimits};
use neap_storage::Commit;

/// A world's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Zones; nodes are dealt over them.
    pub zones: usize,
    /// Partitions of the ring.
    pub partitions: u32,
    /// N, R and W of the cluster's defaults.
    pub quorum: Quorum,
    /// The buckets; the settings of the first are the cluster's defaults.
    pub buckets: Vec<Bucket>,
    /// Keys of each bucket.
    pub keys: u32,
    /// How long messages take.
    pub legs: Legs,
    /// `storage.commit`.
    pub commit: Commit,
    /// `limits.timeout`, in microseconds.
    pub timeout_us: u64,
    /// `clock.max_skew`, in microseconds.
    pub max_skew_us: u64,
    /// Whom reads ask at once.
    pub fan_out: FanOut,
    /// Which reads are probed for the verdict.
    pub probe: Sampling,
    /// Bounds on the reads that wait for a late verdict.
    pub unjudged: UnjudgedLimits,
    /// How much coordinators follow of writes that some home lacks.
    pub track: TrackLimits,
    /// Whether a coordinator's own replica is asked over the network, as in the WARS model.
    pub own_leg_crosses: bool,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// How large objects may be.
    pub sizes: Sizes,
    /// Whether a trace is kept.
    pub trace: bool,
}

/// How large objects may be, and how large some values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// What messages may take.
    pub messages: MessageBounds,
    /// Versions that a write may leave.
    pub siblings_max: u16,
    /// Bytes of every second value that clients put; none if all are of the usual size.
    pub large_value_bytes: Option<usize>,
    /// Bytes of values that are written where objects are not bounded: two of them fit no message.
    pub outgrown_value_bytes: usize,
}

/// In one seed of nine messages are so small that few large values fit one object.
fn sizes(seed: u64) -> Sizes {
    if seed % 9 == 8 {
        return Sizes {
            messages: MessageBounds::of(ENVELOPE_BYTES + 48 * 1024),
            siblings_max: 6,
            large_value_bytes: Some(9 * 1024),
            outgrown_value_bytes: 30 * 1024,
        };
    }
    Sizes {
        messages: MessageBounds::default(),
        siblings_max: SIBLINGS_MAX_DEFAULT,
        large_value_bytes: None,
        outgrown_value_bytes: 0,
    }
}

/// In one seed of four there is soon no room.
fn track_limits(seed: u64) -> TrackLimits {
    match seed % 8 {
        3 => TrackLimits { single: 2, keys: 16_384 },
        6 => TrackLimits { single: 4, keys: 6 },
        _ => TrackLimits::default(),
    }
}

/// The same, of reads that wait for a late verdict.
fn unjudged_limits(seed: u64) -> UnjudgedLimits {
    match seed % 8 {
        1 => UnjudgedLimits { reads: 8, bytes: 1 << 20 },
        4 => UnjudgedLimits { reads: 1_000, bytes: 4_096 },
        _ => UnjudgedLimits::of_shard(1),
    }
}

impl Settings {
    /// A world of `nodes` with `quorum`, and everything else as usual.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, quorum: Quorum, legs: Legs) -> Self {
        // A cluster has many times more partitions than nodes; small ones are quicker to scan with few.
        let sizes = sizes(seed);
        let partitions = (nodes.next_power_of_two() as u32 * 8).clamp(16, 65_536);
        Self {
            seed,
            nodes,
            zones: 1,
            partitions,
            quorum,
            buckets: buckets(quorum, nodes, false, sizes.siblings_max),
            keys: 12,
            legs,
            commit: Commit::Fsync,
            timeout_us: 1_000_000,
            max_skew_us: 500_000,
            fan_out: FanOut::R,
            probe: Sampling::ALL,
            unjudged: unjudged_limits(seed),
            track: track_limits(seed),
            own_leg_crosses: false,
            value_bytes: 16,
            sizes,
            trace: false,
        }
    }

    /// The ring of such a world.
    pub fn ring(&self) -> Result<Ring, RingError> {
        let names = super::names::Names::new(self.nodes, 0, 0);
        let members = names.nodes().iter().enumerate().map(|(node, id)| Member {
            id: id.clone(),
            zone: format!("z{}", node % self.zones.max(1)),
            weight: Weight::ONE,
            address: format!("{id}:7101"),
        });
        Ring::founders(self.partitions, members.collect())
    }
}
