//! What a directory must remember of its runs, as records of its store.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::sealed::{RecordDamaged, seal, unseal};
use super::{Change, Store, StoreError, Table};
use neap_protocol::membership::{Holding, Memory, RunId, RunNumber, RunRecord};
use neap_protocol::time::{Hlc, WallMicros};

const RUN_KEY: &[u8] = b"directory/run";
const CEILING_KEY: &[u8] = b"directory/ceiling";
const HOLDING_KEY: &[u8] = b"directory/holding";

const CLEAN: u8 = 1;
const SYNCED: u8 = 1 << 1;
const REFUSED: u8 = 1 << 2;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The record of the run.
    pub run: RunRecord,
    /// No HLC above it was ever issued here. The clock begins above it.
    pub ceiling: Hlc,
    /// The highest reading of the wall clock that was recorded with a ceiling.
    pub highest: WallMicros,
    /// Whether the run before this one ended with the mark of a clean stop.
    pub clean: bool,
    /// What the directory holds.
    pub holding: Holding,
}

/// What is recorded of a node's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CeilingRecord {
    ceiling: Hlc,
    highest: WallMicros,
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
}

/// The bookkeeping of a run.
#[derive(Debug)]
pub struct Bookkeeping {
    store: Arc<dyn Store>,
    run: Mutex<RunRecord>,
    ceiling: Mutex<CeilingRecord>,
}

impl Bookkeeping {
    /// Makes the records of an empty store.
    pub fn make(store: &dyn Store) -> Result<(), StoreError> {
        let ceiling = ceiling_change(CeilingRecord { ceiling: Hlc::ZERO, highest: WallMicros(0) });
        write(store, vec![run_change(&RunRecord::before_any()), ceiling, holding_change(Holding::New)])
    }

    /// Begins a run, whose id was drawn and which acknowledges only what is synced, or not. When this returns, it is
    /// recorded durably, and so is what the run before it may have lost.
    pub fn begin(store: Arc<dyn Store>, run: RunId, synced: bool) -> Result<(Self, Begun), BookkeepingError> {
        let last = read(&*store, RUN_KEY, run_from_bytes)?;
        let clocks = read(&*store, CEILING_KEY, ceiling_from_bytes)?;
        let holding = last.leaves(read(&*store, HOLDING_KEY, holding_from_bytes)?);
        let run = last.next(run, synced);
        write(&*store, vec![run_change(&run), holding_change(holding)])?;
        let bookkeeping = Self { store, run: Mutex::new(run.clone()), ceiling: Mutex::new(clocks) };
        let CeilingRecord { ceiling, highest } = clocks;
        Ok((bookkeeping, Begun { run, ceiling, highest, clean: last.clean, holding }))
    }

    /// Forgets the runs, for a directory that is to have another id: it does not count towards R until it merged what
    /// it may lack.
    pub fn forget_runs(store: &dyn Store) -> Result<(), StoreError> {
        write(
            store,
            vec![holding_change(Holding::Lacking(Memory::Gone)), run_change(&RunRecord::before_any())],
        )
    }

    /// Records durably, with everything applied before, that the node stops. Nothing may be applied after it.
    pub fn mark_clean_stop(&self) -> Result<(), StoreError> {
        // Two syncs: the mark must not be durable before what it vouches for.
        self.store.sync()?;
        self.amend_run(|run| run.clean = true)
    }

    /// Records durably that a peer has refused the identity of this run.
    pub fn mark_refused(&self) -> Result<(), StoreError> {
        self.amend_run(|run| run.refused = true)
    }

