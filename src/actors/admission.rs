//! Permits: how many client requests a node has in flight, and of which buckets. Mailboxes do not bound; this does.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::actors::turnstile::Turn;
use crate::protocol::admission::{BucketClass, Permits, SLOTS, Slot, Standing};
use crate::protocol::ids::BucketName;

/// Of how many buckets the refusals are counted apart; those of all others are counted together.
const BUCKETS_COUNTED: usize = 64;
/// The name under which those of all others are; no bucket has it.
const OTHERS: &str = "(others)";
/// How often it is looked whether all permits are back, once the node stops.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Held from the edge until the client is answered.
#[derive(Debug)]
pub struct Permit {
    held: Arc<Held>,
    slot: Slot,
    class: BucketClass,
    /// Held while its shard works at the operation.
    pub(super) turn: Option<Turn>,
}

impl Permit {
    /// The client is answered: the permit is returned, and the turn handed back.
    pub fn answered(mut self) {
        let turn = self.turn.take();
        drop(self);
        if let Some(turn) = turn {
            turn.hand_back();
        }
    }

    /// Where its bucket falls.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// How its bucket stood when it was given.
    #[must_use]
    pub fn class(&self) -> BucketClass {
        self.class
    }
}

/// What is in flight. Of each number there may be told a little more or less than there is at the moment, but for
/// `all`, which bounds.
#[derive(Debug)]
struct Held {
    all: AtomicU32,
    active: AtomicU32,
    slots: Box<[AtomicU32]>,
}

/// The bound of `limits.in_flight`.
#[derive(Debug, Clone)]
pub struct Admission {
    permits: Permits,
    held: Arc<Held>,
    /// Buckets that share a slot on one node do not on the next.
    hasher: RandomState,
    refused: Arc<Mutex<BTreeMap<BucketName, u64>>>,
    refused_of_others: Arc<AtomicU64>,
}

impl Admission {
    /// `in_flight` permits, and those in reserve.
    #[must_use]
    pub fn new(in_flight: u32) -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self {
            permits: Permits::new(in_flight),
            held: Arc::new(Held { all: AtomicU32::new(0), active: AtomicU32::new(0), slots }),
            hasher: RandomState::new(),
            refused: Arc::default(),
            refused_of_others: Arc::default(),
        }
    }

    /// A permit for a request of `bucket`, if there is one for it. Nobody waits for one: a queue here would only hide the
    /// overload.
    #[must_use]
    pub fn permit(&self, bucket: &BucketName) -> Option<Permit> {
        let slot = Slot::of(self.hasher.hash_one(bucket.as_str()));
        let of_bucket = self.held.slots.get(slot.index())?;
        let standing = |in_flight| Standing {
            in_flight,
            mine: of_bucket.load(Ordering::Relaxed),
            active: self.held.active.load(Ordering::Relaxed),
        };
        let one_more = |all| self.permits.admit(standing(all)).then_some(all + 1);
        if self.held.all.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).is_err() {
            self.count_refusal(bucket);
            return None;
        }
        let class = if of_bucket.fetch_add(1, Ordering::Relaxed) == 0 {
            self.held.active.fetch_add(1, Ordering::Relaxed);
            BucketClass::Quiet
        } else {
            BucketClass::Busy
        };
        Some(Permit { held: self.held.clone(), slot, class, turn: None })
    }

    fn count_refusal(&self, bucket: &BucketName) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < BUCKETS_COUNTED && !refused.contains_key(bucket) {
            refused.insert(bucket.clone(), 0);
        }
        match refused.get_mut(bucket) {
            Some(many) => *many += 1,
            None => drop(self.refused_of_others.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// How many requests were refused, by bucket.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, u64)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let named = refused.iter().map(|(bucket, many)| (bucket.to_string(), *many));
        let others = self.refused_of_others.load(Ordering::Relaxed);
        named.chain([(OTHERS.to_owned(), others)]).collect()
    }

    /// Waits until every permit is back, so that nothing is in flight.
    pub async fn all_returned(&self) {
        while self.held.all.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(of_bucket) = self.held.slots.get(self.slot.index())
            && of_bucket.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.held.active.fetch_sub(1, Ordering::Relaxed);
        }
        self.held.all.fetch_sub(1, Ordering::AcqRel);
    }
}
