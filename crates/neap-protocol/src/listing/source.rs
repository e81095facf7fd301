//! One partition's part of a page: its records are read a few at a time, and the dead are passed over.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::page::ListHost;
use super::{KeyRange, PageRequest};
use crate::causality::{Object, has_live_value};
use crate::ids::{Key, PartitionId};
use crate::message::Refusal;
use crate::time::WallMicros;

/// Records that a page looks at beyond its first read of each partition, which looks at as many again or at one record
/// of each partition, whichever is more.
pub const LOOKS_MAX: usize = 32_768;
/// Bytes of records that a page looks at beyond its first read of each partition.
const LOOK_BYTES_MAX: usize = 64 << 20;
/// Records that one read looks at. To find the place of a read takes as long as to look at about ten records.
const LOOKS_A_READ: usize = 32;
/// Bytes of records that one read looks at: it ends with the record that exceeds them.
const LOOK_BYTES_A_READ: usize = 256 << 10;

/// A record of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its key.
    pub key: Key,
    /// Its state; none if it is damaged.
    pub object: Option<Object>,
    /// Its bytes in the store.
    pub bytes: usize,
}

/// The reads of a page.
#[derive(Debug)]
pub(super) struct Reads<'a> {
    range: &'a KeyRange,
    now: WallMicros,
    /// Records that one read keeps, and about how many bytes of them.
    keep: usize,
    keep_bytes: usize,
    /// Records that one read looks at.
    look: usize,
    /// What was looked at since the first read of each partition.
    looked: usize,
    looked_bytes: usize,
}

/// A partition's records that were read and not yet given out.
#[derive(Debug)]
pub(super) struct Source {
    partition: PartitionId,
    kept: VecDeque<(Key, Option<Object>)>,
    /// The last key that was looked at; none once the range was read to its end.
    read_through: Option<Key>,
}

impl<'a> Reads<'a> {
    /// No reads yet. The keys of a bucket are spread evenly over the partitions.
    pub(super) fn new(request: &'a PageRequest, partitions: usize) -> Self {
        let partitions = partitions.max(1);
        Self {
            range: &request.range,
            now: request.now,
            keep: request.max_keys as usize / partitions + 1,
            keep_bytes: request.max_bytes as usize / partitions,
            look: (LOOKS_MAX / partitions).clamp(1, LOOKS_A_READ),
            looked: 0,
            looked_bytes: 0,
        }
    }

    /// Counts from here on.
    pub(super) fn all_began(&mut self) {
        (self.looked, self.looked_bytes) = (0, 0);
    }

    /// Whether the page has looked at as much as it may.
    pub(super) fn are_used_up(&self) -> bool {
        self.looked >= LOOKS_MAX || self.looked_bytes >= LOOK_BYTES_MAX
    }
}

impl Source {
    /// A partition of which nothing was read yet.
    pub(super) fn new(partition: PartitionId, range: &KeyRange) -> Self {
        let read_through = Some(Key::new(range.after.clone()));
        Self { partition, kept: VecDeque::new(), read_through }
    }

    /// The next key that is given out, else the last one that was looked at: all keys before it are known. None at the
    /// end.
    pub(super) fn front(&self) -> Option<&Key> {
        self.kept.front().map(|(key, _)| key).or(self.read_through.as_ref())
    }

    /// The record to be given out next, if it was read.
    pub(super) fn take(&mut self) -> Option<(Key, Option<Object>)> {
        self.kept.pop_front()
    }

    /// Whether nothing that was read is left to be given out.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Reads on, until there is enough or much was looked at: at one record at least.
    pub(super) fn read(&mut self, host: &impl ListHost, reads: &mut Reads<'_>) -> Result<(), Refusal> {
        let Some(after) = self.read_through.take() else { return Ok(()) };
        let (mut looked, mut bytes, mut kept_bytes) = (0, 0, 0);
        let (kept, read_through) = (&mut self.kept, &mut self.read_through);
        host.records(self.partition, reads.range, &after, &mut |record: ReadRecord| {
            looked += 1;
            bytes += record.bytes;
            let last = record.key.clone();
            if record.object.as_ref().is_none_or(|object| has_live_value(object, reads.now)) {
                let object = record.object.map(Object::without_values);
                kept_bytes += bytes_of(&record.key, object.as_ref());
                kept.push_back((record.key, object));
            }
            let goes_on = kept.len() < reads.keep
                && kept_bytes <= reads.keep_bytes
                && looked < reads.look
                && bytes < LOOK_BYTES_A_READ;
            if goes_on {
                return ControlFlow::Continue(());
            }
            *read_through = Some(last);
            ControlFlow::Break(())
        })?;
        reads.looked += looked;
        reads.looked_bytes += bytes;
        Ok(())
    }
}

/// About how many bytes a key and its state take on the way.
pub(super) fn bytes_of(key: &Key, object: Option<&Object>) -> usize {
    key.as_bytes().len() + object.map_or(0, Object::message_bytes)
}
