//! What every actor of the house shares: bounded hand-over, and a panic that ends the process.

use actix::Recipient;
use actix::dev::SendError;

use crate::actors::counters::Counter;

/// How many messages an actor's mailbox holds. The permits bound what clients put there, the transport what
/// peers do; this bound is the last one and counted when it is met.
pub const MAILBOX: usize = 32_768;

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
        std::process::exit(101);
    }));
}
