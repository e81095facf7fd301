//! An operation that was handed to its shard, and whose answer is awaited.

use tokio::sync::oneshot;

use crate::protocol::message::Refusal;
use crate::protocol::operation::{OperationError, Outcome, ReadReply, WriteReply};

/// The answer to come.
pub struct Underway<T>(pub oneshot::Receiver<Result<T, OperationError>>);

impl Underway<ReadReply> {
    /// Waits for it.
    pub async fn read(self) -> Result<ReadReply, OperationError> {
        self.0.await.unwrap_or(Err(OperationError::NotServing(Refusal::Draining)))
    }
}

impl Underway<WriteReply> {
    /// Waits for it.
    pub async fn written(self) -> Result<WriteReply, OperationError> {
        self.0.await.unwrap_or_else(|_| Err(nothing_heard()))
    }
}

/// The error of an operation that nothing more is known of.
#[must_use]
pub fn nothing_heard() -> OperationError {
    OperationError::Deadline { answered: 0, needed: 0, total: 0, outcome: Outcome::Unknown }
}
