//! Large bodies of replies, sent within a bound of memory.
//!
//! The framework copies a body whole into the buffer of its connection, where it lies for as long as the client likes. So
//! a large one is handed to it in pieces, as the client takes them, and what it still holds counts against a budget.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use super::error::Problem;

/// A body of so many bytes is sent as it is: sockets hold more. A larger one is sent in pieces of as many.
const PIECE: usize = 32 * 1024;

/// The memory that all large bodies being sent may take together.
#[derive(Debug, Clone)]
pub struct AnswerBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: usize,
    used: AtomicUsize,
    over_budget: AtomicU64,
    cut_short: AtomicU64,
}

impl AnswerBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let (used, over_budget, cut_short) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Budget { limit, used, over_budget, cut_short }))
    }

    /// What was refused or given up so far, by name.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 2] {
        [
            ("http_answers_over_budget", self.0.over_budget.load(Ordering::Relaxed)),
            ("http_answers_cut_short", self.0.cut_short.load(Ordering::Relaxed)),
        ]
    }

    /// The body of a reply. To `HEAD` it is not sent, only its length.
    ///
    /// # Errors
    ///
    /// It is large, and the budget is spent.
    pub fn body(&self, bytes: Bytes, to_head: bool) -> Result<BoxBody, Problem> {
        if to_head || bytes.len() <= PIECE {
            return Ok(BoxBody::new(bytes));
        }
        let (budget, share) = (&self.0, bytes.len());
        let fits = |used: usize| used.checked_add(share).filter(|&sum| sum <= budget.limit);
        if budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            budget.over_budget.fetch_add(1, Ordering::Relaxed);
            return Err(Problem::answers_over_budget(budget.limit));
        }
        Ok(BoxBody::new(Sending { rest: bytes, share, budget: budget.clone() }))
    }
}

/// A body on its way; its share of the budget goes back when this is dropped.
struct Sending {
    rest: Bytes,
    share: usize,
    budget: Arc<Budget>,
}

impl MessageBody for Sending {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let rest = &mut self.get_mut().rest;
        let piece = rest.split_to(PIECE.min(rest.len()));
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.share, Ordering::Relaxed);
        if !self.rest.is_empty() {
            self.budget.cut_short.fetch_add(1, Ordering::Relaxed);
        }
    }
}
