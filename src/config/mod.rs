//! One typed configuration: file, environment and flags, validated at start, every error named.
//!
//! Later sources win: built-in defaults, the TOML file, `NEAP_SECTION__KEY`, `--set section.key=value`.

mod error;
mod members;
mod reader;
mod sections;
mod source;
mod suggest;
pub mod units;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Problem, Setting, Source};
pub use members::{Address, MemberConfig};
pub use sections::{ClusterConfig, HttpConfig, LimitsConfig, LogConfig, LogFormat, NodeConfig, PeerConfig};
pub use source::Sources;

use crate::protocol::bucket::BucketSettings;
use crate::storage::Commit;
use crate::transport::Secret;
use reader::Reader;

/// The shortest secret that is accepted, in bytes.
const SECRET_MIN: usize = 16;

/// What a node is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[cluster]`.
    pub cluster: ClusterConfig,
    /// `[node]`.
    pub node: NodeConfig,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[peer]`.
    pub peer: PeerConfig,
    /// `[defaults]`: the settings of buckets that were never set.
    pub defaults: BucketSettings,
    /// `storage.commit`.
    pub commit: Commit,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `clock.max_skew`.
    pub max_skew: Duration,
    /// `[log]`.
    pub log: LogConfig,
    resolved: Vec<Setting>,
}

/// Why the cluster's secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cluster.secret_file = {path:?} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file holds too little.
    #[error("cluster.secret_file = {path:?} holds {found} bytes: at least {SECRET_MIN} are accepted")]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Bytes found, without white space at the ends.
        found: usize,
    },
}

impl Config {
    /// Resolves and checks what was given; or says everything that is wrong with it.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(source::gather(sources));
        let cluster = sections::cluster(&mut reader);
        let node = sections::node(&mut reader, &cluster.members);
        let http = sections::http(&mut reader);
        let peer = sections::peer(&mut reader, &node.id, &cluster.members);
        let defaults = sections::defaults(&mut reader, &cluster.members);
        let commit = sections::commit(&mut reader);
        let limits = sections::limits(&mut reader);
        let max_skew = sections::max_skew(&mut reader);
        let log = sections::log(&mut reader);
        sections::not_built_yet(&mut reader);
        let resolved = reader.finish().map_err(|problems| ConfigError { problems })?;
        let resolved = resolved.iter().map(reader::Resolved::setting).collect();
        Ok(Self { cluster, node, http, peer, defaults, commit, limits, max_skew, log, resolved })
    }

    /// The founders; this node alone where none were given.
    #[must_use]
    pub fn members(&self) -> Vec<MemberConfig> {
        if !self.cluster.members.is_empty() {
            return self.cluster.members.clone();
        }
        let NodeConfig { id, zone, weight, .. } = &self.node;
        let address = self.peer.advertise.clone();
        vec![MemberConfig { id: id.clone(), address, zone: zone.clone(), weight: *weight }]
    }

    /// The cluster's secret; derived from its name where no file is given, which protects against mistakes
    /// and nothing else.
    pub fn secret(&self) -> Result<Secret, SecretError> {
        let Some(path) = &self.cluster.secret_file else {
            return Ok(Secret::new(format!("neap cluster {}", self.cluster.name)));
        };
        let bytes =
            std::fs::read(path).map_err(|cause| SecretError::Unreadable { path: path.clone(), cause })?;
        let secret = bytes.trim_ascii();
        if secret.len() < SECRET_MIN {
            return Err(SecretError::TooShort { path: path.clone(), found: secret.len() });
        }
        Ok(Secret::new(secret))
    }

    /// Keys that the user gave and that have no effect, since what they are for is not built yet.
    #[must_use]
    pub fn without_effect(&self) -> Vec<&str> {
        let not_built = |key: &str| sections::NOT_BUILT_YET.iter().any(|prefix| key.starts_with(prefix));
        let given = self.resolved.iter().filter(|setting| setting.source.is_given());
        given.map(|setting| setting.key.as_str()).filter(|key| not_built(key)).collect()
    }

    /// Every key with its value and where that came from, in the order of sections.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.resolved
    }

    /// The configuration as TOML, each value with where it came from. Loads again to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for Setting { key, value, source } in &self.resolved {
            let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
            if of != section {
                section = of;
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}[{of}]", if text.is_empty() { "" } else { "\n" });
            }
            let _ = writeln!(text, "{name} = {value}  # {source}");
        }
        text
    }
}
