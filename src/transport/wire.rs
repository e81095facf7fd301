//! Messages as they look on the wire: types of their own, so that the domain may change and the wire not.
//!
//! Names are checked and numbers narrowed when a message is read; what does not fit is refused whole.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use crate::protocol::causality::{Answered, Body, CausalContext, Object, Superseded, Value, Version};
use crate::protocol::ids::{
    ActorId, BucketName, DirectoryId, Dot, InvalidName, Key, NodeId, StartNumber, WriteId,
};
use crate::protocol::message::{
    PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, ScanCursor, ScanPage, Target,
};
use crate::protocol::operation::{OperationError, Outcome, Participation, Write, WriteBody, WriteReply};
use crate::protocol::quorum::{Quorum, QuorumError};
use crate::protocol::time::{Hlc, WallMicros};

type WireActor = (u64, u32);
type WireDot = (u64, u32, u64);

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireRequest {
    /// [`ReplicaRequest::Apply`].
    Apply(WireTarget, WireObject),
    /// [`ReplicaRequest::Fetch`].
    Fetch(WireTarget),
    /// [`PeerRequest::Forward`].
    Forward(Box<WireWrite>, u128, WireSettingsVersion),
    /// [`PeerRequest::FetchSettings`].
    FetchSettings(String),
    /// [`PeerRequest::StoreSettings`].
    StoreSettings(WireBucket),
    /// [`PeerRequest::ListSettings`].
    ListSettings,
    /// [`PeerRequest::HoldsBucket`].
    HoldsBucket(String),
    /// [`PeerRequest::Scan`].
    Scan {
        /// Where the last page ended.
        after: Option<Bytes>,
        /// The bound of a page.
        max_bytes: u32,
    },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireAnswer {
    /// [`ReplicaReply::Applied`].
    Applied(u16),
    /// [`ReplicaReply::Fetched`].
    Fetched(Option<WireObject>),
    /// [`ReplicaReply::Refused`].
    ReplicaRefused(WireRefusal),
    /// [`PeerAnswer::Forwarded`].
    Forwarded(Box<Result<WireWriteReply, WireError>>),
    /// [`PeerAnswer::Settings`].
    Settings(Vec<WireBucket>),
    /// [`PeerAnswer::SettingsStored`].
    SettingsStored,
    /// [`PeerAnswer::HoldsBucket`].
    HoldsBucket(bool),
    /// [`PeerAnswer::Scanned`].
    Scanned {
        /// Bucket, key and object.
        objects: Vec<(String, Bytes, WireObject)>,
        /// Where the next page begins.
        next: Option<Bytes>,
        /// [`ScanPage::incomplete`].
        incomplete: bool,
    },
    /// [`PeerAnswer::Refused`].
    Refused(WireRefusal),
}

/// [`Target`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireTarget {
    bucket: String,
    key: Bytes,
    settings: WireSettingsVersion,
}

/// [`SettingsVersion`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireSettingsVersion(u64, Option<String>);

/// A bucket with its settings.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireBucket {
    bucket: String,
    nrw: (u8, u8, u8),
    w_min: u8,
    lww: bool,
    blind_sibling: bool,
    sloppy: bool,
    read_repair: u8,
    ttl_us: Option<u64>,
    version: WireSettingsVersion,
}

/// [`Object`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireObject {
    context: WireContext,
    versions: Vec<WireVersion>,
    superseded: Vec<WireSuperseded>,
}

/// [`CausalContext`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireContext {
    vector: Vec<(WireActor, u64)>,
    cloud: Vec<WireDot>,
}

/// [`Version`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireVersion {
    dot: WireDot,
    hlc: u64,
    w: u8,
    write_id: u128,
    named: bool,
    past: WireContext,
    gapless: bool,
    value: Option<WireValue>,
}

/// [`Value`]; a tombstone has none.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireValue {
    content_type: Option<String>,
    bytes: Bytes,
    expires_at: Option<u64>,
}

