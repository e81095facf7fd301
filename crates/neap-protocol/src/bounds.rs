//! The bounds of an object: what may be written to one key before something of it is read and resolved.
//!
//! Replicas send each other whole objects, each in one message. What N coordinators wrote while none of them saw the
//! others is joined later, by replicas that refuse nothing; so each coordinator keeps its own object within the N-th
//! part of a message, and refuses what would not fit before a dot is given.

use crate::bucket::BucketSettings;
use crate::causality::written_alone;
use crate::operation::{Write, WriteBody};
use crate::quorum::N_MAX;

/// Requests that may wait for one peer's answers.
pub const OUTSTANDING_MAX: usize = 8_192;

/// The most bytes that one message may take.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of a message, what is not left for objects: bucket, key, settings version, the cursor of a scan.
pub const ENVELOPE_BYTES: usize = 4 * 1024;
/// Of an object's bound, what is not left for one value: its media type, contexts, records of superseded writes.
pub const BESIDE_VALUE_BYTES: usize = 64 * 1024;

/// How many versions a write leaves at the most, where a bucket does not say.
pub const SIBLINGS_MAX_DEFAULT: u16 = 100;
/// The most that a bucket may say.
pub const SIBLINGS_MAX_MOST: u16 = 10_000;

/// What messages may take, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageBounds {
    message_bytes: usize,
}

impl Default for MessageBounds {
    fn default() -> Self {
        Self { message_bytes: MESSAGE_BYTES_MAX }
    }
}

impl MessageBounds {
    /// Of messages of so many bytes.
    #[must_use]
    pub const fn of(message_bytes: usize) -> Self {
        Self { message_bytes }
    }

    /// What one message may take.
    #[must_use]
    pub fn message_bytes(self) -> usize {
        self.message_bytes
    }

    /// The largest object that can be sent.
    #[must_use]
    pub fn sendable_bytes(self) -> usize {
        self.message_bytes.saturating_sub(ENVELOPE_BYTES)
    }

    /// The largest object that a write may leave, in a bucket with this N.
    #[must_use]
    pub fn object_bytes(self, n: u8) -> usize {
        self.sendable_bytes() / usize::from(n.max(1))
    }

    /// What a write may leave, in a bucket with these settings.
    #[must_use]
    pub fn object(self, settings: &BucketSettings) -> ObjectBounds {
        let versions = usize::from(settings.siblings_max.max(1));
        ObjectBounds { bytes: self.object_bytes(settings.quorum.n), versions }
    }

    /// The largest value for which an object always has room, in a bucket with this N.
    #[must_use]
    pub fn value_bytes(self, n: u8) -> usize {
        self.object_bytes(n).saturating_sub(BESIDE_VALUE_BYTES)
    }

    /// The highest N for which an object always has room for such a value; 0 if there is none.
    #[must_use]
    pub fn highest_n(self, value_bytes: usize) -> u8 {
        (1..=N_MAX).rev().find(|&n| self.value_bytes(n) >= value_bytes).unwrap_or(0)
    }
}

/// The largest value that clients may write (`limits.value`), beside what messages may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimit {
    /// What messages may take.
    pub messages: MessageBounds,
    /// The limit, in bytes.
    pub value_bytes: usize,
}

impl ValueLimit {
    /// Checks that an object of a bucket with this N always has room for such a value.
    ///
    /// # Errors
    ///
    /// It has not: what would do.
    pub fn check(self, n: u8) -> Result<(), NoRoomForValues> {
        let Self { messages, value_bytes } = self;
        if messages.value_bytes(n) >= value_bytes {
            return Ok(());
        }
        Err(NoRoomForValues {
            n,
            value_bytes: value_bytes as u64,
            highest_n: messages.highest_n(value_bytes),
            highest_value_bytes: messages.value_bytes(n) as u64,
        })
    }
}

/// An object may have no room for a value that `limits.value` allows. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "limits.value is {value_bytes} bytes, and with n = {n} a value may have {highest_value_bytes}, so that the states of \
     all replicas of a key fit one message; the highest n for such values is {highest_n}"
)]
pub struct NoRoomForValues {
    /// N.
    pub n: u8,
    /// `limits.value`, in bytes.
    pub value_bytes: u64,
    /// The highest N that would do; 0 if there is none.
    pub highest_n: u8,
    /// The highest `limits.value` that would do, in bytes.
    pub highest_value_bytes: u64,
}

/// The bounds of an object in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectBounds {
    /// Bytes that a write may leave.
    pub bytes: usize,
    /// Versions that a write may leave.
    pub versions: usize,
}

/// Whether so much is beyond three quarters of a bound.
#[must_use]
pub fn is_near(held: usize, bound: usize) -> bool {
    held > bound - bound / 4
}

/// The bytes that a write takes for itself, at the most: those of an object that nothing else was written to.
#[must_use]
pub fn write_bytes(write: &Write) -> usize {
    let value = match &write.body {
        WriteBody::Put { content_type, bytes } => {
            Some(bytes.len() + content_type.as_ref().map_or(0, String::len))
        }
        WriteBody::Delete => None,
    };
    written_alone(value, write.context.as_ref(), write.write_id.is_some())
}

/// Why a write was not carried out though nothing else spoke against it: the object would outgrow a bound. Nothing
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overfull {
    /// The write alone is larger than an object may be.
    #[error(
        "the write takes {write_bytes} bytes for itself; an object of this bucket may have {bound_bytes}, so that the \
         states of all its replicas fit one message"
    )]
    Write {
        /// What it takes.
        write_bytes: u64,
        /// What an object may have.
        bound_bytes: u64,
    },
    /// Together with what is held and not replaced it would be.
    #[error(
        "the key holds {held_bytes} bytes with its siblings, and the write takes {write_bytes}: together they exceed \
         the {bound_bytes} that an object of this bucket may have; read the key, and write what is to stay with the \
         context of that read"
    )]
    Bytes {
        /// What is held.
        held_bytes: u64,
        /// What the write takes.
        write_bytes: u64,
        /// What an object may have.
        bound_bytes: u64,
    },
    /// It would leave more versions than the bucket allows.
    #[error(
        "the key holds {held_versions} versions, and the write would leave {left_versions}: the bucket's siblings_max \
         is {siblings_max}; read the key, and write what is to stay with the context of that read"
    )]
    Versions {
        /// Versions that are held.
        held_versions: u32,
        /// Versions that the write would leave.
        left_versions: u32,
        /// What the bucket allows.
        siblings_max: u16,
    },
}
