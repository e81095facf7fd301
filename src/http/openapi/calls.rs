//! The parameters and headers that each call reads, and the errors that it may have.

use super::parts::RequestHeader;
use crate::http::error::kind::Kind;
use crate::http::params::Parameter;
use crate::http::routes::table::ApiCall;
use crate::http::{keys, kv};

/// The parts of a call's documentation that are not in its handler's own annotation.
pub(super) struct Call {
    /// The query parameters it knows; `key64` is left out where the path has the key.
    pub query: &'static [Parameter],
    /// The headers it reads.
    pub headers: &'static [RequestHeader],
    /// Whether its replies have the headers of reads and writes.
    pub operates: bool,
    /// The errors that it may have.
    pub problems: &'static [Kind],
}

const READ_HEADERS: &[RequestHeader] = &[RequestHeader::KnownTags];
const PUT_HEADERS: &[RequestHeader] =
    &[RequestHeader::Context, RequestHeader::WriteId, RequestHeader::CreateOnly];
const DELETE_HEADERS: &[RequestHeader] = &[RequestHeader::Context, RequestHeader::WriteId];

const READ: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::KeyNotFound,
    Kind::TooLarge,
    Kind::OutOfRange,
    Kind::TooFewMembers,
    Kind::NotBuilt,
    Kind::QuorumNotReached,
    Kind::Damaged,
    Kind::Overloaded,
    Kind::NotServing,
    Kind::Deadline,
];
const LIST: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::InvalidContinuation,
    Kind::KeyNotFound,
    Kind::TooLarge,
    Kind::OutOfRange,
    Kind::TooFewMembers,
    Kind::NotBuilt,
    Kind::QuorumNotReached,
    Kind::Damaged,
    Kind::Overloaded,
    Kind::NotServing,
    Kind::Deadline,
];
const PUT: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::InvalidContext,
    Kind::AppliedAsSibling,
    Kind::ObjectFull,
    Kind::TooManySiblings,
    Kind::Exists,
    Kind::TooLarge,
    Kind::OutOfRange,
    Kind::TooFewMembers,
    Kind::QuorumNotReached,
    Kind::Overloaded,
    Kind::NotServing,
    Kind::Deadline,
];
const DELETE: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::InvalidContext,
    Kind::ObjectFull,
    Kind::TooManySiblings,
    Kind::TooLarge,
    Kind::OutOfRange,
    Kind::TooFewMembers,
    Kind::QuorumNotReached,
    Kind::Overloaded,
    Kind::NotServing,
    Kind::Deadline,
];
const BATCH: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::Overloaded,
    Kind::NotServing,
    Kind::Deadline,
];
const SET_BUCKET: &[Kind] = &[
    Kind::Invalid,
    Kind::Unknown,
    Kind::QuorumSizeFixed,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::OutOfRange,
    Kind::TooFewMembers,
    Kind::NoRoomForValues,
    Kind::TooManyBuckets,
    Kind::NotBuilt,
    Kind::SettingsNotStored,
    Kind::Overloaded,
    Kind::Deadline,
];
const OF_A_KEY: &[Kind] = &[Kind::Invalid, Kind::Unknown, Kind::TooLarge];
const OF_ANY_KEY: &[Kind] = &[Kind::Invalid, Kind::Unknown, Kind::PathNotFound, Kind::TooLarge];
const NAMED: &[Kind] = &[Kind::Invalid, Kind::Unknown];
const SLO: &[Kind] = &[Kind::Invalid, Kind::Unknown, Kind::Overloaded];
const PLAIN: &[Kind] = &[Kind::Unknown];

/// The parameters of a listing, then those that go with `key64` instead.
const LISTS_OR_READS: [Parameter; 10] = {
    let [prefix, start, limit, token, timeout] = keys::PARAMETERS;
    let [r, _, on_left_out, max_staleness, on_stale, key64] = kv::GET_PARAMETERS;
    [prefix, start, limit, token, timeout, key64, r, on_left_out, max_staleness, on_stale]
};

/// A call of a key.
const fn operates(
    query: &'static [Parameter],
    headers: &'static [RequestHeader],
    problems: &'static [Kind],
) -> Call {
    Call { query, headers, operates: true, problems }
}

/// Any other call.
const fn shows(query: &'static [Parameter], problems: &'static [Kind]) -> Call {
    Call { query, headers: &[], operates: false, problems }
}

/// The documentation of `call`.
pub(super) const fn documentation(call: ApiCall) -> Call {
    match call {
        ApiCall::Read => operates(&kv::GET_PARAMETERS, READ_HEADERS, READ),
        ApiCall::ListKeys => operates(&LISTS_OR_READS, READ_HEADERS, LIST),
        ApiCall::Put | ApiCall::PutKey64 => operates(&kv::PUT_PARAMETERS, PUT_HEADERS, PUT),
        ApiCall::Delete | ApiCall::DeleteKey64 => operates(&kv::DELETE_PARAMETERS, DELETE_HEADERS, DELETE),
        ApiCall::Batch => shows(&[Parameter::Timeout], BATCH),
        ApiCall::ShowBucket => shows(&[], NAMED),
        ApiCall::SetBucket => shows(&[], SET_BUCKET),
        ApiCall::PreferenceList => shows(&[], OF_A_KEY),
        ApiCall::PreferenceListKey64 => shows(&[Parameter::Key64], OF_ANY_KEY),
        ApiCall::Slo => shows(&[Parameter::Scope], SLO),
        ApiCall::Metrics => shows(&[], &[]),
        ApiCall::ListBuckets
        | ApiCall::Ring
        | ApiCall::Healthz
        | ApiCall::Readyz
        | ApiCall::OpenApi
        | ApiCall::Docs => shows(&[], PLAIN),
        ApiCall::NotBuilt(_) => shows(&[], &[Kind::NotBuilt]),
    }
}
