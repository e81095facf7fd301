//! Which partitions a node may answer reads of.
//!
//! A home whose directory is new, or that was started uncleanly under `interval` or `os`, may lack writes
//! that it, or the directory before, acknowledged. It takes writes but no reads until it has pulled them.

use std::collections::{BTreeMap, BTreeSet};

use super::start::Memory;
use crate::ids::PartitionId;

/// One bit a partition, and one for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    all: bool,
    may_lack: bool,
    memory: Memory,
    bits: Vec<u64>,
    partitions: u32,
}

impl Completeness {
    /// Complete for all `partitions`, or for none yet.
    #[must_use]
    pub fn new(partitions: u32, complete: bool) -> Self {
        Self {
            all: complete,
            may_lack: false,
            memory: Memory::Whole,
            bits: vec![0; partitions.div_ceil(64) as usize],
            partitions,
        }
    }

    /// Whether reads of `partition` may be answered.
    #[must_use]
    pub fn serves(&self, partition: PartitionId) -> bool {
        self.all || self.bit(partition)
    }

    /// `partition` is complete. Whether that is news.
    pub fn complete(&mut self, partition: PartitionId) -> bool {
        let before = self.bit(partition);
        if let Some(word) = self.bits.get_mut(partition.0 as usize / 64) {
            *word |= 1 << (partition.0 % 64);
        }
        !before
    }

    /// Every partition is complete, or none is.
    pub fn set_all(&mut self, complete: bool) {
        if !complete {
            self.bits.fill(0);
        }
        self.all = complete;
    }

    /// Says whether this node may lack writes that nobody but it, or the directory before, acknowledged: its
    /// directory is new, and it has not merged from the others. What it holds then proves nothing to others.
    pub fn set_may_lack(&mut self, lacking: bool) {
        self.may_lack = lacking;
    }

    /// Whether this node may lack writes in that way.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        self.may_lack
    }

    /// Says what this node's directory remembers of others.
    pub fn set_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// What it remembers of others.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// How many partitions are not complete.
    #[must_use]
    pub fn missing(&self) -> u32 {
        if self.all {
            return 0;
        }
        let set: u32 = self.bits.iter().map(|word| word.count_ones()).sum();
        self.partitions.saturating_sub(set)
    }

    fn bit(&self, partition: PartitionId) -> bool {
        let word = self.bits.get(partition.0 as usize / 64);
        word.is_some_and(|word| word & (1 << (partition.0 % 64)) != 0)
    }
}

/// What a scan of one other home is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pulled {
    /// All it holds, and it lacked nothing.
    Whole,
    /// All it holds; it may itself lack writes.
    Partial,
}

/// Whether a home that merged from `pulled` has every write that was acknowledged before: from enough that
/// lack nothing to overlap any W of them, or from everyone there is.
#[must_use]
pub fn is_enough<T: Ord>(others: &BTreeSet<T>, pulled: &BTreeMap<T, Pulled>, needed: u8) -> bool {
    let from = others.iter().filter_map(|other| pulled.get(other));
    let whole = from.clone().filter(|pulled| **pulled == Pulled::Whole).count();
    whole >= usize::from(needed) || from.count() == others.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_served_once_it_is_complete_and_no_other_is() {
        let mut completeness = Completeness::new(128, false);
        assert!(completeness.complete(PartitionId(65)));
        assert!(!completeness.complete(PartitionId(65)));
        assert!(completeness.serves(PartitionId(65)));
        assert!(!completeness.serves(PartitionId(64)));
        assert_eq!(completeness.missing(), 127);
        completeness.set_all(true);
        assert!(completeness.serves(PartitionId(64)));
        completeness.set_all(false);
        assert!(!completeness.serves(PartitionId(65)));
    }

    #[test]
    fn a_home_that_may_itself_lack_writes_does_not_count_unless_there_is_no_other() {
        let others = BTreeSet::from(["b", "c", "d", "e"]);
        let mut pulled = BTreeMap::from([("b", Pulled::Partial), ("c", Pulled::Whole), ("d", Pulled::Whole)]);
        assert!(!is_enough(&others, &pulled, 3));
        pulled.insert("e", Pulled::Whole);
        assert!(is_enough(&others, &pulled, 3));
        let all_partial = others.iter().map(|&other| (other, Pulled::Partial)).collect();
        assert!(is_enough(&others, &all_partial, 3));
    }
}
