//! What each call takes and what may go wrong with it: the parameters it knows, its headers, its kinds of errors.

use super::parts::RequestHeader;
use crate::http::error::kind::Kind;
use crate::http::params::Parameter;
use crate::http::{keys, kv};

/// What is not in a handler's own annotation.
pub(super) struct Call {
    /// The operation's id.
    pub id: &'static str,
    /// The query parameters it knows; `key64` is left out where the path has the key.
    pub query: &'static [Parameter],
    /// The headers it reads.
    pub headers: &'static [RequestHeader],
    /// Whether its replies have the headers of reads and writes.
    pub operates: bool,
    /// What may go wrong.
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
const PLAIN: &[Kind] = &[Kind::Unknown];

const fn plain(id: &'static str, problems: &'static [Kind]) -> Call {
    Call { id, query: &[], headers: &[], operates: false, problems }
}

/// Every call.
pub(super) const CALLS: [Call; 19] = [
    Call { id: "read", query: &kv::GET_PARAMETERS, headers: READ_HEADERS, operates: true, problems: READ },
    Call { id: "put", query: &kv::PUT_PARAMETERS, headers: PUT_HEADERS, operates: true, problems: PUT },
    Call { id: "put_key64", query: &kv::PUT_PARAMETERS, headers: PUT_HEADERS, operates: true, problems: PUT },
    Call {
        id: "delete",
        query: &kv::DELETE_PARAMETERS,
        headers: DELETE_HEADERS,
        operates: true,
        problems: DELETE,
    },
    Call {
        id: "delete_key64",
        query: &kv::DELETE_PARAMETERS,
        headers: DELETE_HEADERS,
        operates: true,
        problems: DELETE,
    },
    Call { id: "list_keys", query: &LISTS_OR_READS, headers: READ_HEADERS, operates: true, problems: LIST },
    Call { id: "batch", query: &[Parameter::Timeout], headers: &[], operates: false, problems: BATCH },
    plain("list_buckets", PLAIN),
    plain("show_bucket", NAMED),
    plain("set_bucket", SET_BUCKET),
    plain("ring", PLAIN),
    plain("preference_list", OF_A_KEY),
    Call {
        id: "preference_list_key64",
        query: &[Parameter::Key64],
        headers: &[],
        operates: false,
        problems: OF_ANY_KEY,
    },
    Call {
        id: "slo",
        query: &[Parameter::Scope],
        headers: &[],
        operates: false,
        problems: &[Kind::Invalid, Kind::Unknown, Kind::Overloaded],
    },
    plain("healthz", PLAIN),
    plain("readyz", PLAIN),
    plain("metrics", &[]),
    plain("openapi", PLAIN),
    plain("docs", PLAIN),
];

/// The parameters of a listing, then those that go with `key64` instead.
const LISTS_OR_READS: [Parameter; 10] = {
    let [prefix, start, limit, token, timeout] = keys::PARAMETERS;
    let [r, _, on_left_out, max_staleness, on_stale, key64] = kv::GET_PARAMETERS;
    [prefix, start, limit, token, timeout, key64, r, on_left_out, max_staleness, on_stale]
};

/// The call of an operation's id.
pub(super) fn call(id: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.id == id)
}
