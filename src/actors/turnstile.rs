//! Before a shard: whose operation it works at next (see [`crate::protocol::admission`]).
//!
//! What waits here holds a permit, so that it is bounded. It waits as a value, not as a task: whoever ends an operation
//! hands the next one to the shard, and so does an alarm where turns rest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Recipient;

use crate::actors::alarm::{Alarm, Bell, alarm};
use crate::actors::clock::moment;
use crate::actors::counters::NodeCounters;
use crate::actors::messages::{Client, ClientOperation, ClientOperations};
use crate::actors::shell::hand_over;
use crate::protocol::admission::{Pace, Slot, Turns, Waits};
use crate::protocol::coordinator::Ask;
use crate::protocol::message::{PeerAnswer, Refusal};
use crate::protocol::operation::{OperationError, Outcome};
use crate::protocol::time::{Hlc, Moment};
use crate::storage::{CommitStats, GroupCommit};

/// A turn: while it lives, its operation is among those that the shard works at.
#[derive(Debug)]
pub struct Turn {
    turnstile: Arc<Turnstile>,
    slot: Slot,
    handed_over: Moment,
    answered: Answered,
    /// Whether it was used: one that was not is given back by whoever gave it.
    used: bool,
}

impl Turn {
    /// The operation is out of the mailbox.
    pub fn begins(&self) {
        self.turnstile.begun.fetch_add(1, Ordering::Relaxed);
        self.turnstile.waited(moment().micros_since(self.handed_over));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.used {
            let now = moment();
            self.answered.0.store(now.0, Ordering::Relaxed);
            self.turnstile.leave(now, self.slot);
            self.turnstile.go_on();
        }
    }
}

/// When an operation was answered, as a moment, once it was.
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<AtomicU64>);

/// The turns of one shard.
pub struct Turnstile {
    shard: Recipient<ClientOperation>,
    batches: Recipient<ClientOperations>,
    commit: Arc<GroupCommit>,
    counters: Arc<NodeCounters>,
    /// Goes off once a turn has rested. Without one, none rests.
    alarm: Option<Alarm>,
    /// Operations begun since the pace was last looked at, and how long they lay in queues.
    begun: AtomicU64,
    waited_us: AtomicU64,
    /// Held for a few steps in a map and now and then a look at all buckets, never while a message is handed over.
    state: Mutex<State>,
}

struct State {
    turns: Turns<ClientOperation>,
    pace: Pace,
    /// Operations that had to wait and were admitted since the pace was last looked at, and the writes among them.
    admitted: u64,
    writes_admitted: u64,
    /// Operations whose deadline had passed before their turn came, since then.
    expired: u64,
    /// What had been synced at that time.
    commits: CommitStats,
    /// When it is to go off, if it is set.
    alarm_at: Option<Moment>,
}

impl State {
    fn count(&mut self, admitted: &Ask) {
        self.admitted += 1;
        self.writes_admitted += u64::from(!matches!(admitted, Ask::Read(_)));
    }
}

impl std::fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turnstile").finish_non_exhaustive()
    }
}

impl Turnstile {
    /// Before `shard`, which works at `in_flight` operations at the most, and at fewer while several buckets ask: at how
    /// many, `pace` finds.
    #[must_use]
    pub fn new(
        shard: Recipient<ClientOperation>,
        batches: Recipient<ClientOperations>,
        in_flight: u32,
        pace: Pace,
        commit: Arc<GroupCommit>,
        counters: Arc<NodeCounters>,
    ) -> Arc<Self> {
        let state = State {
            turns: Turns::new(in_flight),
            pace,
            admitted: 0,
            writes_admitted: 0,
            expired: 0,
            commits: commit.stats(),
            alarm_at: None,
        };
        let (alarm, bell) = alarm().inspect_err(cannot_rest).ok().unzip();
        let this = Arc::new(Self {
            shard,
            batches,
            commit,
            counters,
            alarm,
            begun: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            state: Mutex::new(state),
        });
        if let Some(bell) = bell {
            this.go_on_when_rested(bell);
        }
        this
    }

