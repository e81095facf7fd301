//! An operation that was handed to its shard, and whose answer is awaited.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::actors::turnstile::{Answered, Turnstile};
use crate::protocol::message::Refusal;
use crate::protocol::operation::{OperationError, Outcome, ReadReply, WriteReply};

/// What will come of it.
pub struct Underway<T> {
    pub(super) answer: oneshot::Receiver<Result<T, OperationError>>,
    pub(super) answered: Answered,
    /// Who is told when the answer has arrived.
    pub(super) awaited_alone: Option<Arc<Turnstile>>,
}

impl<T> Underway<T> {
    async fn result(self, lost: OperationError) -> Result<T, OperationError> {
        let result = self.answer.await.unwrap_or(Err(lost));
        if let Some(turnstile) = self.awaited_alone {
            turnstile.replied(&self.answered);
        }
        result
    }

    /// It is one of a batch, whose answers are awaited one after the other: that it lies until then is no sign of a queue.
    #[must_use]
    pub fn of_batch(self) -> Self {
        Self { awaited_alone: None, ..self }
    }
}

impl Underway<ReadReply> {
    /// Waits for it.
    pub async fn read(self) -> Result<ReadReply, OperationError> {
        self.result(OperationError::NotServing(Refusal::Draining)).await
    }
}

impl Underway<WriteReply> {
    /// Waits for it.
    pub async fn written(self) -> Result<WriteReply, OperationError> {
        self.result(nothing_heard()).await
    }
}

/// Of an operation that nothing more is known of.
#[must_use]
pub fn nothing_heard() -> OperationError {
    OperationError::Deadline { answered: 0, needed: 0, total: 0, outcome: Outcome::Unknown }
}
