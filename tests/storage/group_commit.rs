use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use neap::storage::{
    Change, Commit, DurableSink, FjallStore, GATHER, GroupCommit, MemoryStore, SinkId, Store, StoreBounds,
    StoreError, Table,
};

use super::{put, wait_until};

/// A store whose syncs each wait to be let through.
#[derive(Debug)]
struct Gated {
    memory: MemoryStore,
    begun: AtomicU64,
    gate: Mutex<Receiver<()>>,
}

impl Gated {
    fn new() -> (Arc<Self>, Sender<()>) {
        let (open, gate) = channel();
        let memory = MemoryStore::new();
        (Arc::new(Self { memory, begun: AtomicU64::new(0), gate: Mutex::new(gate) }), open)
    }

    fn wait_for_sync(&self, number: u64) {
        wait_until("the next sync", || self.begun.load(Ordering::SeqCst) >= number);
    }
}

impl Store for Gated {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.memory.get(table, key)
    }

    fn apply(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        self.memory.apply(batch)
    }

    fn apply_from_reserve(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        self.memory.apply_from_reserve(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // A test that has ended lets everything through.
        let _ = self.gate.lock().unwrap().recv();
        self.memory.sync()
    }

    fn visit(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.memory.visit(table, prefix, after, each)
    }
}

/// Keeps the calls it gets.
#[derive(Default)]
struct Calls(Mutex<Vec<Vec<u64>>>);

impl DurableSink for Calls {
    fn durable(&self, tickets: &mut Vec<u64>) {
        self.0.lock().unwrap().push(std::mem::take(tickets));
    }
}

impl Calls {
    fn so_far(&self) -> Vec<Vec<u64>> {
        self.0.lock().unwrap().clone()
    }
}

fn start(store: Arc<dyn Store>, commit: Commit) -> (GroupCommit, Arc<Calls>, SinkId) {
    start_gathering(store, commit, GATHER)
}

fn start_gathering(
    store: Arc<dyn Store>,
    commit: Commit,
    gather: Duration,
) -> (GroupCommit, Arc<Calls>, SinkId) {
    let unexpected = Box::new(|error| panic!("{error}"));
    let group_commit = GroupCommit::gathering(store, commit, gather, unexpected).unwrap();
    let calls = Arc::new(Calls::default());
    let sink = group_commit.register(Arc::clone(&calls) as Arc<dyn DurableSink>);
    (group_commit, calls, sink)
}

#[test]
fn a_ticket_comes_back_only_after_a_sync_that_began_after_it_was_handed_in() {
    let (store, open) = Gated::new();
    let (group_commit, calls, sink) = start(store.clone(), Commit::Fsync);
    // Dropped before the group commit, which would wait for the gate, should this fail.
    let open = open;

    store.apply(vec![put("a", "1")]).unwrap();
    group_commit.when_durable(sink, 1);
    store.wait_for_sync(1);
    // The first sync has begun, so it cannot speak for these.
    for ticket in 2..=4 {
        store.apply(vec![put("b", "2")]).unwrap();
        group_commit.when_durable(sink, ticket);
    }
    assert_eq!(calls.so_far(), Vec::<Vec<u64>>::new());

    open.send(()).unwrap();
    store.wait_for_sync(2);
    assert_eq!(calls.so_far(), [vec![1]]);
    assert_eq!(group_commit.stats().waiting, 0);

    open.send(()).unwrap();
    wait_until("the second group", || calls.so_far().len() == 2);
    assert_eq!(calls.so_far(), [vec![1], vec![2, 3, 4]]);
    let stats = group_commit.stats();
    assert_eq!((stats.syncs, stats.durable, stats.largest_group, stats.abandoned), (2, 4, 3, 0));
}

/// Lets one ticket be synced, and `several`, which gather meanwhile, after it.
fn sync_one_and_then(
    several: u64,
    store: &Gated,
    open: &Sender<()>,
    group_commit: &GroupCommit,
    sink: SinkId,
) {
    group_commit.when_durable(sink, 0);
    store.wait_for_sync(1);
    (1..=several).for_each(|ticket| group_commit.when_durable(sink, ticket));
    open.send(()).unwrap();
    store.wait_for_sync(2);
    open.send(()).unwrap();
    wait_until("the first groups", || group_commit.stats().durable == several + 1);
}

