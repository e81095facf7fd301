//! What was asked and answered: the truth that the cluster is held to.

use std::cell::{Cell, RefCell};

use crate::cli::load::Latencies;

/// How many keys the demo uses.
pub const KEYS: u64 = 2_000;

/// Counts and latencies since the last row of the table.
#[derive(Debug, Default, Clone, Copy)]
pub struct Window {
    /// Operations answered.
    pub operations: u64,
    /// Operations not answered as they should be.
    pub errors: u64,
    /// Lagging replicas, summed over the acknowledged writes.
    pub lagging: u64,
    /// Acknowledged writes.
    pub acked: u64,
}

/// The ledger. Each key is written by one connection alone, with rising numbers, so that the last acknowledged
/// number says what a reader must at least see.
pub struct Ledger {
    acked: RefCell<Vec<u64>>,
    reads: Cell<u64>,
    writes: Cell<u64>,
    acked_writes: Cell<u64>,
    errors: Cell<u64>,
    window: Cell<Window>,
    all: RefCell<Latencies>,
    recent: RefCell<Latencies>,
}

impl Ledger {
    /// Nothing was done yet.
    pub fn new() -> Self {
        Self {
            acked: RefCell::new(vec![0; KEYS as usize]),
            reads: Cell::new(0),
            writes: Cell::new(0),
            acked_writes: Cell::new(0),
            errors: Cell::new(0),
            window: Cell::default(),
            all: RefCell::default(),
            recent: RefCell::default(),
        }
    }

    /// A read was answered, or not.
    pub fn read(&self, answered: bool, micros: u64) {
        self.reads.set(self.reads.get() + 1);
        self.done(answered, micros);
    }

    /// A write was acknowledged, with so many replicas lagging, or not.
    pub fn write(&self, key: u64, number: u64, lagging: Option<u64>, micros: u64) {
        self.writes.set(self.writes.get() + 1);
        if let Some(lagging) = lagging {
            self.acked_writes.set(self.acked_writes.get() + 1);
            if let Some(acked) = self.acked.borrow_mut().get_mut(key as usize) {
                *acked = number.max(*acked);
            }
            let window = self.window.get();
            self.window.set(Window { lagging: window.lagging + lagging, acked: window.acked + 1, ..window });
        }
        self.done(lagging.is_some(), micros);
    }

    fn done(&self, answered: bool, micros: u64) {
        let window = self.window.get();
        if answered {
            self.window.set(Window { operations: window.operations + 1, ..window });
            self.all.borrow_mut().record(micros);
            self.recent.borrow_mut().record(micros);
        } else {
            self.window.set(Window { errors: window.errors + 1, ..window });
            self.errors.set(self.errors.get() + 1);
        }
    }

    /// Reads, writes, acknowledged writes, errors.
    pub fn totals(&self) -> (u64, u64, u64, u64) {
        (self.reads.get(), self.writes.get(), self.acked_writes.get(), self.errors.get())
    }

    /// What happened since the last call, with the median and the 99th percentile in milliseconds.
    pub fn take_window(&self) -> (Window, f64, f64) {
        let mut recent = self.recent.borrow_mut();
        let ms = |quantile| recent.quantile_ms(quantile).unwrap_or_default();
        let (p50, p99) = (ms(0.5), ms(0.99));
        recent.reset();
        (self.window.take(), p50, p99)
    }

    /// A latency of all answered operations, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        self.all.borrow().quantile_ms(quantile)
    }

    /// The keys of which a write was acknowledged, each with the last such number.
    pub fn acked(&self) -> Vec<(u64, u64)> {
        let acked = self.acked.borrow();
        (0..).zip(acked.iter().copied()).filter(|(_, number)| *number > 0).collect()
    }

    /// How many keys have an acknowledged write.
    pub fn acked_keys(&self) -> usize {
        self.acked().len()
    }
}
