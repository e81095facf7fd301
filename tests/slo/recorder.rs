//! The recorder actor, of a node that is a cluster by itself.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use neap::actors::clock::{Ceiling, ShardClock, moment, steady_wall};
use neap::actors::counters::NodeCounters;
use neap::actors::peer_lane::PeerLane;
use neap::actors::ring_membership::RingTable;
use neap::actors::sli_recorder::{
    self, AskCluster, KeepWindows, ObservationBuffer, ObservationSink, Peers, RecorderParts, SliRecorder,
    SloView,
};
use neap::protocol::ids::{DirectoryId, NodeId};
use neap::protocol::membership::{Identity, NotAdmitted, Presented, RunNumber};
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::slo::SloScope;
use neap::protocol::staleness::Verdict;
use neap::protocol::time::{Hlc, WallMicros};
use neap::storage::SloSnapshot;
use neap::transport::{
    AnswerSink, Answered, Gatekeeper, Lane, LaneConfig, LanePurpose, PeerMemory, Reconnects, Secret,
};

use super::{FRESH, SECOND, began, plan, unconverged, verdict};

struct Alone;

impl AnswerSink for Alone {
    fn answer(&self, _: &NodeId, _: Answered) {}
}

impl Gatekeeper for Alone {
    fn identity(&self) -> Identity {
        let presented = Presented {
            directory: DirectoryId(1),
            number: RunNumber(1),
            history: Vec::new(),
            found_ceiling: Hlc::ZERO,
        };
        Identity { node: NodeId::new("n1").unwrap(), presented, fingerprint: 1 }
    }

    fn admit(&self, _: &Identity) -> Result<(), NotAdmitted> {
        Ok(())
    }

    fn identity_refused(&self, _: &str) {}

    fn admitted(&self, _: &NodeId) {}

    fn ceiling(&self) -> Hlc {
        Hlc::ZERO
    }

    fn announced(&self, _: &NodeId, _: Hlc) {}

    fn connected(&self, _: &NodeId, _: bool) {}
}

struct Recorder {
    address: Addr<SliRecorder>,
    view: Arc<SloView>,
    buffer: ObservationBuffer,
    seen: Rc<Cell<u64>>,
}

fn start(directory: &Path, clean: bool) -> Recorder {
    let snapshot = SloSnapshot::of(directory);
    let mut slo = sli_recorder::resume(plan(&[]), &snapshot, clean);
    let view = Arc::new(SloView::new(slo.evaluate(steady_wall())));
    let me = NodeId::new("n1").unwrap();
    let (zone, weight) = ("a".to_owned(), Weight::new(1.0).unwrap());
    let member = Member { id: me.clone(), zone, weight, address: "n1:1".to_owned() };
    let lane = LaneConfig {
        cluster: "test".to_owned(),
        secret: Secret::new("secret"),
        peers: Vec::new(),
        purpose: LanePurpose::Control,
        gatekeeper: Arc::new(Alone),
        reconnects: Arc::new(Reconnects::default()),
        counters: Arc::default(),
        now: moment,
        memory: PeerMemory::default(),
    };
    let ceiling = Arc::new(Ceiling::found(Hlc::ZERO, WallMicros(0), Box::new(|_, _| Ok(()))));
    let ring = Arc::new(RingTable::new(Ring::founders(16, vec![member]).unwrap()));
    let clock = Rc::new(RefCell::new(ShardClock::new(Hlc::ZERO, ceiling, 500_000)));
    let counters = Arc::new(NodeCounters::default());
    let lane = PeerLane::new(Lane::start(lane, Rc::new(Alone)), ring.clone(), clock, counters.clone());
    let peers = Peers { me, ring, lane };
    let seen = Rc::new(Cell::new(0));
    let tapped = seen.clone();
    let address = SliRecorder::new(RecorderParts {
        slo,
        view: view.clone(),
        snapshot,
        peers,
        time_scale: 1.0,
        tap: Some(Box::new(move |_| tapped.set(tapped.get() + 1))),
        shown: None,
        counters: counters.clone(),
    })
    .start();
    let sink = Arc::new(ObservationSink::new(address.clone().recipient(), true, counters));
    Recorder { address, view, buffer: ObservationBuffer::new(sink), seen }
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

#[test]
fn what_is_observed_is_shown_within_half_a_second_and_to_the_tap() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = start(directory.path(), true);
        let now = moment();
        (0..1_000).for_each(|_| recorder.buffer.push(began(verdict("b", FRESH, 0), now)));
        recorder.buffer.push(began(verdict("b", Verdict::Stale, SECOND), now));
        recorder.buffer.flush();
        let started = std::time::Instant::now();
        while recorder.view.current().reads.known() < 1_001 {
            assert!(started.elapsed() < Duration::from_secs(10), "never");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(recorder.seen.get(), 1_001);
        let (reply, answer) = tokio::sync::oneshot::channel();
        recorder.address.do_send(AskCluster { reply });
        let cluster = answer.await.unwrap();
        assert_eq!(
            (cluster.scope, cluster.reads.stale, cluster.unreachable.len()),
            (SloScope::Cluster, 1, 0)
        );
    });
}

#[test]
fn a_stop_keeps_the_windows_and_the_next_start_goes_on_with_them() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = start(directory.path(), true);
        let stale = began(verdict("b", Verdict::Stale, SECOND), moment());
        (0..10).for_each(|_| recorder.buffer.push(stale.clone()));
        recorder.buffer.push(unconverged(&[(SECOND, 3)], 0));
        recorder.buffer.flush();
        recorder.address.send(KeepWindows).await.unwrap();
        let next = start(directory.path(), false).view.current();
        assert_eq!((next.reads.stale, next.convergence.untracked), (10, 3));
    });
}

#[test]
fn a_damaged_file_costs_the_history_and_no_start() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("slo.bin"), b"something else").unwrap();
        let document = start(directory.path(), false).view.current();
        assert_eq!((document.reads.known(), document.convergence.untracked), (0, 1));
    });
}
