//! What a directory must remember of its runs, as records of its store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::sealed::{RecordDamaged, seal, unseal};
use super::{Change, Store, StoreError, Table};
use crate::protocol::ids::StartNumber;
use crate::protocol::membership::{LastRun, NextRun};
use crate::protocol::time::Hlc;

const START_KEY: &[u8] = b"directory/start";
const CEILING_KEY: &[u8] = b"directory/ceiling";
const COMPLETE_KEY: &[u8] = b"directory/complete";

/// What a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// What it continues.
    pub run: NextRun,
    /// No HLC above it was ever issued here. The clock begins above it.
    pub ceiling: Hlc,
    /// Whether the run before this one ended with the mark of a clean stop.
    pub clean: bool,
    /// Whether the directory holds all that a home must hold to count towards R.
    pub complete: bool,
}

/// Why a run cannot begin. Nothing changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BookkeepingError {
    /// The store failed.
    #[error("the data directory's bookkeeping failed: {0}")]
    Store(#[from] StoreError),
    /// A record is missing or damaged, so that this run could repeat what an earlier one said.
    #[error("the record {record} is unusable: {reason}")]
    Record {
        /// The record's key.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// All start numbers are used up; `--new-directory-id` begins anew.
    #[error("no start number is left")]
    StartsUsedUp,
}

/// The bookkeeping of a run.
#[derive(Debug)]
pub struct Bookkeeping {
    store: Arc<dyn Store>,
    start: Mutex<StartNumber>,
    ceiling: Mutex<Hlc>,
}

impl Bookkeeping {
    /// Makes the records of an empty store.
    pub fn make(store: &dyn Store) -> Result<(), StoreError> {
        write(store, START_KEY, &run_to_bytes(LastRun::BEFORE_ANY))?;
        write(store, CEILING_KEY, &Hlc::ZERO.0.to_le_bytes())?;
        write(store, COMPLETE_KEY, &[0])
    }

    /// Begins a run. When this returns, it is recorded durably.
    pub fn begin(store: Arc<dyn Store>) -> Result<(Self, Begun), BookkeepingError> {
        let last = read(&*store, START_KEY, run_from_bytes)?;
        let run = last.next().ok_or(BookkeepingError::StartsUsedUp)?;
        let ceiling =
            read(&*store, CEILING_KEY, |bytes| bytes.try_into().ok().map(u64::from_le_bytes).map(Hlc))?;
        let complete = read(&*store, COMPLETE_KEY, |bytes| match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        })?;
        write(&*store, START_KEY, &run_to_bytes(run.running()))?;
        let bookkeeping = Self { store, start: Mutex::new(run.start), ceiling: Mutex::new(ceiling) };
        Ok((bookkeeping, Begun { run, ceiling, clean: last.clean(), complete }))
    }

    /// Forgets the runs, for a directory that is to have another id: it is not complete until it merged what it
    /// may lack.
    pub fn forget_runs(store: &dyn Store) -> Result<(), StoreError> {
        write(store, COMPLETE_KEY, &[0])?;
        write(store, START_KEY, &run_to_bytes(LastRun::BEFORE_ANY))
    }

    /// Records durably, with everything applied before, that the node stops and has issued counters up to
    /// `counter`. Nothing may be issued or applied after it.
    pub fn mark_clean_stop(&self, counter: u64) -> Result<(), StoreError> {
        // Two syncs: the mark must not be durable before what it vouches for.
        self.store.sync()?;
        let stopped = LastRun { start: *self.start(), stopped_at: Some(counter) };
        write(&*self.store, START_KEY, &run_to_bytes(stopped))
    }

    /// Begins a new start while the node runs, recorded durably before it is returned.
    pub fn renew_start(&self) -> Result<StartNumber, StoreError> {
        let mut start = self.start();
        let next = start.next().ok_or_else(|| StoreError::Failed("all start numbers are used up".into()))?;
        write(&*self.store, START_KEY, &run_to_bytes(LastRun { start: next, stopped_at: None }))?;
        *start = next;
        Ok(next)
    }

    fn start(&self) -> MutexGuard<'_, StartNumber> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records durably that HLCs up to `ceiling` may be issued. A lower one than that in force is ignored.
    pub fn raise_ceiling(&self, ceiling: Hlc) -> Result<(), StoreError> {
        let mut in_force = self.ceiling.lock().unwrap_or_else(PoisonError::into_inner);
        if ceiling > *in_force {
            write(&*self.store, CEILING_KEY, &ceiling.0.to_le_bytes())?;
            *in_force = ceiling;
        }
        Ok(())
    }

    /// Records durably, with everything applied before, whether the directory holds all that a home must hold
    /// to count towards R.
    pub fn set_complete(&self, complete: bool) -> Result<(), StoreError> {
        self.store.sync()?;
        write(&*self.store, COMPLETE_KEY, &[u8::from(complete)])
    }
}

fn run_to_bytes(run: LastRun) -> Vec<u8> {
    let mut bytes = run.start.0.to_le_bytes().to_vec();
    if let Some(counter) = run.stopped_at {
        bytes.extend_from_slice(&counter.to_le_bytes());
    }
    bytes
}

fn run_from_bytes(bytes: &[u8]) -> Option<LastRun> {
    let (start, rest) = bytes.split_first_chunk()?;
    let stopped_at = match rest {
        [] => None,
        counter => Some(u64::from_le_bytes(counter.try_into().ok()?)),
    };
    Some(LastRun { start: StartNumber(u32::from_le_bytes(*start)), stopped_at })
}

fn read<T>(store: &dyn Store, key: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Result<T, BookkeepingError> {
    let unusable =
        |reason: String| BookkeepingError::Record { record: key.escape_ascii().to_string(), reason };
    let record = store.get(Table::Meta, key)?;
    let record = record.ok_or_else(|| unusable("it is missing".to_owned()))?;
    let body = unseal(key, record).map_err(|damaged| unusable(damaged.to_string()))?;
    parse(&body).ok_or_else(|| unusable(RecordDamaged::Malformed { what: "body" }.to_string()))
}

fn write(store: &dyn Store, key: &'static [u8], body: &[u8]) -> Result<(), StoreError> {
    let value = seal(key, body);
    store.apply_from_reserve(vec![Change::Put {
        table: Table::Meta,
        key: Bytes::from_static(key),
        value,
    }])?;
    store.sync()
}
