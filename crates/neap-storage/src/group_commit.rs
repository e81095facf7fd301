//! Group commit: many writes, one sync, then all their acknowledgements.
//!
//! A caller applies its write to the store and then hands in a *ticket*. The commit thread takes all tickets
//! that wait, syncs once, and gives each back to the sink that it came from. While it syncs, the next tickets
//! gather, so the group is as large as the disk is slow. Where the disk is fast, and many ask, small groups would cost
//! much CPU time: so after a group of several the next one waits until it is as large, but not for long.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Store, StoreError};

/// How often the store is synced under [`Commit::Interval`]: what a power failure can undo at most.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(200);

/// How long a sync is put off at the most, for as many tickets as the last one made durable.
pub const GATHER: Duration = Duration::from_millis(1);
/// So many were made durable by a sync after which the next one is put off. With fewer, nobody else may come.
const GATHER_FROM: u64 = 3;
/// After a sync was put off in vain, and less than half as many came, the next one is not put off; each time that it was so
/// again, twice as many are not, up to so many: who waits then does not come at the pace of the syncs.
const NOT_PUT_OFF_MOST: u32 = 16;

/// When a write counts as durable (`storage.commit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Commit {
    /// Once it is synced: it survives a power failure.
    #[default]
    Fsync,
    /// Once it is handed to the operating system, which is told to sync every [`SYNC_INTERVAL`]: it survives
    /// the end of the process.
    Interval,
    /// Once it is handed to the operating system, which syncs when it likes: it survives the end of the
    /// process.
    Os,
}

/// Who is told that writes are durable.
pub trait DurableSink: Send + Sync + 'static {
    /// Everything applied before these tickets were handed in is durable. Called once a sync, with all the
    /// sink's tickets in the order they came; what is left in the list afterwards is dropped. Must not block.
    fn durable(&self, tickets: &mut Vec<u64>);
}

/// A sink, as [`GroupCommit::register`] named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SinkId(usize);

/// What happens to a sync error: in production the process logs it and ends at once, since nothing is certain
/// about the disk any more.
pub type OnSyncError = Box<dyn Fn(StoreError) + Send + Sync>;

/// What group commit has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitStats {
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Tickets given back to their sinks.
    pub durable: u64,
    /// Tickets that wait for a sync to begin.
    pub waiting: u64,
    /// The most tickets that one sync made durable.
    pub largest_group: u64,
    /// Tickets that are never given back: handed in after a sync error or a shutdown, or caught by the error.
    pub abandoned: u64,
}

/// Turns applied writes into durable ones. The queue is bounded by its callers, each of whose tickets stands
/// for a request that was admitted.
pub struct GroupCommit {
    commit: Commit,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Arc<dyn Store>,
    gather: Duration,
    on_sync_error: OnSyncError,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    sinks: Vec<Sink>,
    stats: CommitStats,
    /// Whether anything was handed in since the last sync began.
    dirty: bool,
    phase: Phase,
    /// Tickets that the last sync made durable.
    last_group: u64,
    /// Syncs that are not to be put off from now on, and how many they were at first.
    not_put_off: u32,
    not_put_off_of: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Running,
    Stopping,
    /// Stopped, or a sync failed.
    Ended,
}

struct Sink {
    sink: Arc<dyn DurableSink>,
    waiting: Vec<u64>,
}

/// The tickets of one sink that one sync makes durable.
struct Group {
    sink: Arc<dyn DurableSink>,
    tickets: Vec<u64>,
}

impl GroupCommit {
    /// Starts committing to `store`. An error means that no thread could be started, and nothing was.
    pub fn start(store: Arc<dyn Store>, commit: Commit, on_sync_error: OnSyncError) -> io::Result<Self> {
        Self::gathering(store, commit, GATHER, on_sync_error)
    }

