//! Listing the keys of a bucket, in byte order.
//!
//! ```text
//!  who is asked ──PageRequest────> every member, itself too: list_page merges its partitions' ranges
//!               <────KeyPage────── the keys that may live, in order, each with its state but no value, and how far
//!                                  the page speaks
//!               ──StatesRequest──> replicas whose pages left out a key that another page has
//!               <────KeyPage────── their states of these keys, dead or not
//!  Listing joins the states as far as R replicas of each partition speak; a key is listed if they show a value
//! ```
//!
//! Keys are spread over all partitions, so a page of a bucket is a merge over all of them, and a deleted key is
//! known as such only from its states. A key counts once as many of its replicas as the bucket's R have spoken; with
//! R + W > N a write acknowledged before the listing began is among what they say.
//!
//! # The dead
//!
//! A state is *dead* if none of its versions is a value that has not expired. Joining takes versions away and adds
//! none, so a key of which every replica holds a dead state is not listed, and none of these states has to travel.
//! Only where another replica holds a state that is not dead, a dead one may hide it, and is asked for. So a million
//! deleted keys cost a scan on each node, and hardly anything on the way.
//!
//! # Time
//!
//! Each part is bounded, however many keys are dead: a page by the records that it looks at and by its time
//! ([`page_ends`]), a round by a share of what is left ([`round_ends`]). A page that looked once into each partition
//! speaks for at least one key more than the last, so every round goes on by something. When the time is nearly over
//! the client gets what there is, perhaps no key at all, and where to go on.
//!
//! A page is no snapshot. A key that lives from the beginning of a listing to its end is listed once; one that was
//! written, deleted or expired meanwhile may be or not. No key comes twice, and none out of order.

mod merge;
mod page;
mod range;
mod round;
mod source;
mod time;

use bytes::Bytes;

use super::causality::Object;
use super::ids::{BucketName, Key, NodeId};
use super::message::Refusal;
use super::time::{Hlc, WallMicros};

pub use merge::{ListTimes, Listing, Next};
pub use page::{ListHost, list_page, list_states};
pub use range::{KEY_BYTES_MAX, just_before};
pub use source::{LOOKS_MAX, ReadRecord};
pub use time::{PageQueue, page_ends, round_ends};

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

/// The keys of a range that may live: those whose states are not dead, and those whose records are damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Which keys.
    pub range: KeyRange,
    /// The bucket's N, as the asker knows it: it says whose replicas are meant.
    pub n: u8,
    /// The asker's wall clock when the listing began: what has expired by then is dead.
    pub now: WallMicros,
    /// How many keys a page holds at the most.
    pub max_keys: u32,
    /// How many bytes of keys and states a page holds, about; a page holds at least one key, if there is one.
    pub max_bytes: u32,
}

/// The states of some keys, dead or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatesRequest {
    /// The bucket.
    pub bucket: BucketName,
    /// The bucket's N, as the asker knows it.
    pub n: u8,
    /// The keys, in order.
    pub keys: Vec<Key>,
    /// How many bytes of keys and states an answer holds, about; it speaks for at least one key.
    pub max_bytes: u32,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys in order, each with its state but no value; none where its record is damaged.
    pub entries: Vec<(Key, Option<Object>)>,
    /// The last key that the page speaks for, with an entry or without; none if it speaks for all that was asked.
    pub through: Option<Key>,
}

impl KeyPage {
    /// Whether the page speaks for `key`.
    #[must_use]
    pub fn speaks_for(&self, key: &Key) -> bool {
        self.through.as_ref().is_none_or(|through| key <= through)
    }
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