/// [`Superseded`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireSuperseded {
    write_id: u128,
    dot: WireDot,
    hlc: u64,
    past: WireContext,
    gapless: bool,
    at: u64,
}

/// [`Write`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireWrite {
    bucket: String,
    key: Bytes,
    /// Content type and bytes; none deletes.
    put: Option<(Option<String>, Bytes)>,
    context: Option<WireContext>,
    write_id: Option<u128>,
    w: Option<u8>,
    ttl_us: Option<u64>,
    only_if_absent: bool,
}

/// [`WriteReply`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireWriteReply {
    dot: WireDot,
    hlc: u64,
    context: WireContext,
    write_id: u128,
    created: bool,
    sibling: bool,
    acked_by: Vec<String>,
    required: u8,
    total: u8,
}

/// [`OperationError`].
#[derive(Debug, Serialize, Deserialize)]
pub enum WireError {
    /// [`QuorumError::N`].
    N(u8),
    /// [`QuorumError::R`].
    R(u8, u8),
    /// [`QuorumError::W`].
    W(u8, u8, u8),
    /// [`QuorumError::WMin`].
    WMin(u8, u8),
    /// [`OperationError::TooFewMembers`].
    TooFewMembers(u8, u16),
    /// [`OperationError::NotReached`]: answered, needed, total, outcome, refusals.
    NotReached(u8, u8, u8, WireOutcome, Vec<(String, WireRefusal)>),
    /// [`OperationError::Deadline`]: answered, needed, total, outcome.
    Deadline(u8, u8, u8, WireOutcome),
    /// [`OperationError::Exists`].
    Exists,
    /// [`OperationError::Overloaded`].
    Overloaded,
    /// [`OperationError::NotServing`].
    NotServing(WireRefusal),
}

/// [`Outcome`].
#[derive(Debug, Serialize, Deserialize)]
pub enum WireOutcome {
    /// [`Outcome::NotApplied`].
    NotApplied,
    /// [`Outcome::Partial`].
    Partial(u8),
    /// [`Outcome::Unknown`].
    Unknown,
}

macro_rules! refusals {
    ($($name:ident),* $(,)?) => {
        /// [`Refusal`].
        #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each is the refusal of the same name")]
        pub enum WireRefusal {
            $($name,)*
        }

        impl From<Refusal> for WireRefusal {
            fn from(refusal: Refusal) -> Self {
                match refusal {
                    $(Refusal::$name => Self::$name,)*
                }
            }
        }

        impl From<WireRefusal> for Refusal {
            fn from(refusal: WireRefusal) -> Self {
                match refusal {
                    $(WireRefusal::$name => Self::$name,)*
                }
            }
        }
    };
}

refusals!(
    WrongRing,
    Incomplete,
    Unconfirmed,
    Damaged,
    DiskFull,
    Overloaded,
    SettingsBehind,
    Deadline,
    ClockSkew,
    Draining,
    NotSent,
    NoAnswer,
    Storage,
);

/// A message that was read and makes no sense. It is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireMeaning {
    /// A name is none.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// A number is outside its range.
    #[error("{what} {given} is not known")]
    Number {
        /// What it stands for.
        what: &'static str,
        /// What was given.
        given: u8,
    },
}

fn wire_dot(dot: Dot) -> WireDot {
    (dot.actor.directory.0, dot.actor.start.0, dot.counter)
}

fn dot_of((directory, start, counter): WireDot) -> Dot {
    Dot { actor: actor_of((directory, start)), counter }
}

fn actor_of((directory, start): WireActor) -> ActorId {
    ActorId { directory: DirectoryId(directory), start: StartNumber(start) }
}

fn wire_dots(dots: &[Dot]) -> Vec<WireDot> {
    dots.iter().copied().map(wire_dot).collect()
}

impl From<&CausalContext> for WireContext {
    fn from(context: &CausalContext) -> Self {
        let vector = context.vector().iter();
        let vector = vector.map(|&(actor, counter)| ((actor.directory.0, actor.start.0), counter)).collect();
        Self { vector, cloud: wire_dots(context.cloud()) }
    }
}

