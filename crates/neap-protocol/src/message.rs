//! What nodes say to each other, as values. How it looks on the wire is the transport's affair.

use crate::bounds::Overfull;
use crate::bucket::{BlindWrite, BucketSettings, SettingsVersion};
use crate::causality::{Answered, Body, CausalContext, Intent, Mode, Object, Value};
use crate::ids::{BucketName, Dot, Epoch, Key, TraceContext, WriteId};
use crate::listing::{KeyPage, PageRequest, StatesRequest};
use crate::operation::{OperationError, Write, WriteBody, WriteReply};
use crate::sli::Path;
use crate::staleness::{AppliedAt, Digest};
use crate::time::{Hlc, WallMicros};

/// The key that a request is about, with the settings version that its sender goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// The version of the bucket's settings that the sender goes by.
    pub settings: SettingsVersion,
}

/// A write that the coordinator's own replica carries out in one atomic step. Never crosses a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinate {
    /// What to write. The replica fills in dot and HLC.
    pub write: Write,
    /// The W in force.
    pub w: u8,
    /// What a write without context replaces.
    pub blind: BlindWrite,
    /// The write's id, drawn by the coordinator where the client gave none.
    pub write_id: WriteId,
    /// When the value expires, if it does.
    pub expires_at: Option<WallMicros>,
    /// The trace that the write belongs to: the driver of the coordinator knows it, not the coordinator.
    pub trace: Option<TraceContext>,
}

/// What a coordinator asks of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaRequest {
    /// Merge this state, which comes by this way, into what is held, and say so when it is as durable as
    /// `storage.commit` asks.
    Apply(Object, Via),
    /// Send what is held.
    Fetch,
    /// The same, though it may lack what was too large to be sent there: for whoever is promised no more.
    FetchAsIs,
    /// Say which states the key was in lately: for the verdict on a read.
    Probe,
}

/// By which way a state comes to a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// From the coordinator of this version, which asks when the home came to have it.
    Write(Dot),
    /// From a read that found the home behind.
    ReadRepair,
    /// With what the home pulls from others, or instead of a damaged record.
    Transfer,
}

impl Via {
    /// Its name among the paths of convergence.
    #[must_use]
    pub fn path(self) -> Path {
        match self {
            Self::Write(_) => Path::Direct,
            Self::ReadRepair => Path::ReadRepair,
            Self::Transfer => Path::Transfer,
        }
    }
}

/// What a replica answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaReply {
    /// The state was merged and is durable. `siblings` counts the versions that live now.
    Applied {
        /// Live versions after the merge.
        siblings: u16,
        /// When this home came to have it.
        when: AppliedAt,
    },
    /// What is held; none if nothing ever was.
    Fetched(Option<Object>),
    /// The states the key was in lately.
    Probed(Box<Digest>),
    /// Not done.
    Refused(Refusal),
}

/// Why a replica, or the way to it, did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{}", self.name())]
pub enum Refusal {
    /// The node is no home of the key in its ring. Nothing changed.
    WrongRing,
    /// The home has not yet pulled what it may lack, so it does not count towards R. Nothing changed.
    Incomplete,
    /// The node's identity is not yet confirmed by a majority of the members, or was refused by one, so it
    /// answers for nothing: its disk may be a backup or a copy. Nothing changed.
    Unconfirmed,
    /// The stored record of this key is damaged. Nothing changed; a repair heals it.
    Damaged,
    /// The object is larger than a message may be, so that it cannot be sent. Nothing changed. It can be read at a
    /// replica that holds it, with R = 1, and made smaller by a write with the context of that read.
    TooLargeToSend,
    /// What this replica should hold of the key was too large to be sent to it, so it does not count towards R.
    /// Nothing changed; it counts again once it has seen what it was left without.
    LeftOut,
    /// The disk is full, or so nearly that nothing is written. Nothing changed.
    DiskFull,
    /// A queue is at its bound. Nothing changed.
    Overloaded,
    /// The sender goes by newer bucket settings, which could not be fetched in time. Nothing changed.
    SettingsBehind,
    /// The deadline had passed on arrival. Nothing changed.
    Deadline,
    /// The sender's clock is further ahead than `clock.max_skew`. Nothing changed.
    ClockSkew,
    /// The node is stopping. Nothing changed.
    Draining,
    /// Nothing was sent: no connection, or its bounds were reached. Nothing changed.
    NotSent,
    /// Nothing was sent: the node is known to be down, as no connection to it stands and the last dial failed. Nothing
    /// changed.
    Down,
    /// The request was sent and no answer came before the connection broke or the deadline passed. Whether
    /// anything changed is unknown.
    NoAnswer,
    /// The store failed in another way; the node's log says how. Whether anything changed is unknown.
    Storage,
}

impl Refusal {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongRing => "wrong_ring",
            Self::Incomplete => "incomplete",
            Self::Unconfirmed => "unconfirmed",
            Self::Damaged => "damaged",
            Self::TooLargeToSend => "too_large_to_send",
            Self::LeftOut => "left_out",
            Self::DiskFull => "disk_full",
            Self::Overloaded => "overloaded",
            Self::SettingsBehind => "settings_behind",
            Self::Deadline => "deadline",
            Self::ClockSkew => "clock_skew",
            Self::Draining => "draining",
            Self::NotSent => "not_sent",
            Self::Down => "down",
            Self::NoAnswer => "no_answer",
            Self::Storage => "storage_error",
        }
    }

    /// Whether it is certain that nothing changed at the replica.
    #[must_use]
    pub fn changed_nothing(self) -> bool {
        !matches!(self, Self::NoAnswer | Self::Storage)
    }
}

