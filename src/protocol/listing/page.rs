//! One node's page: a merge of the ranges of the partitions that it is a home of.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{KeyPage, PageRequest};
use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, Key, PartitionId};
use crate::protocol::message::Refusal;
use crate::protocol::view::View;

/// A record of a range: its key, and its state; none if it is damaged.
pub type ListedRecord = (Key, Option<Object>);

/// What a page is made of.
pub trait ListHost {
    /// Up to `limit` records of a bucket in a partition, of keys that start with `prefix` and are greater than
    /// `after`, in order.
    fn records(
        &self,
        partition: PartitionId,
        bucket: &BucketName,
        prefix: &[u8],
        after: &Key,
        limit: usize,
    ) -> Result<Vec<ListedRecord>, Refusal>;

    /// Whether this node may answer reads of a partition.
    fn serves(&self, partition: PartitionId) -> bool;

    /// Whether nobody waits for the page any more.
    fn is_late(&self) -> bool;
}

/// The records of one partition that were read and not yet given out.
struct Source {
    partition: PartitionId,
    read: VecDeque<ListedRecord>,
    /// The last key read; none once the range was read to its end.
    next: Option<Key>,
}

/// The next keys of a range that this node holds, of all partitions that it is a home of with `request.n`.
///
/// # Errors
///
/// The node may lack writes of one of them, its store failed, or it is too late.
pub fn list_page(view: View<'_>, host: &impl ListHost, request: &PageRequest) -> Result<KeyPage, Refusal> {
    let me = view.ring.index_of(view.me).ok_or(Refusal::WrongRing)?;
    let partitions = (0..view.ring.partitions()).map(PartitionId);
    let mine: Vec<PartitionId> =
        partitions.filter(|&partition| view.ring.homes(partition, request.n).contains(&me)).collect();
    let (max_keys, max_bytes) = (request.max_keys.max(1) as usize, request.max_bytes as usize);
    // Keys are spread evenly, so this is about what each partition gives to the page.
    let chunk = max_keys / mine.len().max(1) + 1;
    let mut sources = Vec::with_capacity(mine.len());
    let mut heap = BinaryHeap::with_capacity(mine.len());
    for partition in mine {
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        let mut source =
            Source { partition, read: VecDeque::new(), next: Some(Key::new(request.range.after.clone())) };
        if let Some(key) = source.peek(host, request, chunk)? {
            heap.push(Reverse((key, sources.len())));
        }
        sources.push(source);
    }
    let (mut entries, mut bytes): (Vec<ListedRecord>, usize) = (Vec::new(), 0);
    while let Some(Reverse((_, at))) = heap.pop() {
        let Some(source) = sources.get_mut(at) else { continue };
        let Some((key, object)) = source.read.pop_front() else { continue };
        bytes += key.as_bytes().len() + object.as_ref().map_or(0, bytes_of);
        entries.push((key, object));
        if let Some(key) = source.peek(host, request, chunk)? {
            heap.push(Reverse((key, at)));
        }
        if (entries.len() >= max_keys || bytes >= max_bytes) && !heap.is_empty() {
            let through = entries.last().map(|(key, _)| key.clone());
            return Ok(KeyPage { entries, through });
        }
    }
    Ok(KeyPage { entries, through: None })
}

impl Source {
    /// The next key, which is read if need be.
    fn peek(
        &mut self,
        host: &impl ListHost,
        request: &PageRequest,
        chunk: usize,
    ) -> Result<Option<Key>, Refusal> {
        if self.read.is_empty()
            && let Some(after) = self.next.take()
        {
            if host.is_late() {
                return Err(Refusal::Deadline);
            }
            let range = &request.range;
            let read = host.records(self.partition, &range.bucket, &range.prefix, &after, chunk)?;
            if read.len() >= chunk {
                self.next = read.last().map(|(key, _)| key.clone());
            }
            self.read =
                read.into_iter().map(|(key, object)| (key, object.map(Object::without_values))).collect();
        }
        Ok(self.read.front().map(|(key, _)| key.clone()))
    }
}

/// About how many bytes a state takes on the way.
fn bytes_of(object: &Object) -> usize {
    const DOT: usize = 16;
    const VERSION: usize = 64;
    let context = object.context();
    let dots = context.vector().len() + context.cloud().len();
    let written = object.versions().iter().map(|version| &version.past);
    let pasts = written.chain(object.superseded().iter().map(|record| &record.past));
    let past: usize = pasts.map(|past| past.vector().len() + past.cloud().len()).sum();
    (dots + past) * DOT + (object.versions().len() + object.superseded().len()) * VERSION
}