impl From<WireContext> for CausalContext {
    fn from(context: WireContext) -> Self {
        let vector = context.vector.into_iter().map(|(actor, counter)| (actor_of(actor), counter));
        Self::from_parts(vector, context.cloud.into_iter().map(dot_of))
    }
}

impl From<&Object> for WireObject {
    fn from(object: &Object) -> Self {
        let superseded = object.superseded().iter().map(|record| WireSuperseded {
            write_id: record.write_id.0,
            dot: wire_dot(record.dot),
            hlc: record.hlc.0,
            past: (&record.past).into(),
            gapless: record.gapless,
            at: record.at.0,
        });
        Self {
            context: object.context().into(),
            versions: object.versions().iter().map(WireVersion::from).collect(),
            superseded: superseded.collect(),
        }
    }
}

impl From<WireObject> for Object {
    fn from(object: WireObject) -> Self {
        let superseded = object.superseded.into_iter().map(|record| Superseded {
            write_id: WriteId(record.write_id),
            dot: dot_of(record.dot),
            hlc: Hlc(record.hlc),
            past: record.past.into(),
            gapless: record.gapless,
            at: Hlc(record.at),
        });
        let versions = object.versions.into_iter().map(Version::from);
        Self::from_parts(object.context.into(), versions.collect(), superseded.collect())
    }
}

impl From<&Version> for WireVersion {
    fn from(version: &Version) -> Self {
        let value = match &version.body {
            Body::Value(value) => Some(WireValue {
                content_type: value.content_type.clone(),
                bytes: value.bytes.clone(),
                expires_at: value.expires_at.map(|at| at.0),
            }),
            Body::Tombstone => None,
        };
        Self {
            dot: wire_dot(version.dot),
            hlc: version.hlc.0,
            w: version.w,
            write_id: version.write_id.0,
            named: version.named,
            past: (&version.past).into(),
            gapless: version.gapless,
            value,
        }
    }
}

impl From<WireVersion> for Version {
    fn from(version: WireVersion) -> Self {
        let body = match version.value {
            Some(WireValue { content_type, bytes, expires_at }) => {
                Body::Value(Value { content_type, bytes, expires_at: expires_at.map(WallMicros) })
            }
            None => Body::Tombstone,
        };
        Self {
            dot: dot_of(version.dot),
            hlc: Hlc(version.hlc),
            w: version.w,
            write_id: WriteId(version.write_id),
            named: version.named,
            past: version.past.into(),
            gapless: version.gapless,
            body,
        }
    }
}

impl From<&SettingsVersion> for WireSettingsVersion {
    fn from(version: &SettingsVersion) -> Self {
        Self(version.hlc.0, version.node.as_ref().map(|node| node.as_str().to_owned()))
    }
}

impl TryFrom<WireSettingsVersion> for SettingsVersion {
    type Error = WireMeaning;

    fn try_from(WireSettingsVersion(hlc, node): WireSettingsVersion) -> Result<Self, WireMeaning> {
        Ok(Self { hlc: Hlc(hlc), node: node.map(|node| NodeId::new(&node)).transpose()? })
    }
}

impl From<&Target> for WireTarget {
    fn from(target: &Target) -> Self {
        Self {
            bucket: target.bucket.as_str().to_owned(),
            key: Bytes::copy_from_slice(target.key.as_bytes()),
            settings: (&target.settings).into(),
        }
    }
}

impl TryFrom<WireTarget> for Target {
    type Error = WireMeaning;

    fn try_from(target: WireTarget) -> Result<Self, WireMeaning> {
        let bucket = BucketName::new(&target.bucket)?;
        Ok(Self { bucket, key: Key::new(target.key), settings: target.settings.try_into()? })
    }
}

fn wire_bucket(bucket: &BucketName, settings: &BucketSettings, version: &SettingsVersion) -> WireBucket {
    let Quorum { n, r, w } = settings.quorum;
    WireBucket {
        bucket: bucket.as_str().to_owned(),
        nrw: (n, r, w),
        w_min: settings.w_min,
        lww: settings.resolution == Resolution::Lww,
        blind_sibling: settings.blind_write == BlindWrite::Sibling,
        sloppy: settings.sloppy,
        read_repair: match settings.read_repair {
            ReadRepair::Blocking => 0,
            ReadRepair::Async => 1,
            ReadRepair::Off => 2,
        },
        ttl_us: settings.ttl_us,
        version: version.into(),
    }
}

