//! The body of a request, received whole, within bounds of size, time and memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt as _;

use super::error::Problem;

/// The memory that all bodies in flight may take together, and what was refused for its sake.
#[derive(Debug)]
pub struct BodyBudget {
    limit: usize,
    used: AtomicUsize,
    over_budget: AtomicU64,
    too_large: AtomicU64,
    too_slow: AtomicU64,
}

/// A share of the budget; it goes back when this is dropped.
#[derive(Debug)]
pub struct BodyPermit<'a> {
    budget: &'a BodyBudget,
    bytes: usize,
}

impl Drop for BodyPermit<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl BodyBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            over_budget: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            too_slow: AtomicU64::new(0),
        }
    }

    /// What was refused so far, by name.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("http_bodies_over_budget", self.over_budget.load(Ordering::Relaxed)),
            ("http_bodies_too_large", self.too_large.load(Ordering::Relaxed)),
            ("http_bodies_too_slow", self.too_slow.load(Ordering::Relaxed)),
        ]
    }

    fn take(&self, bytes: usize) -> Option<BodyPermit<'_>> {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        taken.then(|| BodyPermit { budget: self, bytes })
    }

    /// Receives a body of `limit` bytes at the most within `within`. The share of the budget is held until
    /// the permit is dropped.
    ///
    /// # Errors
    ///
    /// It is over the limit, does not arrive in time or whole, or the budget is spent.
    pub async fn receive(
        &self,
        what: &'static str,
        headers: &HeaderMap,
        payload: web::Payload,
        limit: usize,
        within: Duration,
    ) -> Result<(Bytes, BodyPermit<'_>), Problem> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = declared.filter(|&length| length > limit as u64) {
            self.too_large.fetch_add(1, Ordering::Relaxed);
            return Err(Problem::too_large(what, Some(length), limit));
        }
        // A body without a length may take all that the limit allows.
        let share = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
        let permit = self.take(share).ok_or_else(|| {
            self.over_budget.fetch_add(1, Ordering::Relaxed);
            Problem::bodies_over_budget(self.limit)
        })?;
        // The timer is only armed if the body is not there at the first look.
        let collected = tokio::time::timeout(within, collect(payload, limit)).await.map_err(|_| {
            self.too_slow.fetch_add(1, Ordering::Relaxed);
            Problem::body_too_slow()
        })?;
        match collected {
            Ok(Some(bytes)) => Ok((bytes, permit)),
            Ok(None) => {
                self.too_large.fetch_add(1, Ordering::Relaxed);
                Err(Problem::too_large(what, None, limit))
            }
            Err(Broken) => Err(Problem::body_broken()),
        }
    }
}

/// The connection broke, or its framing did.
struct Broken;

/// The whole body; none if it is over the limit.
async fn collect(mut payload: web::Payload, limit: usize) -> Result<Option<Bytes>, Broken> {
    let Some(first) = payload.next().await else { return Ok(Some(Bytes::new())) };
    let first = first.map_err(|_| Broken)?;
    if first.len() > limit {
        return Ok(None);
    }
    // A body of one piece is kept as it is; only one of several is copied.
    let Some(second) = payload.next().await else { return Ok(Some(first)) };
    let mut whole = BytesMut::from(first);
    let mut piece = second.map_err(|_| Broken)?;
    loop {
        if whole.len().saturating_add(piece.len()) > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
        match payload.next().await {
            Some(next) => piece = next.map_err(|_| Broken)?,
            None => return Ok(Some(whole.freeze())),
        }
    }
}
