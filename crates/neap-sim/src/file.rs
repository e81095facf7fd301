//! Scenarios as files: written by hand, or by the simulator when it has found something.
//!
//! ```toml
//! seed = 7
//! nodes = 3
//! quorum = "3,2,2"
//! latency = "lnkd-ssd"
//!
//! [[fault]]
//! at_ms = 3100
//! kind = "power-loss"
//! node = 2
//! lasts_ms = 500
//!
//! [[step]]
//! at_ms = 3050.25
//! client = 1
//! node = 1
//! bucket = 0
//! key = 4
//! op = "put"
//! context = true
//! ```

use serde::{Deserialize, Serialize};

use super::faults::{Fault, Kind, Level};
use super::queue::{MICROS, Time};
use super::scenario::{Scenario, Steps, Wanted};
use super::settings::Settings;
use super::workload::{Operation, Step, buckets};
use neap_protocol::pbs::Legs;
use neap_protocol::quorum::Quorum;
use neap_storage::Commit;

/// A scenario's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where the randomness comes from that the file leaves open: latencies, what is lost, and order.
    pub seed: u64,
    /// Nodes.
    #[serde(default = "five")]
    pub nodes: usize,
    /// Zones.
    #[serde(default = "one")]
    pub zones: usize,
    /// `N,R,W` of the defaults.
    #[serde(default = "usual_quorum")]
    pub quorum: String,
    /// A preset, or a file of delays.
    #[serde(default = "usual_latency")]
    pub latency: String,
    /// Whether there are buckets of other kinds as well.
    #[serde(default)]
    pub mixed: bool,
    /// Keys of each bucket.
    #[serde(default = "ten")]
    pub keys: u32,
    /// `storage.commit`.
    #[serde(default)]
    pub commit: CommitName,
    /// `limits.timeout`, in milliseconds.
    #[serde(default = "a_second")]
    pub timeout_ms: f64,
    /// Steps that are drawn from the seed, in the place of such that are written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Faults that are drawn from the seed, in the place of such that are written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Level>,
    /// What goes wrong.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub written_faults: Vec<FileFault>,
    /// What clients do.
    #[serde(default, rename = "step", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<FileStep>,
}

fn five() -> usize {
    5
}

fn one() -> usize {
    1
}

fn ten() -> u32 {
    10
}

fn a_second() -> f64 {
    1_000.0
}

fn usual_quorum() -> String {
    "3,2,2".to_owned()
}

fn usual_latency() -> String {
    "lnkd-ssd".to_owned()
}

/// `storage.commit`, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitName {
    /// Synced before it is acknowledged.
    #[default]
    Fsync,
    /// Synced every now and then.
    Interval,
    /// Synced when the operating system likes.
    Os,
}

/// A fault, as it is written down. Nodes count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFault {
    /// When, in milliseconds from the beginning; the workload begins at 3000.
    pub at_ms: f64,
    /// What.
    pub kind: Kind,
    /// Which node.
    pub node: u32,
    /// How long, in milliseconds.
    pub lasts_ms: f64,
    /// Whatever else the kind needs to know, as hexadecimal digits.
    #[serde(default, with = "hex")]
    pub detail: u64,
}

/// A step, as it is written down. Nodes count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FileStep {
    /// When, in milliseconds from the beginning; nodes serve from 3000 on.
    pub at_ms: f64,
    /// Which client.
    #[serde(default)]
    pub client: u32,
    /// Which node it asks.
    pub node: u32,
    /// Which bucket.
    #[serde(default)]
    pub bucket: u32,
    /// Which of its keys.
    #[serde(default)]
    pub key: u32,
    /// What.
    #[serde(flatten)]
    pub operation: Operation,
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not TOML, or has a key that no scenario has.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value is out of range.
    #[error("{what} = {given}: {accepted} is accepted")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
}

fn out_of_range<T>(
    what: &'static str,
    given: impl ToString,
    accepted: impl Into<String>,
) -> Result<T, FileError> {
    Err(FileError::OutOfRange { what, given: given.to_string(), accepted: accepted.into() })
}

/// Reads `N,R,W`.
pub fn parse_quorum(text: &str) -> Result<Quorum, FileError> {
    let numbers: Vec<u8> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let &[n, r, w] = numbers.as_slice() else {
        return out_of_range("quorum", text, "N,R,W, such as 3,2,2,");
    };
    let quorum = Quorum { n, r, w };
    match quorum.validate() {
        Ok(()) => Ok(quorum),
        Err(error) => out_of_range("quorum", text, error.to_string()),
    }
}

