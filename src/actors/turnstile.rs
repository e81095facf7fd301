//! Before a shard: whose operation it works at next (see [`crate::protocol::admission`]).
//!
//! What waits here holds a permit, so that it is bounded. It waits as a value, not as a task: whoever ends an operation
//! hands the next one to the shard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Recipient;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::moment;
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{Client, ClientOperation, ClientOperations};
use crate::actors::shell::hand_over;
use crate::protocol::admission::{FairQueue, Slot};
use crate::protocol::message::{PeerAnswer, Refusal};
use crate::protocol::operation::{OperationError, Outcome};
use crate::protocol::time::{Hlc, Moment};

/// How many operations a shard works at while several buckets ask. More of them let more of a flood stand before a quiet
/// bucket's operation, in the mailboxes of peers and workers; fewer are a bound on what a bucket gets where replicas are far
/// away. Measured with `neap bench fairness`: from 8 to 64 it makes no difference on two cores.
const TURNS: usize = 64;

/// The turns of one shard.
pub struct Turnstile {
    shard: Recipient<ClientOperations>,
    settings: Arc<SettingsTable>,
    counters: Arc<NodeCounters>,
    /// Held for a few steps in a map, never while a message is handed over.
    queue: Mutex<FairQueue<(ClientOperation, Moment)>>,
}

impl std::fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turnstile").finish_non_exhaustive()
    }
}

impl Turnstile {
    /// Before `shard`.
    #[must_use]
    pub fn new(
        shard: Recipient<ClientOperations>,
        settings: Arc<SettingsTable>,
        counters: Arc<NodeCounters>,
    ) -> Arc<Self> {
        Arc::new(Self { shard, settings, counters, queue: Mutex::new(FairQueue::new(TURNS)) })
    }

    fn queue(&self) -> MutexGuard<'_, FairQueue<(ClientOperation, Moment)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands operations to the shard: now, in one message, or each when its turn comes. All are answered in any case.
    pub fn enter(self: &Arc<Self>, operations: Vec<ClientOperation>) {
        let (mut now, mut waited) = (Vec::with_capacity(operations.len()), 0);
        let (mut queue, arrived) = (self.queue(), moment());
        for operation in operations {
            if queue.take_turn(arrived, operation.permit.slot()) {
                now.push((operation, 0));
            } else {
                let weight = self.settings.current().settings(operation.ask.bucket()).weight;
                queue.wait(operation.permit.slot(), weight, (operation, arrived));
                waited += 1;
            }
        }
        drop(queue);
        self.counters.operations_waited.add_many(waited);
        if !now.is_empty() && !self.hand_over(now) {
            self.go_on();
        }
    }

    /// Hands over what waits, as far as turns are free.
    fn go_on(self: &Arc<Self>) {
        loop {
            let (next, unwanted) = self.next();
            unwanted.into_iter().for_each(|(operation, why)| self.shed(operation, why));
            if next.is_empty() || self.hand_over(next) {
                return;
            }
        }
    }

    /// What is handed over next, with how long it waited, and what nobody waits for any more.
    #[expect(clippy::type_complexity, reason = "two lists that are taken apart where they are made")]
    fn next(&self) -> (Vec<(ClientOperation, u64)>, Vec<(ClientOperation, Unwanted)>) {
        let (mut next, mut unwanted, now) = (Vec::new(), Vec::new(), moment());
        let mut queue = self.queue();
        while let Some((operation, since)) = queue.admit_next(now) {
            match is_wanted(&operation, now) {
                Ok(()) => next.push((operation, now.micros_since(since))),
                Err(why) => {
                    queue.hand_back(operation.permit.slot());
                    unwanted.push((operation, why));
                }
            }
        }
        (next, unwanted)
    }

    /// False if the shard had no room for them: they are refused, and their turns are free.
    fn hand_over(self: &Arc<Self>, mut operations: Vec<(ClientOperation, u64)>) -> bool {
        for (operation, _) in &mut operations {
            let turn = Turn { turnstile: self.clone(), slot: operation.permit.slot(), held: true };
            operation.permit.turn = Some(turn);
        }
        let message = ClientOperations(operations);
        let Err(ClientOperations(refused)) = hand_over(&self.shard, message, &self.counters.mailbox_refused)
        else {
            return true;
        };
        for (mut operation, _) in refused {
            // Whoever called hands over what waits: it would be refused from here without an end.
            if let Some(turn) = operation.permit.turn.take() {
                turn.give_up();
            }
            refuse(operation.client, OperationError::Overloaded);
        }
        false
    }

    fn shed(&self, operation: ClientOperation, why: Unwanted) {
        match why {
            Unwanted::ClientGone => self.counters.waiting_clients_gone.add(),
            Unwanted::DeadlinePassed => {
                self.counters.waiting_expired.add();
                let outcome = Outcome::NotApplied;
                let late = OperationError::Deadline { answered: 0, needed: 0, total: 0, outcome };
                refuse(operation.client, late);
            }
        }
    }
}

/// A turn: while it is held, its operation is among those that the shard works at.
#[must_use = "turns are handed back"]
pub struct Turn {
    turnstile: Arc<Turnstile>,
    slot: Slot,
    held: bool,
}

impl Turn {
    /// Hands it back, and the shard what waits for it.
    pub fn hand_back(self) {
        let turnstile = self.turnstile.clone();
        self.give_up();
        turnstile.go_on();
    }

    /// Hands it back; what waits is somebody else's to hand over.
    fn give_up(mut self) {
        self.held = false;
        self.turnstile.queue().hand_back(self.slot);
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.held {
            self.turnstile.counters.turns_dropped.add();
            self.turnstile.queue().hand_back(self.slot);
            self.turnstile.go_on();
        }
    }
}

enum Unwanted {
    ClientGone,
    DeadlinePassed,
}

/// Whether anybody still waits for what has waited.
fn is_wanted(operation: &ClientOperation, now: Moment) -> Result<(), Unwanted> {
    let gone = match &operation.client {
        Client::Read(reply) => reply.is_closed(),
        Client::Write(reply) => reply.is_closed(),
        Client::Peer(_) => false,
    };
    match (gone, operation.deadline <= now) {
        (true, _) => Err(Unwanted::ClientGone),
        (false, true) => Err(Unwanted::DeadlinePassed),
        (false, false) => Ok(()),
    }
}

/// Answers an operation that was not begun.
fn refuse(client: Client, error: OperationError) {
    match client {
        // A client that went away is no error.
        Client::Read(reply) => drop(reply.send(Err(error))),
        Client::Write(reply) => drop(reply.send(Err(error))),
        Client::Peer(responder) => responder.respond(PeerAnswer::Refused(Refusal::Overloaded), Hlc::ZERO),
    }
}
