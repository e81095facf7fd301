//! The bytes that an object takes in a message, at the most.
//!
//! The true encoding is the transport's affair, so this is an upper bound of it; a test holds it against the codec.
//! Numbers count with the most that one may take, whatever they are, so that the bound of a state does not depend on
//! the dot or the time that a write is about to be given. A version counts as no less than the record that it leaves
//! when it is superseded: the bound of two joined states is never above the sum of theirs.

use super::context::CausalContext;
use super::object::Object;
use super::version::{Body, Superseded, Value, Version};

/// A number of 64 bits, or a length.
const NUMBER: usize = 9;
/// A number of 128 bits.
const WIDE: usize = 17;
/// A flag, a choice, or a W.
const BYTE: usize = 1;
/// An actor and a counter.
const DOT: usize = 2 * NUMBER;
/// A record of a superseded write, without what it replaced: write id, dot, two times, two flags.
const RECORD: usize = WIDE + DOT + 2 * NUMBER + 2 * BYTE;
/// A version without what it replaced and without its value: dot, time, W, write id, three flags, a choice. No less
/// than a record.
const VERSION: usize = {
    let version = DOT + NUMBER + BYTE + WIDE + 4 * BYTE;
    if version > RECORD { version } else { RECORD }
};
/// A value without its bytes and its media type: two lengths, two choices, a time.
const VALUE: usize = 2 * NUMBER + 2 * BYTE + NUMBER;
/// An object that holds nothing: two lists.
const OBJECT: usize = 2 * NUMBER;

impl CausalContext {
    /// The bytes that it takes in a message, at the most.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        2 * NUMBER + (self.vector().len() + self.cloud().len()) * DOT
    }
}

impl Object {
    /// The bytes that it takes in a message, at the most.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        let versions: usize = self.versions().iter().map(of_version).sum();
        let superseded: usize = self.superseded().iter().map(of_record).sum();
        OBJECT + self.context().message_bytes() + versions + superseded
    }
}

/// The bytes that a write makes of an object that nothing was ever written to, at the most: `value` is the length of
/// its value and of its media type together, none of a delete.
#[must_use]
pub fn written_alone(value: Option<usize>, context: Option<&CausalContext>, named: bool) -> usize {
    let nothing = CausalContext::new().message_bytes();
    let context = context.map_or(nothing, CausalContext::message_bytes);
    let past = if named { context } else { nothing };
    OBJECT + context + DOT + VERSION + past + value.map_or(0, |bytes| VALUE + bytes)
}

fn of_version(version: &Version) -> usize {
    let value = match &version.body {
        Body::Value(Value { content_type, bytes, .. }) => {
            VALUE + bytes.len() + content_type.as_ref().map_or(0, String::len)
        }
        Body::Tombstone => 0,
    };
    VERSION + version.past.message_bytes() + value
}

fn of_record(record: &Superseded) -> usize {
    RECORD + record.past.message_bytes()
}
