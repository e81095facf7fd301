//! A frame: one message on a connection, with what is needed before the message is looked at.
//!
//! ```text
//!  0  magic "np"      2  version   3  kind   4  length of what follows the checksum, u32
//!  8  checksum, u64: xxh3 of what follows, seeded with the eight bytes before
//! 16  request id, u64            24  microseconds left until the deadline, u64
//! 32  the sender's HLC, u64      40  epoch, u64
//! 48  phase    49  length of the trace context    50  trace context, then the payload
//! ```
//!
//! All numbers are big-endian. Any error is final for the connection: nothing after it can be trusted.

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::codec::{self, CodecError, MAX_MESSAGE_BYTES};
use crate::protocol::ids::{Epoch, RequestId};
use crate::protocol::time::Hlc;

/// The version of frames, messages and handshake. Nodes of different versions do not talk.
pub const VERSION: u8 = 3;

/// The longest trace context carried, in bytes; a `traceparent` has 55.
pub const MAX_TRACE_BYTES: usize = u8::MAX as usize;

const MAGIC: [u8; 2] = *b"np";
const CHECKED_FROM: usize = 16;
const HEADER_BYTES: usize = 50;
const MIN_LENGTH: usize = HEADER_BYTES - CHECKED_FROM;
const MAX_LENGTH: usize = MIN_LENGTH + MAX_TRACE_BYTES + MAX_MESSAGE_BYTES;
/// Every partition is in its stable phase as long as memberships do not change.
const STABLE: u8 = 0;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request, from the side that dialled.
    Request,
    /// Its answer.
    Answer,
    /// Asks for a sign of life.
    Ping,
    /// Gives it.
    Pong,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Answer => 2,
            Self::Ping => 3,
            Self::Pong => 4,
        }
    }

    fn of(code: u8) -> Result<Self, FrameError> {
        match code {
            1 => Ok(Self::Request),
            2 => Ok(Self::Answer),
            3 => Ok(Self::Ping),
            4 => Ok(Self::Pong),
            given => Err(FrameError::Kind { given }),
        }
    }
}

/// What stands before the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// The request that is asked or answered.
    pub id: RequestId,
    /// Microseconds until the asker no longer cares, from arrival on; 0 where it has no meaning.
    pub time_left_us: u64,
    /// The sender's clock; [`Hlc::ZERO`] if it does not tell.
    pub clock: Hlc,
    /// The membership record the sender goes by; 0 where it has no meaning.
    pub epoch: Epoch,
}

impl Header {
    /// The header of a frame that has no deadline, clock or ring.
    #[must_use]
    pub fn bare(kind: Kind, id: RequestId) -> Self {
        Self { kind, id, time_left_us: 0, clock: Hlc::ZERO, epoch: Epoch(0) }
    }
}

/// A frame as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What stands before the message.
    pub header: Header,
    /// W3C trace context, if there is one.
    pub trace: Option<String>,
    /// The encoded message.
    pub payload: Bytes,
}

/// Why bytes are no frame. The connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first bytes are not those of a frame.
    #[error("the bytes {given:02x?} do not begin a frame")]
    Magic {
        /// The bytes found.
        given: [u8; 2],
    },
    /// Another version.
    #[error("the frame has version {given}: {VERSION} is accepted")]
    Version {
        /// The version found.
        given: u8,
    },
    /// No kind that this version knows.
    #[error("the frame has the unknown kind {given}")]
    Kind {
        /// The kind found.
        given: u8,
    },
    /// Too short to hold a header, or longer than any message may be.
    #[error("the frame's length is {given}: {MIN_LENGTH} to {MAX_LENGTH} bytes are accepted")]
    Length {
        /// The length found.
        given: usize,
    },
    /// The checksum does not fit.
    #[error("the frame's checksum does not fit its bytes")]
    Checksum,
    /// A partition phase that this version does not know.
    #[error("the frame has the unknown phase {given}")]
    Phase {
        /// The phase found.
        given: u8,
    },
    /// The trace context is longer than the frame, or no text.
    #[error("the frame's trace context is no text inside the frame")]
    Trace,
}

/// Appends a frame to `out`. A trace context that is too long is left out. After an error `out` is as it was.
pub fn encode<T: Serialize>(
    header: &Header,
    trace: Option<&str>,
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let trace = trace.filter(|text| text.len() <= MAX_TRACE_BYTES).unwrap_or_default();
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, header.kind.code()]);
    out.extend_from_slice(&[0; CHECKED_FROM - 4]);
    for number in [header.id.0, header.time_left_us, header.clock.0, header.epoch.0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&[STABLE, trace.len() as u8]);
    out.extend_from_slice(trace.as_bytes());
    if let Err(error) = codec::encode(message, out) {
        out.truncate(start);
        return Err(error);
    }
    seal(out.get_mut(start..).unwrap_or_default());
    Ok(())
}

/// Fills in length and checksum of a frame that is otherwise whole.
fn seal(frame: &mut [u8]) {
    let Some((front, checked)) = frame.split_at_mut_checked(CHECKED_FROM) else { return };
    let Some((seed, checksum)) = front.split_first_chunk_mut::<8>() else { return };
    if let Some(length) = seed.last_chunk_mut::<4>() {
        *length = (checked.len() as u32).to_be_bytes();
    }
    let sum = xxh3_64_with_seed(checked, u64::from_be_bytes(*seed));
    checksum.copy_from_slice(&sum.to_be_bytes());
}

