//! The sections and their keys: name, default and range, once.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::members::{
    ACCEPTED_ADDRESS, ACCEPTED_MEMBERS, Address, DEFAULT_WEIGHT, DEFAULT_ZONE, MEMBERS_MAX, MemberConfig,
    WEIGHTS, is_zone, shared_by_two,
};
use super::reader::{Fallback, Reader};
use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution};
use crate::protocol::ids::NodeId;
use crate::protocol::quorum::{N_MAX, Quorum};
use crate::protocol::ring::PARTITIONS_MAX;
use crate::storage::Commit;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: String,
    /// Partitions of the ring, fixed for the cluster's life.
    pub partitions: u32,
    /// The file that holds the cluster's secret; none to derive it from the name.
    pub secret_file: Option<PathBuf>,
    /// The founders, sorted by id.
    pub members: Vec<MemberConfig>,
    /// Whom a later node asks to join.
    pub seeds: Vec<Address>,
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// This node's name.
    pub id: NodeId,
    /// What fails together with it.
    pub zone: String,
    /// Its share of the ring, beside the others'.
    pub weight: f64,
    /// The data directory.
    pub data: PathBuf,
    /// How long a stop may take to finish what is in flight.
    pub drain_timeout: Duration,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where REST is served.
    pub listen: SocketAddr,
    /// REST workers; 0 for a choice by the cores.
    pub workers: u16,
}

/// `[peer]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where peers are served.
    pub listen: SocketAddr,
    /// Where peers reach this node.
    pub advertise: Address,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// The longest value, in bytes.
    pub value: u64,
    /// The longest key, in bytes.
    pub key: u16,
    /// Client requests in flight.
    pub in_flight: u32,
    /// The longest that a request may take, and what it may take where it does not say.
    pub timeout: Duration,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// What is logged.
    pub level: tracing::Level,
    /// How.
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn cluster(reader: &mut Reader) -> ClusterConfig {
    let name = reader.parsed(
        "cluster.name",
        "neap".to_owned(),
        "1 to 64 characters of A-Z a-z 0-9 _ -",
        |text| NodeId::new(text).ok().map(|_| text.to_owned()),
        Clone::clone,
    );
    let partitions = reader.integer("cluster.partitions", 1024, 1..=PARTITIONS_MAX);
    if !partitions.is_power_of_two() {
        let accepted = format!("a power of two from 1 to {PARTITIONS_MAX}");
        reader.contradiction(&["cluster.partitions"], "not a power of two".to_owned(), accepted);
    }
    let path = |text: &str| Some((!text.is_empty()).then(|| PathBuf::from(text)));
    let write =
        |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let secret_file = reader.parsed("cluster.secret_file", None, "a file's path, or nothing", path, write);
    let mut members =
        reader.list("cluster.members", ACCEPTED_MEMBERS, MemberConfig::parse, ToString::to_string);
    members.sort_by(|one, other| one.id.cmp(&other.id));
    let fault = match shared_by_two(&members) {
        None if members.len() > MEMBERS_MAX => Some(format!("{} are too many", members.len())),
        shared => shared,
    };
    if let Some(fault) = fault {
        reader.contradiction(&["cluster.members"], fault, ACCEPTED_MEMBERS.to_owned());
    }
    let address = |text: &str| Address::parse(text).ok_or_else(|| format!("{text:?} is no address"));
    let accepted = format!("a list of {ACCEPTED_ADDRESS}");
    let seeds = reader.list("cluster.seeds", &accepted, address, ToString::to_string);
    ClusterConfig { name, partitions, secret_file, members, seeds }
}

pub(super) fn node(reader: &mut Reader, members: &[MemberConfig]) -> NodeConfig {
    let id = reader.parsed(
        "node.id",
        default_node(),
        "1 to 64 characters of A-Z a-z 0-9 _ -",
        |text| NodeId::new(text).ok(),
        ToString::to_string,
    );
    let member = members.iter().find(|member| member.id == id);
    if !members.is_empty() && member.is_none() {
        let known = members.iter().map(|member| member.id.as_str()).collect::<Vec<_>>().join(", ");
        reader.contradiction(
            &["node.id", "cluster.members"],
            format!("{id} is not among the members"),
            format!("one of {known}"),
        );
    }
    let zone_of = member.map(|member| Fallback::Follows("cluster.members", member.zone.clone()));
    let zone = reader.parsed(
        "node.zone",
        zone_of.unwrap_or_else(|| Fallback::Default(DEFAULT_ZONE.to_owned())),
        "1 to 64 characters of A-Z a-z 0-9 _ -",
        |text| is_zone(text).then(|| text.to_owned()),
        Clone::clone,
    );
    let weight_of = member.map(|member| Fallback::Follows("cluster.members", member.weight));
    let weight =
        reader.number("node.weight", weight_of.unwrap_or(Fallback::Default(DEFAULT_WEIGHT)), WEIGHTS);
    if let Some(member) = member {
        if member.zone != zone {
            let accepted = format!("zone {:?} in both, or in one only", member.zone);
            reader.contradiction(&["node.zone", "cluster.members"], "the zones differ".to_owned(), accepted);
        }
        if (member.weight - weight).abs() > f64::EPSILON {
            let accepted = format!("weight {:?} in both, or in one only", member.weight);
            reader.contradiction(
                &["node.weight", "cluster.members"],
                "the weights differ".to_owned(),
                accepted,
            );
        }
    }
    let data = reader.parsed(
        "node.data",
        PathBuf::from("/var/lib/neap"),
        "a directory's path",
        |text| (!text.is_empty()).then(|| PathBuf::from(text)),
        |path| path.display().to_string(),
    );
    let drain_timeout = reader.duration("node.drain_timeout", secs(10), ms(0)..=secs(600));
    NodeConfig { id, zone, weight, data, drain_timeout }
}

