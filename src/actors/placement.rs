//! Where actors run, and which shard a key belongs to. Nobody else decides either.
//!
//! The data plane (coordinator and replica store) runs on shard threads, the REST edge on its workers, the
//! control plane (membership, settings, backfill, accepting peers) on the main thread, syncs on one thread of
//! their own. So a busy mailbox starves none of the others.

use std::sync::Arc;

use actix::Recipient;

use crate::actors::messages::{Damaged, ReplicaCommand};
use crate::actors::turnstile::Turnstile;
use crate::protocol::ids::{BucketName, Key, PartitionId};
use crate::protocol::ring::Ring;

/// How many threads of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Data-plane threads.
    pub shards: u16,
    /// REST workers.
    pub http_workers: u16,
}

impl Placement {
    /// `http_workers` as configured, 0 for a choice by the cores: half for the edge, half for the shards.
    #[must_use]
    pub fn choose(http_workers: u16, cores: u16) -> Self {
        let half = (cores / 2).max(1);
        Self { shards: half, http_workers: if http_workers == 0 { half } else { http_workers } }
    }

    /// The shard of a lane's number; nodes may have different numbers of shards.
    #[must_use]
    pub fn shard_of_lane(self, lane: u16) -> u16 {
        lane % self.shards
    }
}

/// The actors of one shard.
#[derive(Debug)]
pub struct Shard {
    /// The way to its coordinator.
    pub turnstile: Arc<Turnstile>,
    /// Its replica store.
    pub replica: Recipient<ReplicaCommand>,
    /// Its coordinator, to be told of damaged records.
    pub damaged: Recipient<Damaged>,
}

/// All shards. One handle each, shared by all who send: only so do their mailboxes bound.
#[derive(Debug)]
pub struct Shards {
    first: Shard,
    rest: Vec<Shard>,
}

impl Shards {
    /// At least one.
    #[must_use]
    pub fn new(first: Shard, rest: Vec<Shard>) -> Self {
        Self { first, rest }
    }

    /// The shard that a key belongs to.
    #[must_use]
    pub fn of(&self, ring: &Ring, bucket: &BucketName, key: &Key) -> &Shard {
        self.at(self.number_of(ring, bucket, key))
    }

    /// The number of the shard that a key belongs to.
    #[must_use]
    pub fn number_of(&self, ring: &Ring, bucket: &BucketName, key: &Key) -> usize {
        let PartitionId(partition) = ring.partition_of(bucket, key);
        partition as usize % (self.rest.len() + 1)
    }

    /// The shard of a number, which [`Shards::number_of`] gave.
    #[must_use]
    pub fn at(&self, number: usize) -> &Shard {
        number.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.first)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}