fn bucket_of(wire: WireBucket) -> Result<(BucketName, BucketSettings, SettingsVersion), WireMeaning> {
    let (n, r, w) = wire.nrw;
    let settings = BucketSettings {
        quorum: Quorum { n, r, w },
        w_min: wire.w_min,
        resolution: if wire.lww { Resolution::Lww } else { Resolution::Siblings },
        blind_write: if wire.blind_sibling { BlindWrite::Sibling } else { BlindWrite::Overwrite },
        sloppy: wire.sloppy,
        read_repair: match wire.read_repair {
            0 => ReadRepair::Blocking,
            1 => ReadRepair::Async,
            2 => ReadRepair::Off,
            given => return Err(WireMeaning::Number { what: "read repair", given }),
        },
        ttl_us: wire.ttl_us,
    };
    Ok((BucketName::new(&wire.bucket)?, settings, wire.version.try_into()?))
}

impl From<&Write> for WireWrite {
    fn from(write: &Write) -> Self {
        let put = match &write.body {
            WriteBody::Put { content_type, bytes } => Some((content_type.clone(), bytes.clone())),
            WriteBody::Delete => None,
        };
        Self {
            bucket: write.bucket.as_str().to_owned(),
            key: Bytes::copy_from_slice(write.key.as_bytes()),
            put,
            context: write.context.as_ref().map(WireContext::from),
            write_id: write.write_id.map(|id| id.0),
            w: write.w,
            ttl_us: write.ttl_us,
            only_if_absent: write.only_if_absent,
        }
    }
}

impl TryFrom<WireWrite> for Write {
    type Error = WireMeaning;

    fn try_from(write: WireWrite) -> Result<Self, WireMeaning> {
        let body = match write.put {
            Some((content_type, bytes)) => WriteBody::Put { content_type, bytes },
            None => WriteBody::Delete,
        };
        Ok(Self {
            bucket: BucketName::new(&write.bucket)?,
            key: Key::new(write.key),
            body,
            context: write.context.map(CausalContext::from),
            write_id: write.write_id.map(WriteId),
            w: write.w,
            ttl_us: write.ttl_us,
            only_if_absent: write.only_if_absent,
        })
    }
}

impl From<&WriteReply> for WireWriteReply {
    fn from(reply: &WriteReply) -> Self {
        let Participation { acked_by, required, total } = &reply.participation;
        Self {
            dot: wire_dot(reply.answered.dot),
            hlc: reply.answered.hlc.0,
            context: (&reply.answered.context).into(),
            write_id: reply.write_id.0,
            created: reply.created,
            sibling: reply.sibling,
            acked_by: acked_by.iter().map(|node| node.as_str().to_owned()).collect(),
            required: *required,
            total: *total,
        }
    }
}

impl TryFrom<WireWriteReply> for WriteReply {
    type Error = WireMeaning;

    fn try_from(reply: WireWriteReply) -> Result<Self, WireMeaning> {
        let acked_by = reply.acked_by.iter().map(|node| NodeId::new(node)).collect::<Result<_, _>>()?;
        let (dot, hlc, context) = (dot_of(reply.dot), Hlc(reply.hlc), reply.context.into());
        Ok(Self {
            answered: Answered { dot, hlc, context },
            write_id: WriteId(reply.write_id),
            created: reply.created,
            sibling: reply.sibling,
            participation: Participation { acked_by, required: reply.required, total: reply.total },
        })
    }
}

impl From<Outcome> for WireOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::NotApplied => Self::NotApplied,
            Outcome::Partial { applied } => Self::Partial(applied),
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        match outcome {
            WireOutcome::NotApplied => Self::NotApplied,
            WireOutcome::Partial(applied) => Self::Partial { applied },
            WireOutcome::Unknown => Self::Unknown,
        }
    }
}

