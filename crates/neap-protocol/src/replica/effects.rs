//! What a replica wants done, and what it counts.

use crate::bucket::Resolution;
use crate::ids::{BucketName, Key, NodeId};
use crate::message::{CoordinateReply, ReplicaReply};

/// What a replica wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaEffect<W> {
    /// Tell this node's coordinator what became of a [`Coordinate`](crate::message::Coordinate).
    Coordinated {
        /// Handed back.
        tag: u64,
        /// What.
        reply: Box<CoordinateReply>,
    },
    /// Answer a request.
    Answer {
        /// The way back.
        to: W,
        /// What.
        reply: ReplicaReply,
    },
    /// Have the settings of a bucket fetched from a peer that goes by newer ones. Those that wait for them are
    /// looked at again by [`Replica::unpark`](super::Replica::unpark).
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer.
        from: NodeId,
    },
    /// The record of a key is damaged. What the other homes hold is to be merged and handed to [`Replica::heal`](super::Replica::heal), and what
    /// is pulled meanwhile is to be pulled again.
    Damaged {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// A key was asked for of which this home was left without something. What the other homes hold is to be merged and
    /// handed to [`Replica::heal`](super::Replica::heal).
    Lacking {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// An object was asked for that is too large to be sent.
    TooLarge(LargeObject),
    /// A state that came was merged into what was held, and changed it.
    Merged {
        /// The bucket.
        bucket: BucketName,
        /// Whether it left more than one live version.
        conflict: bool,
        /// How the bucket resolves them.
        resolution: Resolution,
    },
    /// Something worth counting happened.
    Count(ReplicaCount),
}

/// An object that no message can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeObject {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// The bytes that it would take.
    pub bytes: usize,
}

/// What a replica counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplicaCount {
    /// A request of a peer came when its deadline had passed.
    ExpiredOnArrival,
    /// A request was refused because this node is no home of the key.
    WrongRing,
    /// A frame was refused because its sender's clock was too far ahead.
    ClockSkewRefused,
    /// A damaged record was replaced by what another home holds.
    DamagedHealed,
    /// What this home was left without was taken from others.
    LeftOutHealed,
    /// A write was refused because the object would have outgrown its bytes.
    ObjectFull,
    /// A write was refused because it would have left too many versions.
    TooManySiblings,
    /// A write left an object beyond three quarters of the bytes that it may have.
    NearlyFull,
    /// A write left more than three quarters of the versions that there may be.
    ManySiblings,
    /// A request that would have waited for newer bucket settings was refused.
    SettingsWaitRefused,
}

impl ReplicaCount {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ExpiredOnArrival => "expired_on_arrival",
            Self::WrongRing => "wrong_ring",
            Self::ClockSkewRefused => "clock_skew_refused",
            Self::DamagedHealed => "damaged_healed",
            Self::LeftOutHealed => "left_out_healed",
            Self::ObjectFull => "object_full_refused",
            Self::TooManySiblings => "too_many_siblings_refused",
            Self::NearlyFull => "objects_nearly_full",
            Self::ManySiblings => "objects_many_siblings",
            Self::SettingsWaitRefused => "settings_waits_refused",
        }
    }
}
