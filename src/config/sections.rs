//! The sections: every key with its type, its default and its range.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::members::{
    ACCEPTED_ADDRESS, ACCEPTED_MEMBERS, Address, DEFAULT_WEIGHT, DEFAULT_ZONE, MEMBERS_MAX, MemberConfig,
    WEIGHTS, is_loopback, is_zone, shared_by_two,
};
use super::origin::{self, WebOrigin};
use super::reader::{Fallback, Reader};
use super::units::{Accepted, format_size, parse_size};
use crate::protocol::admission::BucketWeight;
use crate::protocol::bounds::{SIBLINGS_MAX_DEFAULT, SIBLINGS_MAX_MOST};
use crate::protocol::bucket::{BlindWrite, ReadRepair, Resolution};
use crate::protocol::ids::NodeId;
use crate::protocol::quorum::N_MAX;

const NAME: &str = "1 to 64 characters of A-Z a-z 0-9 _ -";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `[cluster]`: what all nodes share.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// The cluster's name; nodes of other names are refused.
    pub name: String,
    /// Slices of the ring: a power of two, fixed for the cluster's life.
    pub partitions: u32,
    /// Holds the cluster's secret; none derives it from the name.
    pub secret_file: Option<PathBuf>,
    /// The founders, by id.
    pub members: Vec<MemberConfig>,
    /// Whom a later node asks to join.
    pub seeds: Vec<Address>,
}

impl ClusterConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let name = r.parsed("cluster.name", "neap".to_owned(), NAME, name, String::clone);
        let partitions = r.integer("cluster.partitions", 1_024_u32, 1..=65_536);
        let secret_file = r.parsed(
            "cluster.secret_file",
            None,
            "the path of a file, or \"\"",
            |text| Some((!text.is_empty()).then(|| PathBuf::from(text))),
            |path| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        );
        let mut members =
            r.list("cluster.members", ACCEPTED_MEMBERS, MemberConfig::parse, MemberConfig::to_string);
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let seed = |text: &str| Address::parse(text).ok_or_else(|| format!("{text:?} is not an address"));
        let seeds =
            r.list("cluster.seeds", &format!("a list of {ACCEPTED_ADDRESS}"), seed, Address::to_string);
        let cluster = Self { name, partitions, secret_file, members, seeds };
        cluster.check(r);
        cluster
    }

    fn check(&self, r: &mut Reader) {
        if !self.partitions.is_power_of_two() {
            let accepted = "a power of two from 1 to 65536";
            r.contradiction(&["cluster.partitions"], "not a power of two".to_owned(), accepted.to_owned());
        }
        let too_many = (self.members.len() > MEMBERS_MAX).then(|| format!("{} members", self.members.len()));
        if let Some(fault) = too_many.or_else(|| shared_by_two(&self.members)) {
            r.contradiction(&["cluster.members"], fault, ACCEPTED_MEMBERS.to_owned());
        }
    }
}

/// `[node]`: this node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// Its name.
    pub id: NodeId,
    /// What fails together with it: a rack, a site.
    pub zone: String,
    /// Its share of the ring, beside the others': 0.001 to 1,000.
    pub weight: f64,
    /// The directory that holds its data.
    pub data: PathBuf,
    /// How long a stop may take to finish what is in flight.
    pub drain_timeout: Duration,
}

impl NodeConfig {
    pub(super) fn read(r: &mut Reader, members: &[MemberConfig]) -> Self {
        let parse = |text: &str| NodeId::new(text).ok();
        let id = r.parsed("node.id", default_id(), NAME, parse, NodeId::to_string);
        let own = members.iter().find(|member| member.id == id);
        let zone = match own {
            Some(own) => Fallback::Follows("cluster.members", own.zone.clone()),
            None => Fallback::Default(DEFAULT_ZONE.to_owned()),
        };
        let weight = match own {
            Some(own) => Fallback::Follows("cluster.members", own.weight),
            None => Fallback::Default(DEFAULT_WEIGHT),
        };
        let zone_of = |text: &str| is_zone(text).then(|| text.to_owned());
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        Self {
            id,
            zone: r.parsed("node.zone", zone, NAME, zone_of, String::clone),
            weight: r.number("node.weight", weight, WEIGHTS),
            data: r.parsed(
                "node.data",
                PathBuf::from("/var/lib/neap"),
                "the path of a directory",
                path,
                |path| path.display().to_string(),
            ),
            drain_timeout: r.duration("node.drain_timeout", ms(10_000), Duration::ZERO..=HOUR),
        }
    }
}