#[test]
fn after_a_group_of_several_a_sync_waits_for_as_many() {
    let (store, open) = Gated::new();
    let (group_commit, calls, sink) = start_gathering(store.clone(), Commit::Fsync, Duration::from_secs(600));
    let open = open;
    sync_one_and_then(3, &store, &open, &group_commit, sink);

    group_commit.when_durable(sink, 4);
    group_commit.when_durable(sink, 5);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(store.begun.load(Ordering::SeqCst), 2, "two are fewer than three");
    group_commit.when_durable(sink, 6);
    store.wait_for_sync(3);
    open.send(()).unwrap();
    wait_until("the group", || calls.so_far().last() == Some(&vec![4, 5, 6]));
    // A shutdown waits for nobody.
    group_commit.when_durable(sink, 7);
    drop(open);
    group_commit.shutdown();
    assert_eq!(calls.so_far().last(), Some(&vec![7]));
}

#[test]
fn after_a_group_of_two_a_sync_waits_for_nobody() {
    let (store, open) = Gated::new();
    let (group_commit, _, sink) = start_gathering(store.clone(), Commit::Fsync, Duration::from_secs(600));
    let open = open;
    sync_one_and_then(2, &store, &open, &group_commit, sink);
    group_commit.when_durable(sink, 3);
    store.wait_for_sync(3);
    drop(open);
}

#[test]
fn one_that_is_left_alone_after_a_group_of_several_is_synced_before_long() {
    let (store, open) = Gated::new();
    let (group_commit, _, sink) = start(store.clone(), Commit::Fsync);
    let open = open;
    sync_one_and_then(3, &store, &open, &group_commit, sink);
    group_commit.when_durable(sink, 4);
    store.wait_for_sync(3);
    drop(open);
}

/// Lets one ticket, whose sync has begun as `sync`, and three that gather meanwhile be synced.
fn then_three(sync: u64, store: &Gated, open: &Sender<()>, group_commit: &GroupCommit, sink: SinkId) {
    let durable = group_commit.stats().durable;
    store.wait_for_sync(sync);
    (0..3).for_each(|ticket| group_commit.when_durable(sink, ticket));
    open.send(()).unwrap();
    store.wait_for_sync(sync + 1);
    open.send(()).unwrap();
    wait_until("both groups", || group_commit.stats().durable == durable + 4);
}

#[test]
fn a_sync_that_was_put_off_in_vain_is_followed_by_one_that_is_not() {
    let gather = Duration::from_secs(3);
    let (store, open) = Gated::new();
    let (group_commit, _, sink) = start_gathering(store.clone(), Commit::Fsync, gather);
    let open = open;
    sync_one_and_then(3, &store, &open, &group_commit, sink);
    group_commit.when_durable(sink, 4);
    then_three(3, &store, &open, &group_commit, sink);

    let asked = Instant::now();
    group_commit.when_durable(sink, 8);
    store.wait_for_sync(5);
    assert!(asked.elapsed() < gather, "after a group of three, but nobody came before");
    then_three(5, &store, &open, &group_commit, sink);
    group_commit.when_durable(sink, 12);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(store.begun.load(Ordering::SeqCst), 6, "the one after that is put off again");
    drop(open);
}

#[test]
fn each_sink_gets_its_own_tickets_in_one_call_a_sync() {
    let (store, open) = Gated::new();
    let (group_commit, first, first_id) = start(store.clone(), Commit::Fsync);
    let second = Arc::new(Calls::default());
    let second_id = group_commit.register(second.clone());
    group_commit.when_durable(first_id, 1);
    store.wait_for_sync(1);
    for ticket in 2..6 {
        group_commit.when_durable(if ticket % 2 == 0 { second_id } else { first_id }, ticket);
    }
    drop(open);
    wait_until("all tickets", || group_commit.stats().durable == 5);
    group_commit.shutdown();
    assert_eq!(first.so_far(), [vec![1], vec![3, 5]]);
    assert_eq!(second.so_far(), [vec![2, 4]]);
}