/// What the other homes of a key hold, for a home whose own record is damaged or lacks something. Never crosses a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// What those that answered hold, joined.
    pub object: Object,
    /// Whether there is nothing more to be had: all of them answered, or have nothing that can be read.
    pub everything: bool,
}

/// What the coordinator's own replica answers to [`Coordinate`], before the write is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinateReply {
    /// Stamped and applied. `object` is the state to send to the other homes; the acknowledgement follows
    /// as [`ReplicaReply::Applied`] once it is durable.
    Stamped {
        /// The whole object after the write.
        object: Object,
        /// What the client is told.
        answered: Answered,
        /// Whether this write had been carried out before and is only answered again.
        again: bool,
    },
    /// `If-None-Match: *` was given and a value is there. Nothing changed.
    Exists,
    /// The object would outgrow a bound. Nothing changed.
    Overfull(Overfull),
    /// Not done; nothing changed.
    Refused(Refusal),
}

/// What one node asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerRequest {
    /// Asks a replica.
    Replica(Target, ReplicaRequest),
    /// Hands a write to a home of its key, with the id drawn for it; the home does not hand it on.
    Forward(Write, WriteId, SettingsVersion),
    /// Asks for the settings of one bucket.
    FetchSettings(BucketName),
    /// Hands over settings, to be kept if they are newer than what is held.
    StoreSettings(BucketName, BucketSettings, SettingsVersion),
    /// Asks for all settings that were ever set.
    ListSettings,
    /// Asks whether the node holds any object of a bucket.
    HoldsBucket(BucketName),
    /// Asks what the node remembers of the asker's data directories.
    RecallDirectories,
    /// Asks what the node knows of the objectives ([`crate::slo::SloSummary`]).
    SloSummary,
    /// Asks for the next objects whose homes include the asker, in storage order.
    Scan {
        /// Where the last page ended.
        after: Option<ScanCursor>,
        /// How many bytes of objects a page holds at the most; a page holds at least one object.
        max_bytes: u32,
    },
    /// Asks for keys of a bucket that the node is a replica of.
    ListKeys(PageRequest),
    /// Asks for the states of keys that the node is a replica of.
    ListStates(StatesRequest),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAnswer {
    /// To [`PeerRequest::Replica`].
    Replica(ReplicaReply),
    /// To [`PeerRequest::Forward`].
    Forwarded(Box<Result<WriteReply, OperationError>>),
    /// To [`PeerRequest::FetchSettings`] and [`PeerRequest::ListSettings`].
    Settings(Vec<(BucketName, BucketSettings, SettingsVersion)>),
    /// To [`PeerRequest::StoreSettings`]: they, or newer ones, are durable.
    SettingsStored,
    /// To [`PeerRequest::HoldsBucket`].
    HoldsBucket(bool),
    /// To [`PeerRequest::RecallDirectories`].
    Recalled(Recall),
    /// To [`PeerRequest::SloSummary`]: the summary's bytes.
    SloSummary(bytes::Bytes),
    /// To [`PeerRequest::Scan`].
    Scanned(ScanPage),
    /// To [`PeerRequest::ListKeys`] and [`PeerRequest::ListStates`].
    KeysListed(KeyPage),
    /// The node did not take the request.
    Refused(Refusal),
}

/// What a node remembers of another's data directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recall {
    /// Another than the one that asks.
    Another,
    /// None but the one that asks.
    NoOther,
    /// None but the one that asks; but what it remembers may be gone with its own last disk.
    Unsure,
}

/// A place in a node's storage order. Opaque to all but the node that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanCursor(pub bytes::Bytes);

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// The objects.
    pub objects: Vec<(BucketName, Key, Object)>,
    /// Objects of which the page does not hold all: they are too large to be sent, or were to the answering node.
    pub left_out: Vec<LeftOut>,
    /// Where the next page begins; none at the end.
    pub next: Option<ScanCursor>,
    /// Whether the answering node may itself lack writes: its directory is new and it has not merged yet.
    pub incomplete: bool,
}

/// An object of which a page does not hold all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// All that it has seen: whoever has seen that lacks nothing of it.
    pub seen: CausalContext,
}

/// The ring that a sender goes by: data frames carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingStamp {
    /// The membership record's number.
    pub epoch: Epoch,
}

/// Puts an intent together from what the coordinator asked and the replica stamped.
#[must_use]
pub fn intent_of(coordinate: Coordinate, dot: Dot, hlc: Hlc, created: bool) -> Intent {
    let Coordinate { write, w, blind, write_id, expires_at, trace: _ } = coordinate;
    let body = match write.body {
        WriteBody::Put { content_type, bytes } => Body::Value(Value { content_type, bytes, expires_at }),
        WriteBody::Delete => Body::Tombstone,
    };
    let mode = match write.context {
        Some(context) => Mode::Context(context),
        None => Mode::Blind(blind),
    };
    Intent { dot, hlc, w, write_id, named: write.write_id.is_some(), created, mode, body }
}
