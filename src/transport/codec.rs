//! The one module that knows how wire types become bytes: bincode 2, little-endian, variable-length integers.
//!
//! To replace the encoding, replace this file and raise [`super::frame::VERSION`].

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::{Deserialize, Serialize};

/// The most bytes that one message may take. What an object may be follows from it.
pub const MAX_MESSAGE_BYTES: usize = crate::protocol::bounds::MESSAGE_BYTES_MAX;

/// Why a message was not encoded or decoded. Nothing was kept of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The encoded message would exceed [`MAX_MESSAGE_BYTES`].
    #[error("the message would be longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// The type cannot be encoded.
    #[error("the message cannot be encoded: {0}")]
    Unsupported(String),
    /// The bytes are no message of this type.
    #[error("the bytes are no such message: {0}")]
    Malformed(String),
    /// Bytes are left over after the message.
    #[error("{0} bytes are left over after the message")]
    TrailingBytes(usize),
}

fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_MESSAGE_BYTES>> {
    bincode::config::standard().with_limit::<MAX_MESSAGE_BYTES>()
}

/// Appends to a buffer, up to a number of bytes.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Writer for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.end.saturating_sub(self.out.len()) {
            return Err(EncodeError::UnexpectedEnd);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends `message` to `out`. After an error `out` is as it was.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let writer = Bounded { end: start.saturating_add(MAX_MESSAGE_BYTES), out };
    let done = bincode::serde::encode_into_writer(message, writer, config());
    done.map_err(|error| {
        out.truncate(start);
        match error {
            EncodeError::UnexpectedEnd => CodecError::TooLong,
            other => CodecError::Unsupported(other.to_string()),
        }
    })
}

/// Reads a message that takes all of `bytes`, and may borrow from them.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    let (message, used) = bincode::serde::borrow_decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(message),
        left => Err(CodecError::TrailingBytes(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let mut bytes = Vec::new();
        encode(&(7u64, "seven", Some(1u128)), &mut bytes).unwrap();
        assert_eq!(decode::<(u64, &str, Option<u128>)>(&bytes).unwrap(), (7, "seven", Some(1)));
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        let mut bytes = Vec::new();
        encode(&7u64, &mut bytes).unwrap();
        bytes.push(0);
        assert_eq!(decode::<u64>(&bytes), Err(CodecError::TrailingBytes(1)));
    }

    #[test]
    fn a_message_that_is_too_long_leaves_the_buffer_as_it_was() {
        let mut bytes = vec![1, 2, 3];
        assert_eq!(encode(&vec![300u16; MAX_MESSAGE_BYTES], &mut bytes), Err(CodecError::TooLong));
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn a_length_that_lies_is_refused_without_the_memory_for_it() {
        let mut bytes = Vec::new();
        encode(&u64::MAX, &mut bytes).unwrap();
        assert!(matches!(decode::<Vec<u64>>(&bytes), Err(CodecError::Malformed(_))));
    }
}
