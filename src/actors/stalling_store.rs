//! A disk that hangs on purpose: a hook for tests, which need one between real nodes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::storage::{Change, Store, StoreError, Table};

/// How often it is looked whether the disk goes on.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A store whose writes and syncs hang for as long as a file is there.
#[derive(Debug)]
pub struct StallingStore {
    store: Arc<dyn Store>,
    while_there: PathBuf,
}

impl StallingStore {
    /// Lets `store` hang while `while_there` exists.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, while_there: PathBuf) -> Self {
        Self { store, while_there }
    }

    fn stall(&self) {
        while self.while_there.exists() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Store for StallingStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, key)
    }

    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        self.stall();
        self.store.apply(batch)
    }

    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        self.stall();
        self.store.apply_from_reserve(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.stall();
        self.store.sync()
    }

    fn visit(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.visit(table, prefix, after, each)
    }
}