/// How many bytes the frame at the front of `buffer` still lacks, as far as that can be told; 0 if it is whole.
#[must_use]
pub fn lacking(buffer: &[u8]) -> usize {
    let whole = match buffer.get(4..8).and_then(|length| length.first_chunk::<4>()) {
        Some(length) => CHECKED_FROM + (u32::from_be_bytes(*length) as usize).min(MAX_LENGTH),
        None => CHECKED_FROM,
    };
    whole.saturating_sub(buffer.len())
}

/// Takes the next whole frame off the front of `buffer`; none if more bytes are needed. A frame that cannot
/// be one is refused as soon as its first bytes show it.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    check_front(buffer)?;
    let Some(front) = buffer.first_chunk::<CHECKED_FROM>().copied() else { return Ok(None) };
    let (mut seed, mut rest) = (front.as_slice(), front.as_slice());
    let seed = seed.get_u64();
    let length = (seed & u64::from(u32::MAX)) as usize;
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
        return Err(FrameError::Length { given: length });
    }
    if buffer.len() < CHECKED_FROM + length {
        return Ok(None);
    }
    rest.advance(8);
    let mut body = buffer.split_to(CHECKED_FROM + length).freeze();
    body.advance(CHECKED_FROM);
    if xxh3_64_with_seed(&body, seed) != rest.get_u64() {
        return Err(FrameError::Checksum);
    }
    let [_, _, _, kind, ..] = front;
    open(Kind::of(kind)?, body).map(Some)
}

/// Looks at as much of magic, version and kind as is there.
fn check_front(buffer: &[u8]) -> Result<(), FrameError> {
    if let Some(given) = buffer.first_chunk::<2>()
        && *given != MAGIC
    {
        return Err(FrameError::Magic { given: *given });
    }
    match buffer.get(2) {
        Some(&given) if given != VERSION => return Err(FrameError::Version { given }),
        _ => {}
    }
    buffer.get(3).map_or(Ok(()), |&kind| Kind::of(kind).map(drop))
}

/// Reads what the checksum covers; `body` holds at least [`MIN_LENGTH`] bytes.
fn open(kind: Kind, mut body: Bytes) -> Result<Frame, FrameError> {
    let id = RequestId(body.get_u64());
    let time_left_us = body.get_u64();
    let clock = Hlc(body.get_u64());
    let epoch = Epoch(body.get_u64());
    let phase = body.get_u8();
    if phase != STABLE {
        return Err(FrameError::Phase { given: phase });
    }
    let trace_bytes = usize::from(body.get_u8());
    if trace_bytes > body.len() {
        return Err(FrameError::Trace);
    }
    let trace = body.split_to(trace_bytes);
    let trace = std::str::from_utf8(&trace).map_err(|_| FrameError::Trace)?;
    let trace = (!trace.is_empty()).then(|| trace.to_owned());
    Ok(Frame { header: Header { kind, id, time_left_us, clock, epoch }, trace, payload: body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Header, Vec<u8>) {
        let header = Header {
            kind: Kind::Request,
            id: RequestId(7),
            time_left_us: 2_000_000,
            clock: Hlc(99),
            epoch: Epoch(3),
        };
        let mut bytes = Vec::new();
        encode(&header, Some("00-trace-01"), &"hello", &mut bytes).unwrap();
        (header, bytes)
    }

    #[test]
    fn a_frame_comes_back_as_it_was_however_its_bytes_trickle_in() {
        let (header, bytes) = sample();
        let mut buffer = BytesMut::new();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(decode(&mut buffer).unwrap(), None, "{at} bytes are no frame");
            assert!(lacking(&buffer) > 0 && lacking(&buffer) <= bytes.len() - at);
            buffer.extend_from_slice(&[*byte]);
        }
        assert_eq!(lacking(&buffer), 0);
        let frame = decode(&mut buffer).unwrap().unwrap();
        assert_eq!(frame.header, header);
        assert_eq!(frame.trace.as_deref(), Some("00-trace-01"));
        assert_eq!(codec::decode::<&str>(&frame.payload).unwrap(), "hello");
        assert!(buffer.is_empty());
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let (_, bytes) = sample();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A length that grew makes the frame look unfinished; the bytes that follow then unmask it.
            damaged.extend_from_slice(&bytes.repeat(40));
            let mut buffer = BytesMut::from(&damaged[..]);
            let grew = (32..64).contains(&bit);
            match decode(&mut buffer) {
                Err(_) => {}
                Ok(None) => assert!(grew, "bit {bit} made a frame that never ends"),
                Ok(Some(frame)) => assert!(bit > bytes.len() * 8, "bit {bit} went unnoticed: {frame:?}"),
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_header_alone() {
        let (_, mut bytes) = sample();
        bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let refused = decode(&mut BytesMut::from(&bytes[..CHECKED_FROM]));
        assert_eq!(refused, Err(FrameError::Length { given: u32::MAX as usize }));
        assert!(lacking(&bytes) <= CHECKED_FROM + MAX_LENGTH);
    }

    #[test]
    fn an_overlong_trace_context_is_left_out() {
        let mut bytes = Vec::new();
        let trace = "t".repeat(MAX_TRACE_BYTES + 1);
        encode(&Header::bare(Kind::Ping, RequestId(1)), Some(&trace), &(), &mut bytes).unwrap();
        let frame = decode(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
        assert_eq!(frame.trace, None);
    }
}