impl From<&OperationError> for WireError {
    fn from(error: &OperationError) -> Self {
        match error {
            OperationError::Quorum(QuorumError::N { given }) => Self::N(*given),
            OperationError::Quorum(QuorumError::R { given, n }) => Self::R(*given, *n),
            OperationError::Quorum(QuorumError::W { given, w_min, n }) => Self::W(*given, *w_min, *n),
            OperationError::Quorum(QuorumError::WMin { given, max }) => Self::WMin(*given, *max),
            OperationError::TooFewMembers { n, members } => Self::TooFewMembers(*n, *members),
            OperationError::NotReached { answered, needed, total, outcome, refusals } => {
                let refusals = refusals.iter().map(|(node, why)| (node.as_str().to_owned(), (*why).into()));
                Self::NotReached(*answered, *needed, *total, (*outcome).into(), refusals.collect())
            }
            OperationError::Deadline { answered, needed, total, outcome } => {
                Self::Deadline(*answered, *needed, *total, (*outcome).into())
            }
            OperationError::Exists => Self::Exists,
            OperationError::Overloaded => Self::Overloaded,
            OperationError::NotServing(refusal) => Self::NotServing((*refusal).into()),
        }
    }
}

impl TryFrom<WireError> for OperationError {
    type Error = WireMeaning;

    fn try_from(error: WireError) -> Result<Self, WireMeaning> {
        Ok(match error {
            WireError::N(given) => QuorumError::N { given }.into(),
            WireError::R(given, n) => QuorumError::R { given, n }.into(),
            WireError::W(given, w_min, n) => QuorumError::W { given, w_min, n }.into(),
            WireError::WMin(given, max) => QuorumError::WMin { given, max }.into(),
            WireError::TooFewMembers(n, members) => Self::TooFewMembers { n, members },
            WireError::NotReached(answered, needed, total, outcome, refusals) => {
                let refusals = refusals.into_iter().map(|(node, why)| Ok((NodeId::new(&node)?, why.into())));
                let refusals = refusals.collect::<Result<_, WireMeaning>>()?;
                Self::NotReached { answered, needed, total, outcome: outcome.into(), refusals }
            }
            WireError::Deadline(answered, needed, total, outcome) => {
                Self::Deadline { answered, needed, total, outcome: outcome.into() }
            }
            WireError::Exists => Self::Exists,
            WireError::Overloaded => Self::Overloaded,
            WireError::NotServing(refusal) => Self::NotServing(refusal.into()),
        })
    }
}

impl From<&PeerRequest> for WireRequest {
    fn from(request: &PeerRequest) -> Self {
        match request {
            PeerRequest::Replica(target, ReplicaRequest::Apply(object)) => {
                Self::Apply(target.into(), object.into())
            }
            PeerRequest::Replica(target, ReplicaRequest::Fetch) => Self::Fetch(target.into()),
            PeerRequest::Forward(write, write_id, version) => {
                Self::Forward(Box::new(write.into()), write_id.0, version.into())
            }
            PeerRequest::FetchSettings(bucket) => Self::FetchSettings(bucket.as_str().to_owned()),
            PeerRequest::StoreSettings(bucket, settings, version) => {
                Self::StoreSettings(wire_bucket(bucket, settings, version))
            }
            PeerRequest::ListSettings => Self::ListSettings,
            PeerRequest::HoldsBucket(bucket) => Self::HoldsBucket(bucket.as_str().to_owned()),
            PeerRequest::Scan { after, max_bytes } => {
                Self::Scan { after: after.as_ref().map(|cursor| cursor.0.clone()), max_bytes: *max_bytes }
            }
        }
    }
}

impl TryFrom<WireRequest> for PeerRequest {
    type Error = WireMeaning;

