//! Permits: how many client requests a node has in flight. Mailboxes do not bound; this does.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Held from the edge until the client is answered.
#[derive(Debug)]
pub struct Permit {
    _held: OwnedSemaphorePermit,
}

/// The bound of `limits.in_flight`.
#[derive(Debug, Clone)]
pub struct Admission {
    permits: Arc<Semaphore>,
    all: u32,
}

impl Admission {
    /// `in_flight` permits.
    #[must_use]
    pub fn new(in_flight: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(in_flight as usize)), all: in_flight }
    }

    /// A permit, if one is free. Nobody waits for one: a queue here would only hide the overload.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        self.permits.clone().try_acquire_owned().ok().map(|held| Permit { _held: held })
    }

    /// So many permits, if as many are free.
    #[must_use]
    pub fn permits(&self, count: usize) -> Option<Vec<Permit>> {
        let all = u32::try_from(count).ok()?;
        let mut held = self.permits.clone().try_acquire_many_owned(all).ok()?;
        Some((0..count).map_while(|_| held.split(1)).map(|held| Permit { _held: held }).collect())
    }

    /// Waits until every permit is back, so that nothing is in flight.
    pub async fn all_returned(&self) {
        let _ = self.permits.acquire_many(self.all).await;
    }
}
