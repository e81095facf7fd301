//! The recorder: takes in what the shards observe, and says how the objectives stand.
//!
//! ```text
//!  shards ── batches ──> recorder ──> record (since the start), engine (windows)
//!                           ├──> view: a document, every 250 ms
//!                           ├──> slo.bin: the windows, every 10 s and at the stop
//!                           └──> peers: what all nodes know together, when somebody asks
//! ```

mod buffer;
mod messages;
mod view;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::actors::clock::{moment, steady_wall};
use crate::actors::counters::NodeCounters;
use crate::actors::messages::Answer;
use crate::actors::peer_lane::PeerLane;
use crate::actors::ring_membership::RingTable;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::NodeId;
use crate::protocol::message::{PeerAnswer, PeerRequest, Refusal};
use crate::protocol::sli::{Observation, SliRecord};
use crate::protocol::slo::{Begun, Gathered, Gatherings, Plan, Slo, SloDocument, SloScope, SloSummary};
use crate::storage::{SloSnapshot, slo_summary};

pub use buffer::{BATCH, BATCHES, ObservationBuffer, ObservationSink, Observations};
pub use messages::{AskCluster, KeepWindows, PeerAsksSlo};
pub use view::SloView;

/// How often the objectives are looked at, at a time scale of 1.
const LOOK: Duration = Duration::from_millis(250);
/// The least that a time scale makes of it.
const LOOK_MIN: Duration = Duration::from_millis(25);
/// How often the windows are kept.
const KEEP: Duration = Duration::from_secs(10);
/// How long peers have to say what they know.
const PEERS_ANSWER_WITHIN_US: u64 = 1_000_000;
/// How much later it is said without those of whom nothing was heard.
const GRACE_US: u64 = 200_000;

/// Shown every observation that the recorder takes in.
pub type Tap = Box<dyn FnMut(&Observation)>;

/// The other nodes, as the recorder asks them.
pub struct Peers {
    /// This node.
    pub me: NodeId,
    /// Who there is.
    pub ring: Arc<RingTable>,
    /// Connections of its own.
    pub lane: PeerLane,
}

/// Shown what the recorder says of the objectives.
pub type Shown = Box<dyn FnMut(&SloDocument)>;

/// What the recorder is made of.
pub struct RecorderParts {
    /// The engine, with what the last run left.
    pub slo: Slo,
    /// What it shows.
    pub view: Arc<SloView>,
    /// Where it keeps the windows.
    pub snapshot: SloSnapshot,
    /// The other nodes.
    pub peers: Peers,
    /// `slo.time_scale`.
    pub time_scale: f64,
    /// Shown every observation.
    pub tap: Option<Tap>,
    /// Shown every document.
    pub shown: Option<Shown>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// The engine for this run, which goes on from what the last one left; `clean` says whether that ended with a word.
#[must_use]
pub fn resume(plan: Plan, snapshot: &SloSnapshot, clean: bool) -> Slo {
    let mut slo = Slo::new(plan);
    slo.resume(steady_wall(), snapshot.load().as_ref(), clean);
    slo
}

/// Keeps the service level indicators of a node.
pub struct SliRecorder {
    parts: RecorderParts,
    record: SliRecord,
    gatherings: Gatherings<oneshot::Sender<Arc<SloDocument>>>,
    keeping: bool,
    kept: u64,
}

impl SliRecorder {
    /// A recorder that goes on with `parts.slo`.
    #[must_use]
    pub fn new(parts: RecorderParts) -> Self {
        Self {
            parts,
            record: SliRecord::default(),
            gatherings: Gatherings::default(),
            keeping: false,
            kept: 0,
        }
    }

    fn summary(&mut self) -> SloSummary {
        self.parts.slo.summary(steady_wall())
    }

    fn look(&mut self) {
        for gathered in self.gatherings.overdue(moment()) {
            self.told(gathered);
        }
        let document = self.parts.slo.evaluate(steady_wall());
        if let Some(shown) = &mut self.parts.shown {
            shown(&document);
        }
        self.parts.view.show(document);
    }