#[expect(clippy::expect_used, reason = "a literal that keeps the rule of names")]
fn default_id() -> NodeId {
    NodeId::new("n1").expect("n1 is a name")
}

fn name(text: &str) -> Option<String> {
    NodeId::new(text).ok().map(|_| text.to_owned())
}

/// `[http]`: the REST edge.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Where clients are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads; 0 chooses from the cores.
    pub workers: u32,
    /// Origins of web pages that may call this node from elsewhere.
    pub cors: Vec<WebOrigin>,
    /// Further host names by which clients call this node, in lower case.
    pub hosts: Vec<String>,
}

impl HttpConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            listen: r.parsed(
                "http.listen",
                SocketAddr::from((Ipv4Addr::LOCALHOST, 8_101)),
                "an IP address and a port, such as 127.0.0.1:8101 or [::]:8101; port 0 takes a free one",
                |text| text.parse().ok(),
                SocketAddr::to_string,
            ),
            workers: r.integer("http.workers", 0_u32, 0..=256),
            cors: origin::read_cors(r),
            hosts: origin::read_hosts(r),
        }
    }
}

/// `[peer]`: the edge towards other nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerConfig {
    /// Where peers are served.
    pub listen: SocketAddr,
    /// Where they reach it.
    pub advertise: Address,
}

impl PeerConfig {
    pub(super) fn read(r: &mut Reader, node: &NodeId, members: &[MemberConfig]) -> Self {
        let listen = r.parsed(
            "peer.listen",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 7_101)),
            "an IP address and a port from 1 to 65535, such as 127.0.0.1:7101 or [::]:7101",
            |text| text.parse().ok().filter(|listen: &SocketAddr| listen.port() != 0),
            SocketAddr::to_string,
        );
        let advertise = match members.iter().find(|member| member.id == *node) {
            Some(own) => Fallback::Follows("cluster.members", own.address.clone()),
            None if is_loopback(listen.ip()) => {
                Fallback::Follows("peer.listen", Address::of_listener(listen))
            }
            None => Fallback::Follows("node.id", Address::of_node(node, listen.port())),
        };
        let advertise =
            r.parsed("peer.advertise", advertise, ACCEPTED_ADDRESS, Address::parse, Address::to_string);
        Self { listen, advertise }
    }
}

/// `[defaults]`: the properties of buckets that were never set.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultsConfig {
    /// Homes of each key.
    pub n: u8,
    /// Homes that must answer a read.
    pub r: u8,
    /// Homes that must acknowledge a write.
    pub w: u8,
    /// The lowest W that a request may choose.
    pub w_min: u8,
    /// What readers of concurrent versions get.
    pub resolution: Resolution,
    /// What writes without context do.
    pub blind_write: BlindWrite,
    /// How many versions a write may leave.
    pub siblings_max: u16,
    /// A bucket's share of a node while others ask for more than can be done.
    pub weight: BucketWeight,
    /// When homes that are behind are repaired.
    pub read_repair: ReadRepair,
    /// Whether fallbacks may count towards W.
    pub sloppy: bool,
}

