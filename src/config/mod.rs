//! One typed configuration: file, environment and flags, validated at start.
//!
//! ```text
//! defaults < TOML file < NEAP_SECTION__KEY < --set section.key=value
//!
//! source    gathers what was given, untyped
//! reader    types it, key by key, and notes what is wrong
//! sections  every key with its type, default and range       slo, slo_sets  those of [slo]
//! contradictions  keys that do not fit each other        reachable  objectives that configuration alone rules out
//! exposure  addresses beyond loopback, and what they require
//! ```
//!
//! Everything wrong is found before anything is said, and each line says the key, the value, where it came from,
//! and what would be accepted.

mod contradictions;
mod error;
mod exposure;
mod members;
mod origin;
mod print;
mod reachable;
mod reader;
mod secret;
mod sections;
mod slo;
mod slo_sets;
mod source;
mod suggest;
pub mod units;

pub use crate::protocol::slo::StaleCounts;
pub use error::{ConfigError, Problem, Setting, Source};
pub use members::{Address, DEFAULT_WEIGHT, DEFAULT_ZONE, MemberConfig};
pub use origin::WebOrigin;
pub use secret::{SECRET_MAX, SECRET_MIN, Secret, SecretError, cluster_secret};
pub use sections::{
    ClockConfig, ClusterConfig, CommitPolicy, DefaultsConfig, HintsConfig, HttpConfig, LimitsConfig,
    LogConfig, LogFormat, LogLevel, NodeConfig, OtlpProtocol, PeerConfig, RepairConfig, SpanKeys,
    StalenessConfig, StorageConfig, TelemetryConfig,
};
pub use slo::{BurnConfig, CauseConfig, PageConfig, SloConfig, TicketConfig};
pub use slo_sets::SetConfig;
pub use source::Sources;

use self::reader::{Reader, Resolved};
use crate::protocol::bounds::{MessageBounds, ValueLimit};
use crate::protocol::bucket::BucketSettings;
use crate::protocol::quorum::Quorum;

/// Keys, and sections, that are accepted and checked but have no effect yet.
const WITHOUT_EFFECT: [&str; 14] = [
    "cluster.seeds",
    "hints.",
    "repair.",
    "slo.ticket.hints_growing_for",
    "slo.ticket.hint_age",
    "slo.ticket.debt_growing_for",
    "slo.ticket.repair_eta",
    "slo.ticket.conflicts",
    "slo.ticket.quorum_failures",
    "slo.ticket.node_down_for",
    "slo.ticket.clock_uncertainty",
    "slo.ticket.unknown_reads",
    "slo.ticket.telemetry_missing_for",
    "staleness.canary",
];

/// What a node goes by. Valid: whoever holds one need not check it again.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all nodes share.
    pub cluster: ClusterConfig,
    /// This node.
    pub node: NodeConfig,
    /// The REST edge.
    pub http: HttpConfig,
    /// The edge towards other nodes.
    pub peer: PeerConfig,
    /// The properties of buckets that were never set.
    pub defaults: DefaultsConfig,
    /// This node's disk.
    pub storage: StorageConfig,
    /// What one request, and all at once, may ask for.
    pub limits: LimitsConfig,
    /// How far clocks may be apart.
    pub clock: ClockConfig,
    /// Writes kept for nodes that are down.
    pub hints: HintsConfig,
    /// Anti-entropy.
    pub repair: RepairConfig,
    /// How staleness is observed.
    pub staleness: StalenessConfig,
    /// The objectives and their alerts.
    pub slo: SloConfig,
    /// Where metrics and traces go.
    pub telemetry: TelemetryConfig,
    /// What is written to standard error.
    pub log: LogConfig,
    resolved: Vec<Resolved>,
}

