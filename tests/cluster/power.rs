//! Power failures. A page cache survives SIGKILL, so processes cannot show them: here a shard's own actors run
//! over a store that forgets everything un-synced.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use neap::actors::admission::Admission;
use neap::actors::bucket_settings::SettingsTable;
use neap::actors::clock::{Ceiling, moment};
use neap::actors::completeness::CompletenessTable;
use neap::actors::counters::NodeCounters;
use neap::actors::identity::Dots;
use neap::actors::messages::{Backfilled, Client, ClientOperation, Damaged, FetchSettings};
use neap::actors::placement::Shard;
use neap::actors::ring_membership::{Party, PeerNews, RingTable, SharedGate};
use neap::actors::shard::{ShardParts, start_shard};
use neap::actors::sli_recorder::{ObservationSink, Observations};
use neap::protocol::admission::BucketWeight;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution};
use neap::protocol::coordinator::Ask;
use neap::protocol::ids::{BucketName, DirectoryId, Key, NodeId, WriteId};
use neap::protocol::membership::{Completeness, Presented, RunId, RunNumber};
use neap::protocol::operation::{Write, WriteBody};
use neap::protocol::quorum::Quorum;
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::staleness::Sampling;
use neap::protocol::time::{Hlc, WallMicros};
use neap::storage::{Commit, GroupCommit, MemoryStore, Store, StoreError, Table, keys};
use neap::telemetry::Tracing;
use neap::transport::{LaneConfig, LanePurpose, PeerMemory, Reconnects, Secret};

struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<PeerNews> for Nobody {
    type Result = ();

    fn handle(&mut self, _: PeerNews, _: &mut Self::Context) {}
}

impl Handler<Damaged> for Nobody {
    type Result = ();

    fn handle(&mut self, _: Damaged, _: &mut Self::Context) {}
}

impl Handler<Backfilled> for Nobody {
    type Result = ();

    fn handle(&mut self, _: Backfilled, _: &mut Self::Context) {}
}

impl Handler<FetchSettings> for Nobody {
    type Result = ();

    fn handle(&mut self, _: FetchSettings, _: &mut Self::Context) {}
}

impl Handler<Observations> for Nobody {
    type Result = ();

    fn handle(&mut self, _: Observations, _: &mut Self::Context) {}
}

/// A shard of a node that is a cluster by itself.
fn shard(store: &Arc<MemoryStore>, commit: Commit) -> (Shard, Arc<RingTable>) {
    let me = NodeId::new("n1").unwrap();
    let member = Member {
        id: me.clone(),
        zone: "a".into(),
        weight: Weight::new(1.0).unwrap(),
        address: "n1:1".into(),
    };
    let ring = Arc::new(RingTable::new(Ring::founders(16, vec![member]).unwrap()));
    let defaults = BucketSettings {
        quorum: Quorum { n: 1, r: 1, w: 1 },
        w_min: 1,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max: 100,
        weight: BucketWeight::ONE,
        sloppy: false,
        read_repair: ReadRepair::Blocking,
        ttl_us: None,
    };
    let store: Arc<dyn Store> = store.clone();
    let counters = Arc::new(NodeCounters::default());
    let (number, history) = (RunNumber(1), vec![RunId(1)]);
    let presented = Presented { directory: DirectoryId(1), number, history, found_ceiling: Hlc::ZERO };
    let ceiling = Arc::new(Ceiling::found(Hlc::ZERO, WallMicros(0), Box::new(|_, _| Ok(()))));
    let nobody = Nobody.start();
    let events = nobody.clone().recipient();
    let gate = SharedGate::new(
        Party {
            me: me.clone(),
            presented,
            refused: false,
            mark_refused: Box::new(|| ()),
            max_skew_us: 500_000,
        },
        ring.clone(),
        ceiling.clone(),
        store.clone(),
        events,
        counters.clone(),
    );
    let gate = Arc::new(gate.unwrap());
    let no_panic = Box::new(|error: StoreError| panic!("{error}"));
    let parts = ShardParts {
        me,
        ring: ring.clone(),
        settings: Arc::new(SettingsTable::load(&*store, defaults).unwrap()),
        completeness: Arc::new(CompletenessTable::new(Completeness::new(16, true))),
        store: store.clone(),
        recent_bytes: 1 << 20,
        commit: Arc::new(GroupCommit::start(store, commit, no_panic).unwrap()),
        dots: Arc::new(Dots::draw().unwrap()),
        ceiling,
        found_ceiling: Hlc::ZERO,
        max_skew_us: 500_000,
        gate: gate.clone(),
        backfill: nobody.clone().recipient(),
        damaged_pull: nobody.clone().recipient(),
        fetch_settings: nobody.clone().recipient(),
        observations: Arc::new(ObservationSink::new(nobody.recipient(), false, counters.clone())),
        timeout_us: 2_000_000,
        probe: Sampling::ALL,
        tracing: Tracing::default(),
        age_objective_us: 500_000,
        shard: 0,
        shards: 1,
        lane: LaneConfig {
            cluster: "test".into(),
            secret: Secret::new("secret"),
            peers: Vec::new(),
            purpose: LanePurpose::Data { shard: 0 },
            gatekeeper: gate,
            reconnects: Arc::new(Reconnects::default()),
            counters: Arc::default(),
            now: moment,
            memory: PeerMemory::default(),
        },
        counters,
    };
    (start_shard(parts), ring)
}

/// Writes many keys at once, lets the power fail when a number of them were acknowledged, and counts the
/// acknowledged ones that are gone.
fn lost_after_power_failures(commit: Commit) -> usize {
    let mut lost = 0;
    for round in 0..30usize {
        lost += actix::System::new().block_on(async move {
            let store = Arc::new(MemoryStore::new());
            let (shard, ring) = shard(&store, commit);
            let bucket = BucketName::new("b").unwrap();
            let mut waiting = Vec::new();
            let admission = Admission::new(4_096);
            for number in 0..64u32 {
                let key = Key::new(number.to_be_bytes().to_vec());
                let write = Write {
                    bucket: bucket.clone(),
                    key: key.clone(),
                    body: WriteBody::Put { content_type: None, bytes: Bytes::from_static(b"v") },
                    context: None,
                    write_id: None,
                    w: None,
                    ttl_us: None,
                    only_if_absent: false,
                };
                let (reply, answer) = tokio::sync::oneshot::channel();
                let ask = Ask::Write(write, WriteId(u128::from(number) + 1));
                let deadline = moment().plus_micros(30_000_000);
                let client = Client::Write(reply);
                let permit = admission.permit(&bucket).unwrap();
                let operation = ClientOperation { ask, client, deadline, permit, trace: None };
                shard.turnstile.enter(vec![operation]);
                waiting.push((key, answer));
            }
            let mut acked = Vec::new();
            for (key, answer) in waiting.into_iter().take(1 + round * 2) {
                answer.await.unwrap().unwrap();
                acked.push(key);
            }
            store.crash();
            let there = |key: &Key| {
                let partition = ring.current().partition_of(&bucket, key);
                store.get(Table::Objects, &keys::object_key(partition, &bucket, key)).unwrap().is_some()
            };
            acked.iter().filter(|key| !there(key)).count()
        });
    }
    lost
}

#[test]
fn a_power_failure_takes_no_write_that_was_acknowledged_after_its_sync() {
    assert_eq!(lost_after_power_failures(Commit::Fsync), 0);
}

#[test]
fn acknowledging_before_the_sync_is_caught_by_the_same_check() {
    // `os` does just that, and promises nothing across a power failure.
    assert!(lost_after_power_failures(Commit::Os) > 0, "the check cannot fail");
}
