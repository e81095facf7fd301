//! Listing the keys of a bucket, in byte order.
//!
//! ```text
//!  who is asked ──PageRequest──> every member, itself too: list_page merges its partitions' ranges
//!               <───KeyPage───── its keys in order, each with its state but no value, and how far it speaks
//!  Listing merges the pages as far as all of them speak; a key is listed if its homes' states, joined, show a value
//! ```
//!
//! Keys are spread over all partitions, so a page of a bucket is a merge over all of them, and a deleted key is
//! known as such only from its states. A key counts once as many of its homes as the bucket's R have spoken; with R
//! + W > N a write acknowledged before the listing began is among what they say.
//!
//! A page is no snapshot. A key that lives from the beginning of a listing to its end is listed once; one that was
//! written, deleted or expired meanwhile may be or not. No key comes twice, and none out of order.

mod merge;
mod page;
mod token;

use bytes::Bytes;

use super::causality::Object;
use super::ids::{BucketName, Key, NodeId};
use super::message::Refusal;
use super::time::Hlc;

pub use merge::{Listing, Next};
pub use page::{ListHost, ListedRecord, list_page};
pub use token::{InvalidContinuation, KEY_BYTES_MAX, just_before};

/// Which keys: those of `bucket` that start with `prefix` and are greater than `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The bucket.
    pub bucket: BucketName,
    /// What the keys start with.
    pub prefix: Bytes,
    /// What the keys are greater than; empty, which no key is, from the first.
    pub after: Bytes,
}

/// What a node is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Which keys.
    pub range: KeyRange,
    /// The bucket's N, as the asker knows it: it says whose homes are meant.
    pub n: u8,
    /// How many keys a page holds at the most.
    pub max_keys: u32,
    /// How many bytes of keys and states a page holds, about; a page holds at least one key, if there is one.
    pub max_bytes: u32,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys in order, each with its state but no value; none where its record is damaged.
    pub entries: Vec<(Key, Option<Object>)>,
    /// The last key that the page speaks for; none if it speaks for all to the end of the range.
    pub through: Option<Key>,
}

/// A key, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub key: Key,
    /// When its newest version was written.
    pub newest: Hlc,
    /// How many versions a reader is shown.
    pub versions: usize,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReply {
    /// The keys, in order.
    pub keys: Vec<ListedKey>,
    /// What the next page's keys are greater than; none at the end.
    pub more_after: Option<Bytes>,
}

/// Why keys were not listed. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The bucket's N is greater than the number of nodes.
    #[error("the bucket has n = {n}, and the cluster has {members} nodes")]
    TooFewMembers {
        /// The bucket's N.
        n: u8,
        /// Nodes in the cluster.
        members: u16,
    },
    /// For some partitions fewer homes than R can be had.
    #[error("{lacking} of {partitions} partitions lack the answers of {needed} homes")]
    Lacking {
        /// Partitions that lack some.
        lacking: u32,
        /// Partitions there are.
        partitions: u32,
        /// The bucket's R.
        needed: u8,
        /// Why nodes did not answer.
        refusals: Vec<(NodeId, Refusal)>,
    },
    /// The same, when the deadline passed.
    #[error(
        "the deadline passed while {lacking} of {partitions} partitions lacked the answers of {needed} homes"
    )]
    Deadline {
        /// Partitions that lacked some.
        lacking: u32,
        /// Partitions there are.
        partitions: u32,
        /// The bucket's R.
        needed: u8,
    },
    /// The node has as many listings in hand as it may.
    #[error("this node is at its limit of listings")]
    Overloaded,
    /// The node is stopping or not ready.
    #[error("this node does not serve: {0}")]
    NotServing(Refusal),
}