impl DefaultsConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let n = r.integer("defaults.n", 3_u8, 1..=N_MAX);
        let read = r.integer("defaults.r", 2_u8, 1..=N_MAX);
        let w = r.integer("defaults.w", 2_u8, 1..=N_MAX);
        Self {
            n,
            r: read,
            w,
            w_min: r.integer("defaults.w_min", Fallback::Follows("defaults.w", w), 1..=N_MAX),
            resolution: r.choice(
                "defaults.resolution",
                Resolution::Siblings,
                &[("siblings", Resolution::Siblings), ("lww", Resolution::Lww)],
            ),
            blind_write: r.choice(
                "defaults.blind_write",
                BlindWrite::Overwrite,
                &[("overwrite", BlindWrite::Overwrite), ("sibling", BlindWrite::Sibling)],
            ),
            siblings_max: r.integer("defaults.siblings_max", SIBLINGS_MAX_DEFAULT, 1..=SIBLINGS_MAX_MOST),
            weight: r.weight("defaults.weight", BucketWeight::ONE),
            read_repair: r.choice(
                "defaults.read_repair",
                ReadRepair::Blocking,
                &[("blocking", ReadRepair::Blocking), ("async", ReadRepair::Async), ("off", ReadRepair::Off)],
            ),
            sloppy: r.boolean("defaults.sloppy", false),
        }
    }
}

/// How durable a write is when its replica acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPolicy {
    /// On disk: synced, many writes at once.
    Fsync,
    /// Synced soon after: a power loss may take the last moments.
    Interval,
    /// With the operating system: survives the process, not the machine.
    Os,
}

/// `[storage]`: this node's disk.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// How durable a write is when it is acknowledged.
    pub commit: CommitPolicy,
}

impl StorageConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let policies =
            [("fsync", CommitPolicy::Fsync), ("interval", CommitPolicy::Interval), ("os", CommitPolicy::Os)];
        Self { commit: r.choice("storage.commit", CommitPolicy::Fsync, &policies) }
    }
}

/// `[limits]`: what one request, and all at once, may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// The largest value, in bytes.
    pub value: u64,
    /// The longest key, in bytes.
    pub key: u32,
    /// Memory of the node, in bytes; none where it follows the cgroup's limit.
    pub memory: Option<u64>,
    /// Client requests served at once.
    pub in_flight: u32,
    /// The longest that a request may take.
    pub timeout: Duration,
}

impl LimitsConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            value: r.size("limits.value", MIB, 1..=64 * MIB),
            key: r.integer("limits.key", 1_024_u32, 1..=1_024),
            memory: read_memory(r),
            in_flight: r.integer("limits.in_flight", 4_096_u32, 1..=1_000_000),
            timeout: r.duration("limits.timeout", ms(2_000), ms(1)..=ms(600_000)),
        }
    }
}

/// The least memory whose shares are of use: the largest batch must fit in one of them.
const MEMORY_MIN: u64 = 192 * MIB;
const MEMORY_MAX: u64 = 64 * 1_024 * GIB;

fn read_memory(r: &mut Reader) -> Option<u64> {
    let bounds = format!("{} to {}", format_size(MEMORY_MIN), format_size(MEMORY_MAX));
    let accepted = format!("{bounds}, as {}, or \"\" for 60 % of the cgroup's limit", Accepted::Size);
    let parse = |text: &str| match text {
        "" => Some(None),
        size => parse_size(size).ok().filter(|bytes| (MEMORY_MIN..=MEMORY_MAX).contains(bytes)).map(Some),
    };
    let write = |bytes: &Option<u64>| bytes.map(format_size).unwrap_or_default();
    r.parsed("limits.memory", None, &accepted, parse, write)
}

/// `[clock]`: how far clocks may be apart.
#[derive(Debug, Clone, PartialEq)]
pub struct ClockConfig {
    /// Frames of peers whose clock is further ahead are refused.
    pub max_skew: Duration,
}

impl ClockConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self { max_skew: r.duration("clock.max_skew", ms(500), ms(1)..=HOUR) }
    }
}

/// `[hints]`: writes kept for nodes that are down.
#[derive(Debug, Clone, PartialEq)]
pub struct HintsConfig {
    /// How old a hint may get.
    pub window: Duration,
    /// Bytes kept for one node.
    pub per_target: u64,
    /// Bytes kept in all.
    pub total: u64,
}