    /// Writes the windows on a thread that may block.
    fn keep(&mut self) -> impl Future<Output = ()> + use<> {
        let (summary, snapshot) = (self.summary(), self.parts.snapshot.clone());
        self.kept += 1;
        let number = self.kept;
        async move {
            let save = move || snapshot.save(number, &slo_summary::encode(&summary));
            if let Ok(Err(error)) = tokio::task::spawn_blocking(save).await {
                tracing::warn!("the windows of the objectives were not kept: {error}");
            }
        }
    }

    fn told(&self, gathered: Gathered<oneshot::Sender<Arc<SloDocument>>>) {
        let Gathered { way, summary, unreachable } = gathered;
        // Who asked may be gone.
        let _ = way.send(Arc::new(summary.evaluate(self.parts.slo.plan(), SloScope::Cluster, unreachable)));
    }
}

impl Actor for SliRecorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK.mul_f64(self.parts.time_scale).max(LOOK_MIN), |recorder, _| recorder.look());
        ctx.run_interval(KEEP, |recorder, ctx| {
            // One at a time: a slow disk makes the windows older, not more.
            if !recorder.keeping {
                recorder.keeping = true;
                let kept = recorder.keep().into_actor(recorder);
                ctx.spawn(kept.map(|(), recorder, _| recorder.keeping = false));
            }
        });
    }
}

impl Handler<Observations> for SliRecorder {
    type Result = ();

    fn handle(&mut self, Observations(batch): Observations, _: &mut Self::Context) {
        let (now, wall) = (moment(), steady_wall());
        for observation in &batch {
            self.record.take(now, observation);
            self.parts.slo.take(wall, observation);
            if let Some(tap) = &mut self.parts.tap {
                tap(observation);
            }
        }
    }
}

impl Handler<AskCluster> for SliRecorder {
    type Result = ();

    fn handle(&mut self, AskCluster { reply }: AskCluster, _: &mut Self::Context) {
        let own = self.summary();
        let Peers { me, ring, .. } = &self.parts.peers;
        let ring = ring.current();
        let others = ring.members().iter().map(|member| &member.id).filter(|id| *id != me);
        let others: Vec<NodeId> = others.cloned().collect();
        let deadline = moment().plus_micros(PEERS_ANSWER_WITHIN_US);
        match self.gatherings.begin(own, &others, deadline.plus_micros(GRACE_US), reply) {
            Begun::Done(gathered) => self.told(gathered),
            // Its way back is dropped, which says so.
            Begun::Refused(_) => {}
            Begun::Ask(tag) => {
                for peer in &others {
                    self.parts.peers.lane.ask(peer, PeerRequest::SloSummary, deadline, tag);
                }
            }
        }
    }
}

impl Handler<Answer> for SliRecorder {
    type Result = ();

    fn handle(&mut self, Answer { from, tag, answer, clock, .. }: Answer, _: &mut Self::Context) {
        self.parts.peers.lane.observe(clock);
        let summary = match answer {
            AnswerBody::Peer(PeerAnswer::SloSummary(bytes)) => slo_summary::decode(&bytes)
                .inspect_err(|error| tracing::warn!(%from, "a peer's summary of objectives: {error}"))
                .ok(),
            _ => None,
        };
        if let Some(gathered) = self.gatherings.answered(from, tag, summary) {
            self.told(gathered);
        }
    }
}

impl Handler<PeerAsksSlo> for SliRecorder {
    type Result = ();

    fn handle(&mut self, PeerAsksSlo { responder }: PeerAsksSlo, _: &mut Self::Context) {
        let bytes = slo_summary::encode(&self.summary());
        let answer = match bytes.len() {
            0..=SUMMARY_BYTES_MAX => PeerAnswer::SloSummary(Bytes::from(bytes)),
            _ => PeerAnswer::Refused(Refusal::Overloaded),
        };
        responder.respond(answer, self.parts.peers.lane.now());
    }
}

/// The longest summary that is sent: a message holds no more, and would not be sent at all.
const SUMMARY_BYTES_MAX: usize = crate::transport::codec::MAX_MESSAGE_BYTES - 64;

impl Handler<KeepWindows> for SliRecorder {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: KeepWindows, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.keep())
    }
}