fn default_node() -> NodeId {
    #[expect(clippy::expect_used, reason = "a constant that the tests load")]
    NodeId::new("n1").expect("n1 is a name")
}

pub(super) fn http(reader: &mut Reader) -> HttpConfig {
    let listen = listen(reader, "http.listen", 8101);
    HttpConfig { listen, workers: reader.integer("http.workers", 0, 0..=256) }
}

pub(super) fn peer(reader: &mut Reader, node: &NodeId, members: &[MemberConfig]) -> PeerConfig {
    let listen = listen(reader, "peer.listen", 7101);
    let member = members.iter().find(|member| member.id == *node);
    let advertise = match member {
        Some(member) => Fallback::Follows("cluster.members", member.address.clone()),
        None => Fallback::Follows("node.id", own_address(node)),
    };
    let advertise =
        reader.parsed("peer.advertise", advertise, ACCEPTED_ADDRESS, Address::parse, ToString::to_string);
    if let Some(member) = member
        && member.address != advertise
    {
        reader.contradiction(
            &["peer.advertise", "cluster.members"],
            "the addresses differ".to_owned(),
            format!("{} in both", member.address),
        );
    }
    PeerConfig { listen, advertise }
}

fn own_address(node: &NodeId) -> Address {
    let named = Address::parse(&format!("{node}:7101"));
    #[expect(
        clippy::expect_used,
        reason = "a node's name is at most 64 characters, a host's label at most 63"
    )]
    named.or_else(|| Address::parse("localhost:7101")).expect("localhost is a host")
}

fn listen(reader: &mut Reader, key: &'static str, port: u16) -> SocketAddr {
    let default = SocketAddr::from(([0, 0, 0, 0], port));
    let accepted = "an IP address and a port, such as 0.0.0.0:8101 or [::]:8101";
    reader.parsed(key, default, accepted, |text| text.parse().ok(), ToString::to_string)
}

pub(super) fn defaults(reader: &mut Reader, members: &[MemberConfig]) -> BucketSettings {
    let n = reader.integer("defaults.n", 3, 1..=i64::from(N_MAX));
    let r = reader.integer("defaults.r", 2.min(n), 1..=i64::from(N_MAX));
    let w = reader.integer("defaults.w", 2.min(n), 1..=i64::from(N_MAX));
    let w_min = reader.integer("defaults.w_min", Fallback::Follows("defaults.w", w), 1..=i64::from(N_MAX));
    let narrow = |number: i64| u8::try_from(number).unwrap_or(N_MAX);
    let (quorum, w_min) = (Quorum { n: narrow(n), r: narrow(r), w: narrow(w) }, narrow(w_min));
    let resolution = reader.choice(
        "defaults.resolution",
        Resolution::Siblings,
        &[("siblings", Resolution::Siblings), ("lww", Resolution::Lww)],
    );
    let blind_write = reader.choice(
        "defaults.blind_write",
        BlindWrite::Overwrite,
        &[("overwrite", BlindWrite::Overwrite), ("sibling", BlindWrite::Sibling)],
    );
    let read_repair = reader.choice(
        "defaults.read_repair",
        ReadRepair::Blocking,
        &[("blocking", ReadRepair::Blocking), ("async", ReadRepair::Async), ("off", ReadRepair::Off)],
    );
    let sloppy = reader.boolean("defaults.sloppy", false);
    let settings =
        BucketSettings { quorum, w_min, resolution, blind_write, sloppy, read_repair, ttl_us: None };
    let keys = ["defaults.n", "defaults.r", "defaults.w", "defaults.w_min"];
    if let Err(error) = settings.validate() {
        reader.contradiction(&keys, error.to_string(), "1 <= r <= n, 1 <= w_min <= w <= n".to_owned());
    }
    if !members.is_empty() && usize::from(quorum.n) > members.len() {
        reader.contradiction(
            &["defaults.n", "cluster.members"],
            format!("{} copies need as many nodes, and there are {}", quorum.n, members.len()),
            format!("1 to {}", members.len()),
        );
    }
    settings
}

pub(super) fn commit(reader: &mut Reader) -> Commit {
    let choices = [("fsync", Commit::Fsync), ("interval", Commit::Interval), ("os", Commit::Os)];
    reader.choice("storage.commit", Commit::Fsync, &choices)
}