impl File {
    /// Reads a scenario's file.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        Ok(toml::from_str(text)?)
    }

    /// The scenario. `legs` gives the delays that `latency` names.
    pub fn scenario(&self, legs: Legs) -> Result<Scenario, FileError> {
        let quorum = parse_quorum(&self.quorum)?;
        if self.nodes < usize::from(quorum.n) || self.nodes > neap_protocol::ring::MEMBERS_MAX {
            return out_of_range("nodes", self.nodes, format!("N ({}) to 4096", quorum.n));
        }
        if !(1.0..=600_000.0).contains(&self.timeout_ms) {
            return out_of_range("timeout_ms", self.timeout_ms, "1 to 600000");
        }
        let wanted = Wanted {
            nodes: self.nodes,
            zones: self.zones.max(1),
            quorum,
            legs: legs.clone(),
            level: self.faults.unwrap_or(Level::None),
            operations: self.operations.unwrap_or(0),
        };
        let drawn = Scenario::drawn(self.seed, &wanted);
        let mut settings = Settings::new(self.seed, self.nodes, quorum, legs);
        settings.zones = self.zones.max(1);
        settings.buckets = buckets(quorum, self.nodes, self.mixed, settings.sizes.siblings_max);
        settings.keys = self.keys.max(1);
        settings.commit = self.commit.into();
        settings.timeout_us = (self.timeout_ms * 1_000.0) as u64;
        let (keys, buckets) = (settings.keys, settings.buckets.len());
        let mut steps = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            if step.bucket as usize >= buckets {
                return out_of_range("bucket", step.bucket, format!("0 to {}", buckets - 1));
            }
            if step.key >= keys {
                return out_of_range("key", step.key, format!("0 to {}", keys - 1));
            }
            steps.push(Step {
                at: time(step.at_ms),
                client: step.client,
                node: self.node(step.node)?,
                key: step.bucket * keys + step.key,
                operation: step.operation,
            });
        }
        steps.sort_by_key(|step| step.at);
        let mut faults = Vec::with_capacity(self.written_faults.len());
        for fault in &self.written_faults {
            faults.push(Fault {
                at: time(fault.at_ms),
                kind: fault.kind,
                node: self.node(fault.node)?,
                lasts: time(fault.lasts_ms),
                detail: fault.detail,
            });
        }
        Ok(Scenario {
            steps: if self.operations.is_some() { drawn.steps } else { Steps::Written(steps) },
            faults: if self.faults.is_some() { drawn.faults } else { faults },
            settings: if self.operations.is_some() { drawn.settings } else { settings },
        })
    }

    fn node(&self, number: u32) -> Result<u32, FileError> {
        match number.checked_sub(1).filter(|node| (*node as usize) < self.nodes) {
            Some(node) => Ok(node),
            None => out_of_range("node", number, format!("1 to {}", self.nodes)),
        }
    }

    /// Writes a scenario down; `latency` names its delays.
    #[must_use]
    pub fn of(scenario: &Scenario, latency: &str) -> Self {
        let settings = &scenario.settings;
        let Quorum { n, r, w } = settings.quorum;
        let fault = |fault: &Fault| FileFault {
            at_ms: ms(fault.at),
            kind: fault.kind,
            node: fault.node + 1,
            lasts_ms: ms(fault.lasts),
            detail: fault.detail,
        };
        let step = |step: Step| FileStep {
            at_ms: ms(step.at),
            client: step.client,
            node: step.node + 1,
            bucket: step.key / settings.keys,
            key: step.key % settings.keys,
            operation: step.operation,
        };
        Self {
            seed: settings.seed,
            nodes: settings.nodes,
            zones: settings.zones,
            quorum: format!("{n},{r},{w}"),
            latency: latency.to_owned(),
            mixed: settings.buckets.len() > 1,
            keys: settings.keys,
            commit: settings.commit.into(),
            timeout_ms: settings.timeout_us as f64 / 1_000.0,
            operations: None,
            faults: None,
            written_faults: scenario.faults.iter().map(fault).collect(),
            steps: scenario.steps().map(step).collect(),
        }
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        // Numbers, text and lists of tables always have a TOML form.
        toml::to_string(self).unwrap_or_default()
    }
}

/// To the microsecond, which is how fine drawn times are.
fn time(ms: f64) -> Time {
    (ms.max(0.0) * 1_000.0).round() as Time * MICROS
}

fn ms(time: Time) -> f64 {
    (time / MICROS) as f64 / 1_000.0
}

impl From<CommitName> for Commit {
    fn from(name: CommitName) -> Self {
        match name {
            CommitName::Fsync => Self::Fsync,
            CommitName::Interval => Self::Interval,
            CommitName::Os => Self::Os,
        }
    }
}

impl From<Commit> for CommitName {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Fsync => Self::Fsync,
            Commit::Interval => Self::Interval,
            Commit::Os => Self::Os,
        }
    }
}