    /// On this thread, for as long as the turnstile sets it.
    fn go_on_when_rested(self: &Arc<Self>, bell: Bell) {
        let turnstile = Arc::downgrade(self);
        actix::spawn(bell.ringing(move || {
            let Some(turnstile) = turnstile.upgrade() else { return false };
            turnstile.state().alarm_at = None;
            turnstile.go_on();
            true
        }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an operation to the shard, now or once it is its turn. It is answered in any case.
    pub fn enter(self: &Arc<Self>, operation: ClientOperation) {
        if let Some(operation) = self.ask_for_turn(operation)
            && !self.hand_over(operation)
        {
            self.go_on();
        }
    }

    /// The same for the operations of a batch: those whose turn it is are one message.
    pub fn enter_together(self: &Arc<Self>, operations: Vec<ClientOperation>) {
        let now = operations.into_iter().filter_map(|operation| self.ask_for_turn(operation));
        let now: Vec<ClientOperation> = now.map(|operation| self.with_turn(operation)).collect();
        if now.is_empty() {
            return;
        }
        let handed = hand_over(&self.batches, ClientOperations(now), &self.counters.mailbox_refused);
        if let Err(ClientOperations(operations)) = handed {
            operations.into_iter().for_each(|operation| self.turn_away(operation));
            self.go_on();
        }
    }

    fn ask_for_turn(&self, operation: ClientOperation) -> Option<ClientOperation> {
        let slot = operation.permit.slot();
        let mut state = self.state();
        let entered = state.turns.enter(moment(), slot, operation);
        if entered.is_none() {
            self.wake_when_rested(&mut state);
            drop(state);
            self.counters.operations_waited.add();
        }
        entered
    }

    /// An operation lay in a queue of this node for so long: in the shard's mailbox, or, answered, in its worker's.
    fn waited(&self, waited_us: u64) {
        self.waited_us.fetch_add(waited_us, Ordering::Relaxed);
    }

    /// An operation that was answered at a moment is with its client's worker now.
    pub fn replied(&self, answered: &Answered) {
        let at = answered.0.load(Ordering::Relaxed);
        if at > 0 {
            self.waited(moment().micros_since(Moment(at)));
        }
    }

    fn leave(&self, now: Moment, slot: Slot) {
        self.state().turns.leave(now, slot);
    }

    /// Hands over what may run now.
    fn go_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state();
                let state = &mut *state;
                let now = moment();
                self.keep_pace(now, state);
                let next = state.turns.admit_next(now);
                match &next {
                    Some(operation) => state.count(&operation.ask),
                    None => self.wake_when_rested(state),
                }
                next
            };
            let Some(operation) = next else { return };
            match is_wanted(&operation) {
                Ok(()) => drop(self.hand_over(operation)),
                Err(why) => {
                    self.state().turns.unused(operation.permit.slot());
                    self.shed(operation, why);
                }
            }
        }
    }

    /// Sets the alarm to when a turn has rested for which something waits.
    fn wake_when_rested(&self, state: &mut State) {
        let (Some(alarm), Some(at)) = (&self.alarm, state.turns.rested_at()) else { return };
        if state.alarm_at.is_none_or(|set| set > at) {
            state.alarm_at = Some(at);
            alarm.set(Duration::from_micros(at.micros_since(moment())));
        }
    }

    fn keep_pace(&self, now: Moment, state: &mut State) {
        if state.pace.is_due(now) {
            let waits = self.waits(state);
            let held_down = state.pace.holds_down();
            state.pace.look(now, waits, state.turns.demand());
            let rest_us = if self.alarm.is_some() { state.pace.rest_us() } else { 0 };
            state.turns.set_pace(state.pace.most(), rest_us);
            if state.pace.holds_down() && !held_down {
                self.counters.floods_held_down.add();
            }
        }
    }

    /// Since it was last asked.
    fn waits(&self, state: &mut State) -> Waits {
        let begun = self.begun.swap(0, Ordering::Relaxed);
        let total_us = self.waited_us.swap(0, Ordering::Relaxed);
        let before = std::mem::replace(&mut state.commits, self.commit.stats());
        let durable = state.commits.durable - before.durable;
        let waited_us = state.commits.waited_us - before.waited_us;
        let (admitted, writes) =
            (std::mem::take(&mut state.admitted), std::mem::take(&mut state.writes_admitted));
        // Those of other shards and nodes lay there as long as ours.
        let for_syncs_us = writes.saturating_mul(waited_us).checked_div(durable).unwrap_or(0);
        let expired = std::mem::take(&mut state.expired);
        Waits { begun, total_us, admitted, for_syncs_us, expired }
    }

    /// False if the shard had no room for it. Then a turn is free, and whoever calls goes on with what waits.
    fn hand_over(self: &Arc<Self>, operation: ClientOperation) -> bool {
        let operation = self.with_turn(operation);
        let handed = hand_over(&self.shard, operation, &self.counters.mailbox_refused);
        handed.map_err(|operation| self.turn_away(operation)).is_ok()
    }

    fn with_turn(self: &Arc<Self>, mut operation: ClientOperation) -> ClientOperation {
        let answered = operation.permit.answered().clone();
        let slot = operation.permit.slot();
        let turn = Turn { turnstile: self.clone(), slot, handed_over: moment(), answered, used: true };
        operation.permit.turn = Some(turn);
        operation
    }

    /// The shard has no room for an operation.
    fn turn_away(&self, mut operation: ClientOperation) {
        // Whoever handed it over goes on with what waits; the end of this one must not do so once more.
        if let Some(turn) = &mut operation.permit.turn {
            turn.used = false;
        }
        self.state().turns.unused(operation.permit.slot());
        refuse(operation.client, OperationError::Overloaded);
    }

    fn shed(&self, operation: ClientOperation, why: Unwanted) {
        match why {
            Unwanted::ClientGone => self.counters.waiting_clients_gone.add(),
            Unwanted::DeadlinePassed => {
                self.counters.waiting_expired.add();
                self.state().expired += 1;
                let outcome = Outcome::NotApplied;
                let late = OperationError::Deadline { answered: 0, needed: 0, total: 0, outcome };
                refuse(operation.client, late);
            }
        }
    }
}

fn cannot_rest(error: &std::io::Error) {
    tracing::warn!(%error, "no timer could be made, so what floods does not rest between its operations");
}

enum Unwanted {
    ClientGone,
    DeadlinePassed,
}

/// Whether anybody still waits for what has waited.
fn is_wanted(operation: &ClientOperation) -> Result<(), Unwanted> {
    let gone = match &operation.client {
        Client::Read(reply) => reply.is_closed(),
        Client::Write(reply) => reply.is_closed(),
        Client::Peer(_) => false,
    };
    match (gone, operation.deadline <= moment()) {
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