impl HintsConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            window: r.duration("hints.window", 3 * HOUR, ms(1_000)..=30 * DAY),
            per_target: r.size("hints.per_target", 4 * GIB, MIB..=1_024 * 1_024 * GIB),
            total: r.size("hints.total", 16 * GIB, MIB..=1_024 * 1_024 * GIB),
        }
    }
}

/// `[repair]`: anti-entropy.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairConfig {
    /// Within which every pair of homes compares.
    pub interval: Duration,
    /// The least budget, in bytes per second, shared with hint replay.
    pub floor: u64,
    /// The greatest, in bytes per second.
    pub ceiling: u64,
}

impl RepairConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            interval: r.duration("repair.interval", ms(10_000), ms(100)..=7 * DAY),
            floor: r.size("repair.floor", MIB, 1_024..=64 * GIB),
            ceiling: r.size("repair.ceiling", 64 * MIB, 1_024..=64 * GIB),
        }
    }
}

/// `[staleness]`: how staleness is observed.
#[derive(Debug, Clone, PartialEq)]
pub struct StalenessConfig {
    /// The share of reads that get a verdict.
    pub probe: f64,
    /// Canary writes per second; 0 for none.
    pub canary: f64,
}

impl StalenessConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            probe: r.number("staleness.probe", 1.0, 0.0..=1.0),
            canary: r.number("staleness.canary", 0.0, 0.0..=1_000.0),
        }
    }
}

/// How telemetry is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protocol buffers over HTTP.
    HttpProtobuf,
    /// gRPC.
    Grpc,
}

/// How spans show the key of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanKeys {
    /// Not at all.
    None,
    /// As a hash, which tells keys apart and names none.
    #[default]
    Hash,
    /// As text, beside the hash.
    Text,
}

/// `[telemetry]`: where metrics and traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryConfig {
    /// The collector's URL; none sends nothing.
    pub otlp: Option<String>,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Whether anything is measured. Without it there are no objectives, and `/metrics` stands still.
    pub metrics: bool,
    /// The share of traces that are kept from the start.
    pub sample: f64,
    /// `service.name` of what is sent.
    pub service_name: String,
    /// How spans show keys.
    pub keys: SpanKeys,
}

impl TelemetryConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let url = |text: &str| {
            let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
            let is_url = printable && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
            if text.is_empty() { Some(None) } else { is_url.then(|| Some(text.to_owned())) }
        };
        let service = |text: &str| {
            let ok = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
            ok.then(|| text.to_owned())
        };
        let protocols = [("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)];
        Self {
            otlp: r.parsed(
                "telemetry.otlp",
                None,
                "a URL that begins with http:// or https://, or \"\"",
                url,
                |url| url.clone().unwrap_or_default(),
            ),
            protocol: r.choice("telemetry.protocol", OtlpProtocol::HttpProtobuf, &protocols),
            metrics: r.boolean("telemetry.metrics", true),
            sample: r.number("telemetry.sample", 1.0, 0.0..=1.0),
            service_name: r.parsed(
                "telemetry.service_name",
                "neap".to_owned(),
                "1 to 255 bytes of text",
                service,
                String::clone,
            ),
            keys: r.choice(
                "telemetry.keys",
                SpanKeys::Hash,
                &[("none", SpanKeys::None), ("hash", SpanKeys::Hash), ("text", SpanKeys::Text)],
            ),
        }
    }
}

/// The least grave event that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what may become a failure.
    Warn,
    /// And what an operator wants to know of a healthy node.
    Info,
    /// And what helps to understand one.
    Debug,
    /// And everything else.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// The least grave event that is logged.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

impl LogConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        Self {
            level: r.choice("log.level", LogLevel::Info, &levels),
            format: r.choice(
                "log.format",
                LogFormat::Text,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            ),
        }
    }
}
