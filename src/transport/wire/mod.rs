//! Messages as they look on the wire: types of their own, so that the domain may change and the wire not.
//!
//! Names are checked and numbers narrowed when a message is read; what does not fit is refused whole.

mod applied;
mod digest;
mod listing;
mod object;
mod operation;
mod refusal;
mod settings;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use applied::{WireAppliedAt, WirePath, WireVia};
pub use digest::WireDigest;
pub use listing::{WirePageRequest, WireStatesRequest};
pub use object::{WireContext, WireObject, WireSuperseded, WireValue, WireVersion};
pub use operation::{WireError, WireOutcome, WireWrite, WireWriteReply};
pub use refusal::WireRefusal;
pub use settings::{WireBucket, WireSettingsVersion};

use crate::protocol::admission::BucketWeightError;
use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, InvalidName, Key, WriteId};
use crate::protocol::message::{
    LeftOut, PeerAnswer, PeerRequest, Recall, ReplicaReply, ReplicaRequest, ScanCursor, ScanPage, Target,
};
use settings::{bucket_of, wire_bucket};

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireRequest {
    /// [`ReplicaRequest::Apply`].
    Apply(WireTarget, WireObject, WireVia),
    /// [`ReplicaRequest::Fetch`].
    Fetch(WireTarget),
    /// [`ReplicaRequest::Probe`].
    Probe(WireTarget),
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
    /// [`PeerRequest::RecallDirectories`].
    RecallDirectories,
    /// [`PeerRequest::Scan`].
    Scan {
        /// Where the last page ended.
        after: Option<Bytes>,
        /// The bound of a page.
        max_bytes: u32,
    },
    /// [`PeerRequest::SloSummary`].
    SloSummary,
    /// [`PeerRequest::ListKeys`].
    ListKeys(Box<WirePageRequest>),
    /// [`ReplicaRequest::FetchAsIs`].
    FetchAsIs(WireTarget),
    /// [`PeerRequest::ListStates`].
    ListStates(WireStatesRequest),
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireAnswer {
    /// [`ReplicaReply::Applied`].
    Applied(u16, WireAppliedAt),
    /// [`ReplicaReply::Fetched`].
    Fetched(Option<WireObject>),
    /// [`ReplicaReply::Probed`].
    Probed(Box<WireDigest>),
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
    /// [`PeerAnswer::Recalled`]: whether it remembers another, and whether it is sure.
    Recalled(bool, bool),
    /// [`PeerAnswer::Scanned`].
    Scanned {
        /// Bucket, key and object.
        objects: Vec<(String, Bytes, WireObject)>,
        /// [`LeftOut`]: bucket, key, and what the object has seen.
        left_out: Vec<(String, Bytes, WireContext)>,
        /// Where the next page begins.
        next: Option<Bytes>,
        /// [`ScanPage::incomplete`].
        incomplete: bool,
    },
    /// [`PeerAnswer::Refused`].
    Refused(WireRefusal),
    /// [`PeerAnswer::SloSummary`].
    SloSummary(Bytes),
    /// [`PeerAnswer::KeysListed`]: keys with their states, and the last key that is spoken for.
    KeysListed(Vec<(Bytes, Option<WireObject>)>, Option<Bytes>),
}

/// [`Target`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireTarget {
    bucket: String,
    key: Bytes,
    settings: WireSettingsVersion,
}

/// A message that was read and makes no sense. It is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireMeaning {
    /// A name is none.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// A bucket's weight is none.
    #[error(transparent)]
    Weight(#[from] BucketWeightError),
    /// A number is outside its range.
    #[error("{what} {given} is not known")]
    Number {
        /// What it stands for.
        what: &'static str,
        /// What was given.
        given: u8,
    },
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

impl From<&PeerRequest> for WireRequest {
    fn from(request: &PeerRequest) -> Self {
        match request {
            PeerRequest::Replica(target, ReplicaRequest::Apply(object, via)) => {
                Self::Apply(target.into(), object.into(), (*via).into())
            }
            PeerRequest::Replica(target, ReplicaRequest::Fetch) => Self::Fetch(target.into()),
            PeerRequest::Replica(target, ReplicaRequest::FetchAsIs) => Self::FetchAsIs(target.into()),
            PeerRequest::Replica(target, ReplicaRequest::Probe) => Self::Probe(target.into()),
            PeerRequest::Forward(write, write_id, version) => {
                Self::Forward(Box::new(write.into()), write_id.0, version.into())
            }
            PeerRequest::FetchSettings(bucket) => Self::FetchSettings(bucket.as_str().to_owned()),
            PeerRequest::StoreSettings(bucket, settings, version) => {
                Self::StoreSettings(wire_bucket(bucket, settings, version))
            }
            PeerRequest::ListSettings => Self::ListSettings,
            PeerRequest::HoldsBucket(bucket) => Self::HoldsBucket(bucket.as_str().to_owned()),
            PeerRequest::RecallDirectories => Self::RecallDirectories,
            PeerRequest::SloSummary => Self::SloSummary,
            PeerRequest::ListKeys(request) => Self::ListKeys(Box::new(request.into())),
            PeerRequest::ListStates(request) => Self::ListStates(request.into()),
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
            WireRequest::Apply(target, object, via) => {
                Self::Replica(target.try_into()?, ReplicaRequest::Apply(object.into(), via.into()))
            }
            WireRequest::Fetch(target) => Self::Replica(target.try_into()?, ReplicaRequest::Fetch),
            WireRequest::FetchAsIs(target) => Self::Replica(target.try_into()?, ReplicaRequest::FetchAsIs),
            WireRequest::Probe(target) => Self::Replica(target.try_into()?, ReplicaRequest::Probe),
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
            WireRequest::RecallDirectories => Self::RecallDirectories,
            WireRequest::SloSummary => Self::SloSummary,
            WireRequest::ListKeys(request) => Self::ListKeys((*request).try_into()?),
            WireRequest::ListStates(request) => Self::ListStates(request.try_into()?),
            WireRequest::Scan { after, max_bytes } => Self::Scan { after: after.map(ScanCursor), max_bytes },
        })
    }
}