pub(super) fn limits(reader: &mut Reader) -> LimitsConfig {
    LimitsConfig {
        // Siblings share a frame of 16 MiB.
        value: reader.size("limits.value", MIB, 1..=4 * MIB),
        key: reader.integer("limits.key", 1024, 1..=1024),
        in_flight: reader.integer("limits.in_flight", 4096, 1..=65_536),
        timeout: reader.duration("limits.timeout", secs(2), ms(10)..=secs(60)),
    }
}

pub(super) fn log(reader: &mut Reader) -> LogConfig {
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = reader.choice("log.level", tracing::Level::INFO, &levels);
    LogConfig { level, format: reader.choice("log.format", LogFormat::Text, &formats) }
}

/// `clock.max_skew`.
pub(super) fn max_skew(reader: &mut Reader) -> Duration {
    reader.duration("clock.max_skew", ms(500), ms(1)..=secs(60))
}

/// Keys of what is not built yet: read and checked, so that a configuration written for them is a good one.
pub(super) fn not_built_yet(reader: &mut Reader) {
    reader.duration("hints.window", secs(3 * 3600), secs(1)..=secs(30 * 86_400));
    let per_target = reader.size("hints.per_target", 4 * GIB, MIB..=TIB);
    let total = reader.size("hints.total", 16 * GIB, MIB..=16 * TIB);
    if per_target > total {
        let keys = ["hints.per_target", "hints.total"];
        reader.contradiction(
            &keys,
            "one target may owe more than all".to_owned(),
            "per_target <= total".to_owned(),
        );
    }
    reader.duration("repair.interval", secs(10), ms(100)..=secs(30 * 86_400));
    let floor = reader.size("repair.floor", MIB, KIB..=TIB);
    let ceiling = reader.size("repair.ceiling", 64 * MIB, KIB..=TIB);
    if floor > ceiling {
        let keys = ["repair.floor", "repair.ceiling"];
        reader.contradiction(
            &keys,
            "the floor is above the ceiling".to_owned(),
            "floor <= ceiling".to_owned(),
        );
    }
    reader.number("staleness.probe", 1.0, 0.0..=1.0);
    reader.number("staleness.canary", 0.0, 0.0..=1_000.0);
    slo(reader);
    reader.parsed(
        "telemetry.otlp",
        String::new(),
        "a URL such as http://collector:4318, or nothing",
        |text| {
            (text.is_empty() || text.starts_with("http://") || text.starts_with("https://"))
                .then(|| text.to_owned())
        },
        Clone::clone,
    );
    reader.choice("telemetry.protocol", 0, &[("http/protobuf", 0), ("grpc", 1)]);
    reader.number("telemetry.sample", 1.0, 0.0..=1.0);
    let any = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    reader.parsed("telemetry.service_name", "neap".to_owned(), "a name", any, Clone::clone);
}

fn slo(reader: &mut Reader) {
    let durations: RangeInclusive<Duration> = ms(1)..=secs(30 * 86_400);
    let share = 0.0..=1.0;
    reader.duration("slo.age_p95", ms(500), durations.clone());
    reader.number("slo.stale_reads", 0.001, share.clone());
    reader.duration("slo.convergence_p999", secs(5), durations.clone());
    reader.duration("slo.window", secs(3600), secs(1)..=secs(30 * 86_400));
    reader.choice("slo.stale_counts", 0, &[("committed", 0), ("any_replica", 1)]);
    reader.number("slo.time_scale", 1.0, 0.000_001..=1.0);
    reader.duration("slo.page.age_p95", ms(500), durations.clone());
    reader.duration("slo.page.age_for", secs(600), durations.clone());
    reader.number("slo.page.stale_reads", 0.001, share.clone());
    reader.duration("slo.page.convergence_p999", secs(5), durations.clone());
    reader.duration("slo.page.unconverged", secs(5), durations.clone());
    reader.number("slo.page.burn_fast", 14.4, 0.0..=10_000.0);
    reader.number("slo.page.burn_slow", 6.0, 0.0..=10_000.0);
    reader.duration("slo.ticket.age_p95", ms(500), durations.clone());
    reader.integer("slo.ticket.age_minutes", 5, 1..=60);
    reader.number("slo.ticket.stale_reads", 0.0005, share.clone());
    reader.duration("slo.ticket.convergence_p999", secs(3), durations);
    reader.number("slo.ticket.burn_fast", 3.0, 0.0..=10_000.0);
    reader.number("slo.ticket.burn_slow", 1.0, 0.0..=10_000.0);
    reader.number("slo.ticket.hint_age_share", 0.5, share.clone());
    reader.number("slo.ticket.clock_uncertainty_share", 0.5, share.clone());
    reader.number("slo.ticket.unknown_reads", 0.05, share);
    reader.integer("slo.min_reads", 1_000, 1..=1_000_000);
}

/// The sections of [`not_built_yet`].
pub(super) const NOT_BUILT_YET: [&str; 6] =
    ["cluster.seeds", "hints.", "repair.", "staleness.", "slo.", "telemetry."];