    /// The same, with something else than [`GATHER`].
    pub fn gathering(
        store: Arc<dyn Store>,
        commit: Commit,
        gather: Duration,
        on_sync_error: OnSyncError,
    ) -> io::Result<Self> {
        let (state, work) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { store, gather, on_sync_error, state, work });
        let thread = match commit {
            Commit::Os => None,
            Commit::Fsync | Commit::Interval => {
                let shared = Arc::clone(&shared);
                let run = move || match commit {
                    Commit::Interval => shared.sync_at_intervals(),
                    Commit::Fsync | Commit::Os => shared.sync_when_asked(),
                };
                Some(std::thread::Builder::new().name("neap-commit".to_owned()).spawn(run)?)
            }
        };
        Ok(Self { commit, shared, thread: Mutex::new(thread) })
    }

    /// Names a sink, for the tickets that are to come back to it.
    pub fn register(&self, sink: Arc<dyn DurableSink>) -> SinkId {
        let mut state = self.shared.state();
        state.sinks.push(Sink { sink, waiting: Vec::new() });
        SinkId(state.sinks.len() - 1)
    }

    /// Gives `ticket` to the sink once everything applied before this call is as durable as `commit` says: from
    /// the commit thread after a sync that began after this call, or, under `interval` and `os`, at once from
    /// this very thread. After a sync error or a shutdown it never comes back.
    pub fn when_durable(&self, SinkId(sink): SinkId, ticket: u64) {
        let mut state = self.shared.state();
        let State { sinks, stats, dirty, phase, last_group, .. } = &mut *state;
        let Some(sink) = sinks.get_mut(sink).filter(|_| *phase == Phase::Running) else {
            stats.abandoned += 1;
            return;
        };
        let idle = !std::mem::replace(dirty, true);
        if self.commit == Commit::Fsync {
            sink.waiting.push(ticket);
            stats.waiting += 1;
            let gathered = stats.waiting == *last_group;
            drop(state);
            if idle || gathered {
                self.shared.work.notify_one();
            }
        } else {
            stats.durable += 1;
            let sink = Arc::clone(&sink.sink);
            drop(state);
            sink.durable(&mut vec![ticket]);
        }
    }

    /// Whether an applied write must wait for a sync before it is acknowledged. Where it need not, the caller
    /// says that there is something to sync, in its time, by [`GroupCommit::applied`].
    #[must_use]
    pub fn waits_for_sync(&self) -> bool {
        self.commit == Commit::Fsync
    }

    /// Something was applied whose acknowledgement does not wait for the sync.
    pub fn applied(&self) {
        let mut state = self.shared.state();
        state.stats.durable += 1;
        state.dirty = true;
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> CommitStats {
        self.shared.state().stats
    }

    /// Syncs once more, whatever `commit` says, gives all tickets back, and ends the thread. Only the first
    /// call does anything.
    pub fn shutdown(&self) {
        let first = {
            let mut state = self.shared.state();
            let first = state.phase == Phase::Running;
            if first {
                state.phase = Phase::Stopping;
            }
            first
        };
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the commit thread panicked");
        }
        if first {
            self.shared.sync_once();
            self.shared.state().phase = Phase::Ended;
        }
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// No sink or store is called while the lock is held, so a poisoned one guards whole data.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_when_asked(&self) {
        loop {
            let waiting = |state: &mut State| state.phase == Phase::Running && !state.dirty;
            let state = self.work.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
            let state = self.gather(state);
            if state.phase != Phase::Running {
                return;
            }
            drop(state);
            self.sync_once();
        }
    }

    /// Waits until as many tickets have come as the last sync made durable, if that were several, or for long enough.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.last_group < GATHER_FROM {
            return state;
        }
        if state.not_put_off > 0 {
            state.not_put_off -= 1;
            return state;
        }
        let few = |state: &mut State| state.phase == Phase::Running && state.stats.waiting < state.last_group;
        let waited = self.work.wait_timeout_while(state, self.gather, few);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let in_vain = waited.timed_out() && 2 * state.stats.waiting < state.last_group;
        let next = if in_vain { (2 * state.not_put_off_of).clamp(1, NOT_PUT_OFF_MOST) } else { 0 };
        (state.not_put_off, state.not_put_off_of) = (next, next);
        state
    }

    fn sync_at_intervals(&self) {
        loop {
            let running = |state: &mut State| state.phase == Phase::Running;
            let (state, _) = self
                .work
                .wait_timeout_while(self.state(), SYNC_INTERVAL, running)
                .unwrap_or_else(PoisonError::into_inner);
            if state.phase != Phase::Running {
                return;
            }
            let dirty = state.dirty;
            drop(state);
            if dirty {
                self.sync_once();
            }
        }
    }

    /// Takes all tickets that wait, syncs, and gives them back.
    fn sync_once(&self) {
        let groups = {
            let mut state = self.state();
            if state.phase == Phase::Ended {
                return;
            }
            state.take()
        };
        let tickets: u64 = groups.iter().map(|group| group.tickets.len() as u64).sum();
        if let Err(error) = self.store.sync() {
            let mut state = self.state();
            state.phase = Phase::Ended;
            let caught = state.take();
            state.stats.abandoned +=
                tickets + caught.iter().map(|group| group.tickets.len() as u64).sum::<u64>();
            drop(state);
            (self.on_sync_error)(error);
            return;
        }
        {
            let mut state = self.state();
            state.last_group = tickets;
            let stats = &mut state.stats;
            stats.syncs += 1;
            stats.durable += tickets;
            stats.largest_group = stats.largest_group.max(tickets);
        }
        for mut group in groups {
            group.sink.durable(&mut group.tickets);
        }
    }
}

impl State {
    fn take(&mut self) -> Vec<Group> {
        self.dirty = false;
        self.stats.waiting = 0;
        let with_work = self.sinks.iter_mut().filter(|sink| !sink.waiting.is_empty());
        let group = |sink: &mut Sink| {
            // The next group is likely as large as this one.
            let next = Vec::with_capacity(sink.waiting.len());
            Group { sink: Arc::clone(&sink.sink), tickets: std::mem::replace(&mut sink.waiting, next) }
        };
        with_work.map(group).collect()
    }
}
