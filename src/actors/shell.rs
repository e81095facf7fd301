//! What every actor of the house shares: bounded hand-over, and a panic that ends the process.

use std::sync::Arc;

use actix::dev::SendError;
use actix::{Actor, Context, Recipient};

use crate::actors::counters::NodeCounters;
use crate::actors::messages::Answer;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::NodeId;
use crate::storage::StoreError;
use crate::telemetry::{Counter, log};
use crate::transport::{AnswerSink, Answered};

/// How many messages an actor's mailbox holds. The permits bound what clients put there, the transport what
/// peers do; this bound is the last one and counted when it is met.
pub const MAILBOX: usize = 32_768;

/// The context of an actor that is yet to run: its address exists, and its mailbox is as large as it will be.
#[must_use]
pub fn context<A: Actor<Context = Context<A>>>() -> Context<A> {
    context_of(MAILBOX)
}

/// The same, with room for so many messages, where one of them is large.
#[must_use]
pub fn context_of<A: Actor<Context = Context<A>>>(messages: usize) -> Context<A> {
    let mut context = Context::new();
    context.set_mailbox_capacity(messages);
    context
}

/// Hands a message over if there is room. What could not be handed over comes back, counted.
pub fn hand_over<M>(to: &Recipient<M>, message: M, refused: &Counter) -> Result<(), M>
where
    M: actix::Message<Result = ()> + Send,
{
    match to.try_send(message) {
        Ok(()) => Ok(()),
        Err(SendError::Full(message) | SendError::Closed(message)) => {
            refused.add();
            Err(message)
        }
    }
}

/// From now on a panic anywhere is logged and ends the process: a node that lost an actor must not go on
/// half alive, and a restart is what the rest of the cluster knows how to deal with.
pub fn end_the_process_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        tracing::error!(thread = name, "panic, the process ends: {info}");
        end_the_process(101);
    }));
}

/// Ends the process once its log has been written.
fn end_the_process(code: i32) -> ! {
    log::finish();
    std::process::exit(code)
}

/// Logs a failed sync and ends the process: nothing is certain about the disk any more, and only a restart
/// reads what is really there.
pub fn end_the_process_on_sync_error(error: &StoreError) {
    tracing::error!("a sync failed, the process ends: {error}");
    end_the_process(102);
}

/// The same, where the error may be another.
pub fn end_the_process_if_a_sync_failed(error: &StoreError) {
    if matches!(error, StoreError::Sync(_)) {
        end_the_process_on_sync_error(error);
    }
}

/// Puts a lane's answers into an actor's mailbox.
pub struct ToMailbox {
    to: Recipient<Answer>,
    counters: Arc<NodeCounters>,
}

impl ToMailbox {
    /// Puts them into `to`.
    #[must_use]
    pub fn new(to: Recipient<Answer>, counters: Arc<NodeCounters>) -> Self {
        Self { to, counters }
    }
}

impl AnswerSink for ToMailbox {
    fn answer(&self, from: &NodeId, answered: Answered) {
        let Answered { tag, answer, clock, left } = answered;
        let answer = Answer { from: from.clone(), tag, answer: AnswerBody::Peer(answer), clock, left };
        // Counted; the operation then ends at its deadline.
        let _ = hand_over(&self.to, answer, &self.counters.mailbox_refused);
    }
}