    fn amend_run(&self, amend: impl FnOnce(&mut RunRecord)) -> Result<(), StoreError> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        amend(&mut run);
        write(&*self.store, vec![run_change(&run)])
    }

    /// Records durably that HLCs up to `ceiling` may be issued, and the highest reading of the wall clock. A lower ceiling
    /// than that in force is ignored.
    pub fn raise_ceiling(&self, ceiling: Hlc, highest: WallMicros) -> Result<(), StoreError> {
        let mut in_force = self.ceiling.lock().unwrap_or_else(PoisonError::into_inner);
        if ceiling > in_force.ceiling {
            let raised = CeilingRecord { ceiling, highest: highest.max(in_force.highest) };
            write(&*self.store, vec![ceiling_change(raised)])?;
            *in_force = raised;
        }
        Ok(())
    }

    /// Records durably, with everything applied before, what the directory holds.
    pub fn mark_holding(&self, holding: Holding) -> Result<(), StoreError> {
        self.store.sync()?;
        write(&*self.store, vec![holding_change(holding)])
    }
}

fn ceiling_change(record: CeilingRecord) -> Change {
    put(CEILING_KEY, &[record.ceiling.0.to_le_bytes(), record.highest.0.to_le_bytes()].concat())
}

/// A record of an earlier version has no highest reading.
fn ceiling_from_bytes(bytes: &[u8]) -> Option<CeilingRecord> {
    let (ceiling, rest) = bytes.split_first_chunk()?;
    let highest = if rest.is_empty() { [0; 8] } else { rest.try_into().ok()? };
    let (ceiling, highest) = (Hlc(u64::from_le_bytes(*ceiling)), WallMicros(u64::from_le_bytes(highest)));
    Some(CeilingRecord { ceiling, highest })
}

fn run_change(run: &RunRecord) -> Change {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let mut bytes = vec![flag(run.clean, CLEAN) | flag(run.synced, SYNCED) | flag(run.refused, REFUSED)];
    bytes.extend_from_slice(&run.number.0.to_le_bytes());
    bytes.extend(run.history.iter().flat_map(|run| run.0.to_le_bytes()));
    put(RUN_KEY, &bytes)
}

fn run_from_bytes(bytes: &[u8]) -> Option<RunRecord> {
    let (&flags, rest) = bytes.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (runs, left) = rest.as_chunks::<8>();
    let known = flags & !(CLEAN | SYNCED | REFUSED) == 0;
    (known && left.is_empty()).then(|| RunRecord {
        number: RunNumber(u64::from_le_bytes(*number)),
        history: runs.iter().map(|run| RunId(u64::from_le_bytes(*run))).collect(),
        clean: flags & CLEAN != 0,
        synced: flags & SYNCED != 0,
        refused: flags & REFUSED != 0,
    })
}

fn holding_change(holding: Holding) -> Change {
    let byte = match holding {
        Holding::New => 0,
        Holding::Lacking(Memory::Whole) => 1,
        Holding::Complete(Memory::Whole) => 2,
        Holding::Lacking(Memory::Gone) => 3,
        Holding::Complete(Memory::Gone) => 4,
    };
    put(HOLDING_KEY, &[byte])
}

fn holding_from_bytes(bytes: &[u8]) -> Option<Holding> {
    match bytes {
        [0] => Some(Holding::New),
        [1] => Some(Holding::Lacking(Memory::Whole)),
        [2] => Some(Holding::Complete(Memory::Whole)),
        [3] => Some(Holding::Lacking(Memory::Gone)),
        [4] => Some(Holding::Complete(Memory::Gone)),
        _ => None,
    }
}

fn read<T>(store: &dyn Store, key: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Result<T, BookkeepingError> {
    let unusable =
        |reason: String| BookkeepingError::Record { record: key.escape_ascii().to_string(), reason };
    let record = store.get(Table::Meta, key)?;
    let record = record.ok_or_else(|| unusable("it is missing".to_owned()))?;
    let body = unseal(key, record).map_err(|damaged| unusable(damaged.to_string()))?;
    parse(&body).ok_or_else(|| unusable(RecordDamaged::Malformed { what: "body" }.to_string()))
}

fn put(key: &'static [u8], body: &[u8]) -> Change {
    Change::Put { table: Table::Meta, key: Bytes::from_static(key), value: seal(key, body) }
}

fn write(store: &dyn Store, changes: Vec<Change>) -> Result<(), StoreError> {
    store.apply_from_reserve(changes)?;
    store.sync()
}
