//! What clients do: reads, writes with and without a context, retries, deletes, and changes of bucket settings.

use serde::{Deserialize, Serialize};

use super::queue::{MICROS, SECONDS, Time};
use super::random::Random;
use super::truth::KeyIndex;
use neap_protocol::admission::BucketWeight;
use neap_protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution};
use neap_protocol::quorum::Quorum;

/// What one step of the workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op", deny_unknown_fields)]
pub enum Operation {
    /// Reads a key.
    Get {
        /// The R of the request, where it chooses one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        r: Option<u8>,
        /// Whether replicas answer that lack what could not be sent to them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        as_is: bool,
    },
    /// Writes a value.
    Put {
        /// Whether the client sends the context that it last saw of the key, if it saw any.
        #[serde(default)]
        context: bool,
        /// Whether it names the write.
        #[serde(default)]
        named: bool,
        /// Whether it creates only (`If-None-Match: *`).
        #[serde(default)]
        absent: bool,
        /// The W of the request, where it chooses one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        w: Option<u8>,
    },
    /// Deletes a key.
    Delete {
        /// As in `put`.
        #[serde(default)]
        context: bool,
        /// As in `put`.
        #[serde(default)]
        named: bool,
    },
    /// Sends the client's last write to the key again, as it was.
    Retry,
    /// Sets the properties of the key's bucket, other than N.
    Settings {
        /// R.
        r: u8,
        /// W.
        w: u8,
        /// The lowest W that a request may choose.
        w_min: u8,
    },
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// Which client.
    pub client: u32,
    /// The node that it asks; another if that one is down.
    pub node: u32,
    /// The key.
    pub key: KeyIndex,
    /// What.
    pub operation: Operation,
}

/// A bucket of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its settings; those of the first bucket are the cluster's defaults.
    pub settings: BucketSettings,
}

/// The buckets of a world whose defaults are `quorum`: as many kinds as the nodes allow, unless only one is wanted. Writes
/// to them leave `siblings_max` versions at the most.
#[must_use]
pub fn buckets(quorum: Quorum, nodes: usize, mixed: bool, siblings_max: u16) -> Vec<Bucket> {
    let plain = BucketSettings {
        quorum,
        w_min: quorum.w,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max,
        weight: BucketWeight::ONE,
        sloppy: false,
        read_repair: ReadRepair::Blocking,
        ttl_us: None,
    };
    let mut buckets = vec![Bucket { settings: plain.clone() }];
    if !mixed {
        return buckets;
    }
    let mut add = |n: u8, r: u8, w: u8, change: fn(&mut BucketSettings)| {
        if usize::from(n) <= nodes {
            let mut settings = BucketSettings { quorum: Quorum { n, r, w }, w_min: w, ..plain.clone() };
            change(&mut settings);
            buckets.push(Bucket { settings });
        }
    };
    add(3, 1, 1, |settings| settings.read_repair = ReadRepair::Async);
    add(3, 2, 2, |settings| settings.blind_write = BlindWrite::Sibling);
    add(5, 3, 3, |settings| settings.resolution = Resolution::Lww);
    add(3, 3, 2, |settings| {
        settings.w_min = 1;
        settings.read_repair = ReadRepair::Off;
    });
    add(2, 1, 2, |settings| settings.resolution = Resolution::Lww);
    add(1, 1, 1, |_| {});
    buckets
}

/// How much of what is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Steps in all.
    pub operations: u64,
    /// When the first may come.
    pub from: Time,
    /// When the last may come.
    pub until: Time,
    /// Clients.
    pub clients: u32,
    /// Nodes that are asked.
    pub nodes: u32,
    /// N of each bucket.
    pub buckets: Vec<Quorum>,
    /// Keys of each bucket.
    pub keys: u32,
    /// The share of reads.
    pub reads: f64,
    /// Whether clients do all that clients can do: name writes, send contexts, try again, delete, create, choose R and W,
    /// and change settings. Else they read, and overwrite.
    pub everything: bool,
}

/// Draws steps, one after the other.
#[derive(Debug)]
pub struct Workload {
    load: Load,
    random: Random,
    left: u64,
    at: Time,
    /// Running totals of how popular each key of a bucket is.
    popularity: Vec<f64>,
}

/// The exponent of the zipfian choice of keys, as YCSB has it (Cooper et al., 2010, section 4.1).
const ZIPF: f64 = 0.99;

impl Workload {
    /// What `seed` draws of `load`.
    #[must_use]
    pub fn new(seed: u64, load: Load) -> Self {
        let mut total = 0.0;
        let weights = (1..=load.keys).map(|rank| {
            total += f64::from(rank).powf(-ZIPF);
            total
        });
        let popularity = weights.collect();
        let (left, at) = (load.operations, load.from);
        Self { load, random: Random::new(seed, "workload"), left, at, popularity }
    }

    fn key_of(&mut self, bucket: usize) -> KeyIndex {
        let total = self.popularity.last().copied().unwrap_or(1.0);
        let pick = self.random.uniform() * total;
        let rank = self.popularity.partition_point(|so_far| *so_far <= pick);
        let keys = self.load.keys as usize;
        KeyIndex::try_from(bucket * keys + rank.min(keys.saturating_sub(1))).unwrap_or(0)
    }

    fn operation(&mut self, quorum: Quorum) -> Operation {
        let random = &mut self.random;
        let Quorum { n, r, w } = quorum;
        if !self.load.everything {
            let plain = Operation::Put { context: false, named: false, absent: false, w: None };
            return if random.chance(self.load.reads) {
                Operation::Get { r: None, as_is: false }
            } else {
                plain
            };
        }
        if random.chance(self.load.reads) {
            let r = random.chance(0.3).then(|| random.between(1, n.into()) as u8);
            return Operation::Get { r, as_is: false };
        }
        match random.below(100) {
            0..10 => Operation::Retry,
            10..20 => Operation::Delete { context: random.chance(0.6), named: random.chance(0.5) },
            20..24 => Operation::Put { context: false, named: random.chance(0.5), absent: true, w: None },
            24 => {
                let w_min = random.between(1, w.into()) as u8;
                Operation::Settings { r, w, w_min }
            }
            _ => {
                let w = random.chance(0.2).then(|| random.between(w.into(), n.into()) as u8);
                Operation::Put { context: random.chance(0.5), named: random.chance(0.4), absent: false, w }
            }
        }
    }
}

impl Iterator for Workload {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let mean = (self.load.until.saturating_sub(self.load.from)) as f64 / self.load.operations as f64;
        // To the microsecond, so that a step can be written down.
        self.at = (self.at + self.random.exponential(mean) as Time) / MICROS * MICROS;
        let bucket = self.random.index(self.load.buckets.len());
        let quorum = self.load.buckets.get(bucket).copied().unwrap_or(Quorum { n: 1, r: 1, w: 1 });
        Some(Step {
            at: self.at,
            client: self.random.below(self.load.clients.into()) as u32,
            node: self.random.below(self.load.nodes.into()) as u32,
            key: self.key_of(bucket),
            operation: self.operation(quorum),
        })
    }
}

/// How long a run of so many operations lasts at so many a second.
#[must_use]
pub fn lasts(operations: u64, per_second: u64) -> Time {
    operations.saturating_mul(SECONDS) / per_second.max(1)
}