impl From<&PeerAnswer> for WireAnswer {
    fn from(answer: &PeerAnswer) -> Self {
        match answer {
            PeerAnswer::Replica(ReplicaReply::Applied { siblings, when }) => {
                Self::Applied(*siblings, when.into())
            }
            PeerAnswer::Replica(ReplicaReply::Fetched(object)) => {
                Self::Fetched(object.as_ref().map(WireObject::from))
            }
            PeerAnswer::Replica(ReplicaReply::Probed(digest)) => Self::Probed(Box::new((&**digest).into())),
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
            PeerAnswer::Recalled(Recall::Another) => Self::Recalled(true, true),
            PeerAnswer::Recalled(Recall::NoOther) => Self::Recalled(false, true),
            PeerAnswer::Recalled(Recall::Unsure) => Self::Recalled(false, false),
            PeerAnswer::Scanned(page) => {
                let objects = page.objects.iter().map(|(bucket, key, object)| {
                    (bucket.as_str().to_owned(), Bytes::copy_from_slice(key.as_bytes()), object.into())
                });
                let left_out = page.left_out.iter().map(|LeftOut { bucket, key, seen }| {
                    let key = Bytes::copy_from_slice(key.as_bytes());
                    (bucket.as_str().to_owned(), key, seen.into())
                });
                let (objects, left_out) = (objects.collect(), left_out.collect());
                let next = page.next.as_ref().map(|cursor| cursor.0.clone());
                Self::Scanned { objects, left_out, next, incomplete: page.incomplete }
            }
            PeerAnswer::SloSummary(bytes) => Self::SloSummary(bytes.clone()),
            PeerAnswer::KeysListed(page) => listing::wire_page(page),
            PeerAnswer::Refused(refusal) => Self::Refused((*refusal).into()),
        }
    }
}

impl TryFrom<WireAnswer> for PeerAnswer {
    type Error = WireMeaning;

    fn try_from(answer: WireAnswer) -> Result<Self, WireMeaning> {
        Ok(match answer {
            WireAnswer::Applied(siblings, when) => {
                Self::Replica(ReplicaReply::Applied { siblings, when: when.into() })
            }
            WireAnswer::Fetched(object) => Self::Replica(ReplicaReply::Fetched(object.map(Object::from))),
            WireAnswer::Probed(digest) => {
                Self::Replica(ReplicaReply::Probed(Box::new((*digest).try_into()?)))
            }
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
            WireAnswer::Recalled(true, _) => Self::Recalled(Recall::Another),
            WireAnswer::Recalled(false, true) => Self::Recalled(Recall::NoOther),
            WireAnswer::Recalled(false, false) => Self::Recalled(Recall::Unsure),
            WireAnswer::Scanned { objects, left_out, next, incomplete } => {
                let objects = objects.into_iter().map(|(bucket, key, object)| {
                    Ok((BucketName::new(&bucket)?, Key::new(key), Object::from(object)))
                });
                let objects = objects.collect::<Result<_, WireMeaning>>()?;
                let left_out = left_out.into_iter().map(|(bucket, key, seen)| {
                    let (bucket, key) = (BucketName::new(&bucket)?, Key::new(key));
                    Ok(LeftOut { bucket, key, seen: seen.into() })
                });
                let left_out = left_out.collect::<Result<_, WireMeaning>>()?;
                Self::Scanned(ScanPage { objects, left_out, next: next.map(ScanCursor), incomplete })
            }
            WireAnswer::SloSummary(bytes) => Self::SloSummary(bytes),
            WireAnswer::KeysListed(entries, through) => Self::KeysListed(listing::page_of(entries, through)),
            WireAnswer::Refused(refusal) => Self::Refused(refusal.into()),
        })
    }
}