#[test]
fn a_sync_error_is_told_and_its_tickets_never_come_back() {
    let store = Arc::new(MemoryStore::new());
    let errors = Arc::new(Mutex::new(Vec::new()));
    let on_sync_error = {
        let errors = Arc::clone(&errors);
        Box::new(move |error: StoreError| errors.lock().unwrap().push(error.to_string()))
    };
    let group_commit = GroupCommit::start(store.clone(), Commit::Fsync, on_sync_error).unwrap();
    let calls = Arc::new(Calls::default());
    let sink = group_commit.register(calls.clone());
    store.fail_sync(true);
    store.apply(vec![put("a", "1")]).unwrap();
    group_commit.when_durable(sink, 1);
    wait_until("the error", || errors.lock().unwrap().len() == 1);

    // Nothing is certain after an error, so even a disk that seems well again is not believed.
    store.fail_sync(false);
    group_commit.when_durable(sink, 2);
    group_commit.shutdown();
    assert_eq!(calls.so_far(), Vec::<Vec<u64>>::new());
    assert_eq!(store.syncs(), 0);
    assert_eq!(group_commit.stats().abandoned, 2);
    assert_eq!(errors.lock().unwrap().len(), 1);
}

#[test]
fn under_interval_and_os_a_ticket_comes_back_at_once() {
    for commit in [Commit::Interval, Commit::Os] {
        let (store, open) = Gated::new();
        let (group_commit, calls, sink) = start(store.clone(), commit);
        store.apply(vec![put("a", "1")]).unwrap();
        group_commit.when_durable(sink, 1);
        group_commit.when_durable(sink, 2);
        assert_eq!(calls.so_far(), [vec![1], vec![2]], "{commit:?}");
        assert_eq!(store.memory.syncs(), 0);
        drop(open);
    }
}

#[test]
fn under_interval_the_store_is_synced_by_and_by() {
    let store = Arc::new(MemoryStore::new());
    let (group_commit, _calls, sink) = start(store.clone(), Commit::Interval);
    store.apply(vec![put("a", "1")]).unwrap();
    group_commit.when_durable(sink, 1);
    wait_until("a sync", || store.syncs() == 1);
}

#[test]
fn a_shutdown_syncs_and_gives_back_what_waits() {
    for commit in [Commit::Fsync, Commit::Interval, Commit::Os] {
        let store = Arc::new(MemoryStore::new());
        let (group_commit, calls, sink) = start(store.clone(), commit);
        for ticket in 0..100 {
            store.apply(vec![put("a", "1")]).unwrap();
            group_commit.when_durable(sink, ticket);
        }
        group_commit.shutdown();
        group_commit.shutdown();
        assert_eq!(calls.so_far().concat(), (0..100).collect::<Vec<u64>>(), "{commit:?}");
        assert_eq!(store.unsynced_batches(), 0, "{commit:?}");
        group_commit.when_durable(sink, 100);
        assert_eq!(group_commit.stats().abandoned, 1);
    }
}

/// Counts what comes back, and wakes who waits for it.
struct Waker(Mutex<Vec<Sender<()>>>);

impl DurableSink for Waker {
    fn durable(&self, tickets: &mut Vec<u64>) {
        let senders = self.0.lock().unwrap();
        for ticket in tickets.drain(..) {
            senders[usize::try_from(ticket).unwrap()].send(()).unwrap();
        }
    }
}

/// Prints what the machine gives, and judges only that many writes share a sync.
#[test]
fn writers_at_once_share_syncs_on_a_real_disk() {
    const WRITERS: usize = 64;
    const WRITES: usize = 50;
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FjallStore::open(directory.path(), StoreBounds::default()).unwrap());
    let group_commit = Arc::new(
        GroupCommit::start(store.clone(), Commit::Fsync, Box::new(|error| panic!("{error}"))).unwrap(),
    );
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..WRITERS).map(|_| channel()).unzip();
    let sink = group_commit.register(Arc::new(Waker(Mutex::new(senders))));
    let since = std::time::Instant::now();
    std::thread::scope(|scope| {
        for (writer, durable) in receivers.into_iter().enumerate() {
            let (store, group_commit) = (&store, &group_commit);
            scope.spawn(move || {
                for write in 0..WRITES {
                    let value = Bytes::from(vec![7; 1024]);
                    let key = format!("{writer} {write}").into();
                    store.apply(vec![Change::Put { table: Table::Objects, key, value }]).unwrap();
                    group_commit.when_durable(sink, writer as u64);
                    durable.recv().unwrap();
                }
            });
        }
    });
    let (stats, took) = (group_commit.stats(), since.elapsed());
    println!(
        "{} durable writes of 1 KiB by {WRITERS} writers in {took:?}: {:.0}/s, {} syncs",
        stats.durable,
        stats.durable as f64 / took.as_secs_f64(),
        stats.syncs
    );
    assert_eq!(stats.durable, (WRITERS * WRITES) as u64);
    assert!(stats.syncs < stats.durable, "{stats:?}");
}
