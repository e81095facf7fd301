//! One node's answers: a merge of the ranges of the partitions that it is a replica of, and the states of single keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::source::{ReadRecord, Reads, Source, bytes_of};
use super::{KeyPage, KeyRange, PageRequest, StatesRequest};
use crate::causality::Object;
use crate::ids::{BucketName, Key, PartitionId};
use crate::message::Refusal;
use crate::view::View;

/// What answers are made of.
pub trait ListHost {
    /// Hands `each` the records of a partition that lie in `range` and are greater than `after`, in order, until it has
    /// enough.
    fn records(
        &self,
        partition: PartitionId,
        range: &KeyRange,
        after: &Key,
        each: &mut dyn FnMut(ReadRecord) -> ControlFlow<()>,
    ) -> Result<(), Refusal>;

    /// The record of one key; none if there is none.
    fn record(
        &self,
        partition: PartitionId,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<Option<ReadRecord>, Refusal>;

    /// Whether this node may answer reads of a partition.
    fn serves(&self, partition: PartitionId) -> bool;

    /// Whether the answer is to leave with what it has.
    fn is_late(&self) -> bool;
}

/// The next keys of a range that this node holds and that may live, of all partitions that it is a replica of with
/// `request.n`. Ends early, and says how far it speaks, once it is full, has looked at [`LOOKS_MAX`](super::LOOKS_MAX)
/// records, or is late.
///
/// # Errors
///
/// The node may lack writes of a partition, its store failed, or it is late before it has looked into each partition.
pub fn list_page(view: View<'_>, host: &impl ListHost, request: &PageRequest) -> Result<KeyPage, Refusal> {
    let me = view.ring.index_of(view.me).ok_or(Refusal::WrongRing)?;
    let partitions = (0..view.ring.partitions()).map(PartitionId);
    let mine: Vec<PartitionId> =
        partitions.filter(|&partition| view.ring.homes(partition, request.n).contains(&me)).collect();
    let mut reads = Reads::new(request, mine.len());
    let mut sources = Vec::with_capacity(mine.len());
    let mut fronts = BinaryHeap::with_capacity(mine.len());
    for partition in mine {
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        if host.is_late() {
            return Err(Refusal::Deadline);
        }
        let mut source = Source::new(partition, &request.range);
        source.read(host, &mut reads)?;
        fronts.extend(source.front().map(|front| Reverse((front.clone(), sources.len()))));
        sources.push(source);
    }
    reads.all_began();
    let (max_keys, max_bytes) = (request.max_keys.max(1) as usize, request.max_bytes as usize);
    let (mut entries, mut bytes) = (Vec::new(), 0);
    // All fronts lie behind the least one: the page speaks for all keys up to that.
    while let Some(Reverse((front, at))) = fronts.pop() {
        let Some(source) = sources.get_mut(at) else { continue };
        let over = reads.are_used_up() || host.is_late();
        match source.take() {
            Some((key, object)) => {
                bytes += bytes_of(&key, object.as_ref());
                entries.push((key, object));
            }
            None if over => return Ok(KeyPage { entries, through: Some(front) }),
            None => {}
        }
        if source.is_empty() && !over {
            source.read(host, &mut reads)?;
        }
        fronts.extend(source.front().map(|front| Reverse((front.clone(), at))));
        if (entries.len() >= max_keys || bytes >= max_bytes) && !fronts.is_empty() {
            return Ok(KeyPage { entries, through: Some(front) });
        }
    }
    Ok(KeyPage { entries, through: None })
}

/// This node's states of some keys, dead or not.
///
/// # Errors
///
/// The node is no replica of one of them, may lack writes of it, its store failed, or it is late.
pub fn list_states(
    view: View<'_>,
    host: &impl ListHost,
    request: &StatesRequest,
) -> Result<KeyPage, Refusal> {
    let me = view.ring.index_of(view.me).ok_or(Refusal::WrongRing)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut through: Option<&Key> = None;
    for key in &request.keys {
        let over = bytes >= request.max_bytes as usize || host.is_late();
        if let Some(through) = through.filter(|_| over) {
            return Ok(KeyPage { entries, through: Some(through.clone()) });
        }
        let partition = view.ring.partition_of(&request.bucket, key);
        if !view.ring.homes(partition, request.n).contains(&me) {
            return Err(Refusal::WrongRing);
        }
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        if let Some(ReadRecord { key, object, .. }) = host.record(partition, &request.bucket, key)? {
            let object = object.map(Object::without_values);
            bytes += bytes_of(&key, object.as_ref());
            entries.push((key, object));
        }
        through = Some(key);
    }
    Ok(KeyPage { entries, through: None })
}
