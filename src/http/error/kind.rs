//! The kinds of errors, and what is fixed about each.

use actix_web::http::StatusCode;

/// What went wrong, each with its stable `type`, its status and its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A query parameter, a path segment, a header or a property is not what is accepted. Nothing changed.
    Invalid,
    /// A query parameter or property that the call does not know. Nothing changed.
    Unknown,
    /// The context token was refused. Nothing changed.
    InvalidContext,
    /// The continuation of a listing was refused. Nothing changed.
    InvalidContinuation,
    /// A page of an origin that may not call this node. Nothing changed.
    ForeignOrigin,
    /// The key holds no value.
    KeyNotFound,
    /// No call has this path. Nothing changed.
    PathNotFound,
    /// The path has no such method. Nothing changed.
    MethodNotAllowed,
    /// A create-only write was applied, beside a concurrent one.
    AppliedAsSibling,
    /// The object of the key is as large as it may be. Nothing changed.
    ObjectFull,
    /// The key has as many siblings as it may. Nothing changed.
    TooManySiblings,
    /// A bucket's N cannot change. Nothing changed.
    QuorumSizeFixed,
    /// `If-None-Match: *`, and a value is there. Nothing changed.
    Exists,
    /// Over a size limit. Nothing changed.
    TooLarge,
    /// A body of another media type than the call takes. Nothing changed.
    UnsupportedMediaType,
    /// A host by which this node is not known. Nothing changed.
    UnknownHost,
    /// N, R, W or `w_min` does not fit. Nothing changed.
    OutOfRange,
    /// N is greater than the number of nodes. Nothing changed.
    TooFewMembers,
    /// Objects of such a bucket have no room for the values that `limits.value` allows. Nothing changed.
    NoRoomForValues,
    /// The table of buckets is full. Nothing changed.
    TooManyBuckets,
    /// A part of the contract that is not built yet. Nothing changed.
    NotBuilt,
    /// Too few homes answered.
    QuorumNotReached,
    /// Every home that answered holds a damaged record of the key.
    Damaged,
    /// Too few members stored the settings.
    SettingsNotStored,
    /// The node is at a limit. Nothing changed.
    Overloaded,
    /// The node is stopping or not ready. Nothing changed.
    NotServing,
    /// The deadline passed first.
    Deadline,
}

impl Kind {
    /// All kinds, in their order.
    pub const ALL: [Self; 27] = [
        Self::Invalid,
        Self::Unknown,
        Self::InvalidContext,
        Self::InvalidContinuation,
        Self::ForeignOrigin,
        Self::KeyNotFound,
        Self::PathNotFound,
        Self::MethodNotAllowed,
        Self::AppliedAsSibling,
        Self::ObjectFull,
        Self::TooManySiblings,
        Self::QuorumSizeFixed,
        Self::Exists,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UnknownHost,
        Self::OutOfRange,
        Self::TooFewMembers,
        Self::NoRoomForValues,
        Self::TooManyBuckets,
        Self::NotBuilt,
        Self::QuorumNotReached,
        Self::Damaged,
        Self::SettingsNotStored,
        Self::Overloaded,
        Self::NotServing,
        Self::Deadline,
    ];

    /// `type`, status and `title`.
    pub const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Invalid => ("/problems/invalid", S::BAD_REQUEST, "Invalid request"),
            Self::Unknown => ("/problems/unknown-parameter", S::BAD_REQUEST, "Unknown parameter"),
            Self::InvalidContext => ("/problems/invalid-context", S::BAD_REQUEST, "Invalid context"),
            Self::InvalidContinuation => {
                ("/problems/invalid-continuation", S::BAD_REQUEST, "Invalid continuation")
            }
            Self::ForeignOrigin => ("/problems/foreign-origin", S::FORBIDDEN, "Foreign origin"),
            Self::KeyNotFound => ("/problems/key-not-found", S::NOT_FOUND, "Key not found"),
            Self::PathNotFound => ("/problems/path-not-found", S::NOT_FOUND, "Path not found"),
            Self::MethodNotAllowed => {
                ("/problems/method-not-allowed", S::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::AppliedAsSibling => ("/problems/applied-as-sibling", S::CONFLICT, "Applied as a sibling"),
            Self::ObjectFull => ("/problems/object-full", S::CONFLICT, "The object is full"),
            Self::TooManySiblings => ("/problems/too-many-siblings", S::CONFLICT, "Too many siblings"),
            Self::QuorumSizeFixed => ("/problems/quorum-size-fixed", S::CONFLICT, "N cannot change"),
            Self::Exists => ("/problems/exists", S::PRECONDITION_FAILED, "A value exists"),
            Self::TooLarge => ("/problems/too-large", S::PAYLOAD_TOO_LARGE, "Over a size limit"),
            Self::UnsupportedMediaType => {
                ("/problems/unsupported-media-type", S::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::UnknownHost => ("/problems/unknown-host", S::MISDIRECTED_REQUEST, "Unknown host"),
            Self::OutOfRange => ("/problems/out-of-range", S::UNPROCESSABLE_ENTITY, "Out of range"),
            Self::TooFewMembers => ("/problems/too-few-members", S::UNPROCESSABLE_ENTITY, "Too few members"),
            Self::NoRoomForValues => {
                ("/problems/no-room-for-values", S::UNPROCESSABLE_ENTITY, "No room for large values")
            }
            Self::TooManyBuckets => {
                ("/problems/too-many-buckets", S::UNPROCESSABLE_ENTITY, "Too many buckets")
            }
            Self::NotBuilt => ("/problems/not-built", S::NOT_IMPLEMENTED, "Not built"),
            Self::QuorumNotReached => {
                ("/problems/quorum-not-reached", S::SERVICE_UNAVAILABLE, "Quorum not reached")
            }
            Self::Damaged => ("/problems/damaged", S::SERVICE_UNAVAILABLE, "Every copy is damaged"),
            Self::SettingsNotStored => {
                ("/problems/settings-not-stored", S::SERVICE_UNAVAILABLE, "Settings not stored")
            }
            Self::Overloaded => ("/problems/overloaded", S::SERVICE_UNAVAILABLE, "Overloaded"),
            Self::NotServing => ("/problems/not-serving", S::SERVICE_UNAVAILABLE, "Not serving"),
            Self::Deadline => ("/problems/deadline", S::GATEWAY_TIMEOUT, "Deadline passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn all_kinds_are_listed_in_their_order() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
        assert_eq!(Kind::Deadline as usize + 1, Kind::ALL.len());
    }
}