    fn try_from(request: WireRequest) -> Result<Self, WireMeaning> {
        Ok(match request {
            WireRequest::Apply(target, object) => {
                Self::Replica(target.try_into()?, ReplicaRequest::Apply(object.into()))
            }
            WireRequest::Fetch(target) => Self::Replica(target.try_into()?, ReplicaRequest::Fetch),
            WireRequest::Forward(write, write_id, version) => {
                Self::Forward((*write).try_into()?, WriteId(write_id), version.try_into()?)
            }
            WireRequest::FetchSettings(bucket) => Self::FetchSettings(BucketName::new(&bucket)?),
            WireRequest::StoreSettings(bucket) => {
                let (bucket, settings, version) = bucket_of(bucket)?;
                Self::StoreSettings(bucket, settings, version)
            }
            WireRequest::ListSettings => Self::ListSettings,
            WireRequest::HoldsBucket(bucket) => Self::HoldsBucket(BucketName::new(&bucket)?),
            WireRequest::Scan { after, max_bytes } => Self::Scan { after: after.map(ScanCursor), max_bytes },
        })
    }
}

impl From<&PeerAnswer> for WireAnswer {
    fn from(answer: &PeerAnswer) -> Self {
        match answer {
            PeerAnswer::Replica(ReplicaReply::Applied { siblings }) => Self::Applied(*siblings),
            PeerAnswer::Replica(ReplicaReply::Fetched(object)) => {
                Self::Fetched(object.as_ref().map(WireObject::from))
            }
            PeerAnswer::Replica(ReplicaReply::Refused(refusal)) => Self::ReplicaRefused((*refusal).into()),
            PeerAnswer::Forwarded(result) => Self::Forwarded(Box::new(match &**result {
                Ok(reply) => Ok(reply.into()),
                Err(error) => Err(error.into()),
            })),
            PeerAnswer::Settings(all) => {
                let all =
                    all.iter().map(|(bucket, settings, version)| wire_bucket(bucket, settings, version));
                Self::Settings(all.collect())
            }
            PeerAnswer::SettingsStored => Self::SettingsStored,
            PeerAnswer::HoldsBucket(holds) => Self::HoldsBucket(*holds),
            PeerAnswer::Scanned(page) => {
                let objects = page.objects.iter().map(|(bucket, key, object)| {
                    (bucket.as_str().to_owned(), Bytes::copy_from_slice(key.as_bytes()), object.into())
                });
                let next = page.next.as_ref().map(|cursor| cursor.0.clone());
                Self::Scanned { objects: objects.collect(), next, incomplete: page.incomplete }
            }
            PeerAnswer::Refused(refusal) => Self::Refused((*refusal).into()),
        }
    }
}

impl TryFrom<WireAnswer> for PeerAnswer {
    type Error = WireMeaning;

    fn try_from(answer: WireAnswer) -> Result<Self, WireMeaning> {
        Ok(match answer {
            WireAnswer::Applied(siblings) => Self::Replica(ReplicaReply::Applied { siblings }),
            WireAnswer::Fetched(object) => Self::Replica(ReplicaReply::Fetched(object.map(Object::from))),
            WireAnswer::ReplicaRefused(refusal) => Self::Replica(ReplicaReply::Refused(refusal.into())),
            WireAnswer::Forwarded(result) => Self::Forwarded(Box::new(match *result {
                Ok(reply) => Ok(reply.try_into()?),
                Err(error) => Err(error.try_into()?),
            })),
            WireAnswer::Settings(all) => {
                Self::Settings(all.into_iter().map(bucket_of).collect::<Result<_, _>>()?)
            }
            WireAnswer::SettingsStored => Self::SettingsStored,
            WireAnswer::HoldsBucket(holds) => Self::HoldsBucket(holds),
            WireAnswer::Scanned { objects, next, incomplete } => {
                let objects = objects.into_iter().map(|(bucket, key, object)| {
                    Ok((BucketName::new(&bucket)?, Key::new(key), Object::from(object)))
                });
                let objects = objects.collect::<Result<_, WireMeaning>>()?;
                Self::Scanned(ScanPage { objects, next: next.map(ScanCursor), incomplete })
            }
            WireAnswer::Refused(refusal) => Self::Refused(refusal.into()),
        })
    }
}