impl Config {
    /// Resolves and checks. An error holds everything that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(source::gather(sources));
        let mut config = Self::read(&mut reader);
        contradictions::check(&config, &mut reader);
        config.resolved = reader.finish().map_err(|problems| ConfigError { problems })?;
        Ok(config)
    }

    fn read(r: &mut Reader) -> Self {
        let cluster = ClusterConfig::read(r);
        let node = NodeConfig::read(r, &cluster.members);
        let http = HttpConfig::read(r);
        let peer = PeerConfig::read(r, &node.id, &cluster.members);
        Self {
            cluster,
            node,
            http,
            peer,
            defaults: DefaultsConfig::read(r),
            storage: StorageConfig::read(r),
            limits: LimitsConfig::read(r),
            clock: ClockConfig::read(r),
            hints: HintsConfig::read(r),
            repair: RepairConfig::read(r),
            staleness: StalenessConfig::read(r),
            slo: SloConfig::read(r),
            telemetry: TelemetryConfig::read(r),
            log: LogConfig::read(r),
            resolved: Vec::new(),
        }
    }

    /// The founders, by id; none when the user named none.
    #[must_use]
    pub fn members(&self) -> &[MemberConfig] {
        &self.cluster.members
    }

    /// The settings of buckets that were never set.
    #[must_use]
    pub fn defaults_as_bucket_settings(&self) -> BucketSettings {
        let DefaultsConfig {
            n,
            r,
            w,
            w_min,
            resolution,
            blind_write,
            siblings_max,
            weight,
            read_repair,
            sloppy,
        } = self.defaults;
        BucketSettings {
            quorum: Quorum { n, r, w },
            w_min,
            resolution,
            blind_write,
            siblings_max,
            weight,
            sloppy,
            read_repair,
            ttl_us: None,
        }
    }

    /// The largest values that clients may write, beside what messages between nodes may take.
    #[must_use]
    pub fn value_limit(&self) -> ValueLimit {
        let value_bytes = usize::try_from(self.limits.value).unwrap_or(usize::MAX);
        ValueLimit { messages: MessageBounds::default(), value_bytes }
    }

    /// Checks what only a node that is about to run must have: founders. Nothing was started.
    pub fn check_startable(&self) -> Result<(), ConfigError> {
        if !self.cluster.members.is_empty() {
            return Ok(());
        }
        let settings = self.settings().filter(|setting| setting.key == "cluster.members").collect();
        let fault = "a node needs to know the founders of its cluster".to_owned();
        let own = format!("{}@{}", self.node.id, self.peer.advertise);
        let accepted =
            format!("a list with this node in it, such as [{own:?}] with defaults.n = 1, r = 1, w = 1");
        Err(ConfigError { problems: vec![Problem::Contradiction { settings, fault, accepted }] })
    }

    /// The hosts by which clients call nodes of this cluster: those of members, this node's own, and `http.hosts`.
    pub fn known_hosts(&self) -> impl Iterator<Item = &str> {
        let members = self.cluster.members.iter().map(|member| member.address.host());
        let own = std::iter::once(self.peer.advertise.host());
        members.chain(own).chain(self.http.hosts.iter().map(String::as_str))
    }

    /// Every key, its value as TOML text and where that came from, by section.
    pub fn settings(&self) -> impl Iterator<Item = Setting> + '_ {
        self.resolved.iter().map(Resolved::setting)
    }

    /// The keys that the user set and that have no effect in this version.
    #[must_use]
    pub fn unused_keys(&self) -> Vec<String> {
        let unused = |key: &str| {
            WITHOUT_EFFECT.iter().any(|part| key == *part || (part.ends_with('.') && key.starts_with(part)))
        };
        let set = self.resolved.iter().filter(|resolved| resolved.source.is_given() && unused(&resolved.key));
        set.map(|resolved| resolved.key.clone().into_owned()).collect()
    }

    /// What the operator should know at start, a line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unused = self.unused_keys();
        if !unused.is_empty() {
            warnings.push(format!("no effect in this version: {}", unused.join(", ")));
        }
        warnings.extend(exposure::warnings(self));
        warnings.extend(reachable::warnings(self));
        warnings
    }
}
