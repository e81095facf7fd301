//! A node, from its configuration to its clean stop.

use std::cell::RefCell;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix::prelude::*;
use actix_rt::signal::unix::{SignalKind, signal};

use crate::actors::admission::Admission;
use crate::actors::backfill::{Backfill, BackfillParts};
use crate::actors::bucket_settings::{BucketSettingsActor, SettingsParts, SettingsTable};
use crate::actors::clock::{Ceiling, ShardClock, SteadyWall, SyncCeiling, moment, wait_for_wall};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::front::{Draining, Front, FrontParts};
use crate::actors::identity::Dots;
use crate::actors::key_lister::{KeyLister, ListerParts};
use crate::actors::late_applies::LateApplies;
use crate::actors::messages::{Backfilled, Damaged, FetchSettings};
use crate::actors::observability::{Observability, instruments};
use crate::actors::placement::{Placement, Shard, Shards};
use crate::actors::ring_membership::{Attach, Party, PeerNews, RingMembership, RingTable, SharedGate};
use crate::actors::service::{NodeService, ServiceParts};
use crate::actors::shard::{ShardParts, start_shard};
use crate::actors::shell::{
    self, ToMailbox, end_the_process_if_a_sync_failed, end_the_process_on_panic,
    end_the_process_on_sync_error,
};
use crate::actors::sli_recorder::{
    self, AskCluster, BATCHES, KeepWindows, ObservationSink, Peers, RecorderParts, SliRecorder, SloView,
};
use crate::actors::sli_recorder::{Shown, Tap};
use crate::actors::stalling_store::StallingStore;
use crate::config::{CommitPolicy, Config, MemberConfig};
use crate::http::{Edge, Limits, Listening, ServerOptions};
use crate::protocol::causality::TokenKey;
use crate::protocol::ids::{DirectoryId, NodeId};
use crate::protocol::membership::{Backfill as BackfillCore, Holding, Presented, RunId, RunRecord};
use crate::protocol::ring::{InvalidWeight, Member, Ring, RingError, Weight};
use crate::protocol::staleness::Sampling;
use crate::protocol::time::Hlc;
use crate::storage::{
    Begun, Commit, DataDirectory, DirectoryError, Expectation, GroupCommit, Opened, SloSnapshot, Store,
    StoreError,
};
use crate::telemetry::Tracing;
use crate::transport::{
    Acceptor, AcceptorConfig, Connection, Gatekeeper, Lane, LaneConfig, LanePurpose, PeerService, Reconnects,
    Secret, TransportCounters,
};

/// Why a node did not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The members make no ring.
    #[error("cluster.members: {0}")]
    Ring(#[from] RingError),
    /// A member's weight is none.
    #[error("cluster.members: {0}")]
    Weight(#[from] InvalidWeight),
    /// The data directory was refused.
    #[error("node.data: {0}")]
    Directory(#[from] DirectoryError),
    /// The store failed.
    #[error("node.data: {0}")]
    Store(#[from] StoreError),
    /// An address is not to be had.
    #[error("{key} = {address} cannot be listened on: {cause}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The machine refused a thread or a signal handler.
    #[error("the machine refused: {0}")]
    Machine(#[from] std::io::Error),
}

/// What the configuration does not tell a run: how it ends beside signals, and what tests ask of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// End when standard input closes: a parent that is gone leaves no orphans.
    pub exit_on_stdin_close: bool,
    /// For tests: how long what peers send to be applied is left lying.
    pub test_delay_applies: Option<Duration>,
    /// For tests: the disk hangs while this file is there.
    pub test_stall_disk: Option<PathBuf>,
}

/// Runs a node until SIGTERM, SIGINT or what the options say, and stops it cleanly.
pub fn run(
    config: Config,
    secret: Secret,
    options: RunOptions,
    observability: Observability,
) -> Result<(), StartError> {
    end_the_process_on_panic();
    actix::System::new().block_on(async move {
        let mut stop = Stop::new(&options)?;
        let node = Node::start(&config, (secret, options, observability))?;
        stop.asked().await;
        node.stop(config.node.drain_timeout).await;
        Ok(())
    })
}

/// What ends a run.
struct Stop {
    term: actix_rt::signal::unix::Signal,
    interrupt: actix_rt::signal::unix::Signal,
    stdin_closed: Option<tokio::sync::oneshot::Receiver<()>>,
}

impl Stop {
    fn new(options: &RunOptions) -> Result<Self, StartError> {
        let (term, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stdin_closed = if options.exit_on_stdin_close { Some(watch_stdin()?) } else { None };
        Ok(Self { term, interrupt, stdin_closed })
    }

    async fn asked(&mut self) {
        let closed = async {
            match &mut self.stdin_closed {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => tracing::info!("stopping: SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("stopping: SIGINT"),
            () = closed => tracing::info!("stopping: standard input closed"),
        }
    }
}

fn watch_stdin() -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (closed, receiver) = tokio::sync::oneshot::channel();
    let read = move || {
        // Whatever is written there is thrown away; only the end counts.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = closed.send(());
    };
    std::thread::Builder::new().name("neap-stdin".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// A running node.
struct Node {
    directory: Arc<Directory>,
    commit: Arc<GroupCommit>,
    shards: Arc<Shards>,
    admission: Admission,
    draining: Arc<Draining>,
    http: actix_web::dev::ServerHandle,
    arbiters: Vec<Arbiter>,
    acceptor: actix_rt::task::JoinHandle<()>,
    recorder: Addr<SliRecorder>,
}

/// The data directory, as the actors need it.
struct Directory(DataDirectory);

fn sync_ceiling(directory: Arc<Directory>) -> SyncCeiling {
    Box::new(move |ceiling| {
        let raised = directory.0.bookkeeping().raise_ceiling(ceiling);
        raised.inspect_err(end_the_process_if_a_sync_failed)
    })
}

fn founders(config: &Config) -> Result<Ring, StartError> {
    let members = config.members().iter().map(|MemberConfig { id, address, zone, weight }| {
        let (id, zone, address) = (id.clone(), zone.clone(), address.to_string());
        Ok(Member { id, zone, weight: Weight::new(*weight)?, address })
    });
    Ok(Ring::founders(config.cluster.partitions, members.collect::<Result<_, InvalidWeight>>()?)?)
}

fn listener(key: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    let listening = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listening.map_err(|cause| StartError::Listen { key, address, cause })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What several parts of a node share.
struct Common {
    me: NodeId,
    ring: Arc<RingTable>,
    settings: Arc<SettingsTable>,
    completeness: Arc<CompletenessTable>,
    counters: Arc<NodeCounters>,
    transport: Arc<TransportCounters>,
    store: Arc<dyn Store>,
    ceiling: Arc<Ceiling>,
    found_ceiling: Hlc,
    max_skew_us: u64,
    lanes: LaneConfig,
}

impl Common {
    fn clock(&self) -> Rc<RefCell<ShardClock>> {
        Rc::new(RefCell::new(ShardClock::new(self.found_ceiling, self.ceiling.clone(), self.max_skew_us)))
    }
}

impl Node {
    fn start(
        config: &Config,
        (secret, options, observability): (Secret, RunOptions, Observability),
    ) -> Result<Self, StartError> {
        if config.defaults.sloppy {
            tracing::warn!("defaults.sloppy has no effect, since hinted handoff is not built yet");
        }
        let ring = founders(config)?;
        let peer_listener = listener("peer.listen", config.peer.listen)?;
        let expected = Expectation {
            cluster: config.cluster.name.clone(),
            node: config.node.id.clone(),
            partitions: config.cluster.partitions,
        };
        let synced = commit_of(config.storage.commit) == Commit::Fsync;
        let Opened { handle, store, directory, begun } =
            DataDirectory::open(&config.node.data, &expected, synced)?;
        wait_for_wall(begun.ceiling);
        tracing::info!(
            node = %config.node.id, %directory, run = begun.run.number.0, clean = begun.clean,
            holding = ?begun.holding, "starting in {}", config.node.data.display()
        );
        Self::assemble(
            config,
            (secret, options, observability),
            ring,
            peer_listener,
            (handle, directory, begun),
            store,
        )
    }

    fn assemble(
        config: &Config,
        (secret, options, observability): (Secret, RunOptions, Observability),
        ring: Ring,
        peer_listener: TcpListener,
        (handle, directory, begun): (DataDirectory, DirectoryId, Begun),
        store: Arc<crate::storage::FjallStore>,
    ) -> Result<Self, StartError> {
        let me = config.node.id.clone();
        let store: Arc<dyn Store> = match &options.test_stall_disk {
            Some(file) => Arc::new(StallingStore::new(store, file.clone())),
            None => store,
        };
        let counters = Arc::new(NodeCounters::default());
        let Begun { run, ceiling: found_ceiling, holding, clean } = begun;
        let RunRecord { number, history, refused, .. } = run;
        let presented = Presented { directory, number, history, found_ceiling };
        let run = presented.run().unwrap_or(RunId(0));
        let directory = Arc::new(Directory(handle));
        let dots = Arc::new(Dots::draw()?);
        let peers = ring.members().iter().filter(|member| member.id != me);
        let peers = peers.map(|member| (member.id.clone(), member.address.clone())).collect();
        let completeness = BackfillCore::new(ring.partitions(), holding).completeness().clone();
        let completeness = Arc::new(CompletenessTable::new(completeness));
        let ring = Arc::new(RingTable::new(ring));
        let settings = Arc::new(SettingsTable::load(&*store, config.defaults_as_bucket_settings())?);
        let ceiling = Arc::new(Ceiling::found(found_ceiling, sync_ceiling(directory.clone())));
        let commit = Arc::new(GroupCommit::start(
            store.clone(),
            commit_of(config.storage.commit),
            Box::new(|error| end_the_process_on_sync_error(&error)),
        )?);

        // The control plane's addresses exist before its actors, since the data plane needs them.
        let (membership, settings_actor, backfill, lister, recorder) = (
            shell::context::<RingMembership>(),
            shell::context::<BucketSettingsActor>(),
            shell::context::<Backfill>(),
            shell::context::<KeyLister>(),
            shell::context_of::<SliRecorder>(BATCHES),
        );
        let events: Recipient<PeerNews> = membership.address().recipient();
        let marked = directory.clone();
        let mark_refused = Box::new(move || {
            if let Err(error) = marked.0.bookkeeping().mark_refused() {
                end_the_process_if_a_sync_failed(&error);
                tracing::error!("it was not written down that this node was refused: {error}");
            }
        });
        let gate = SharedGate::new(
            Party { me: me.clone(), presented, refused, mark_refused },
            ring.clone(),
            ceiling.clone(),
            store.clone(),
            events,
            counters.clone(),
        )?;
        let gate = Arc::new(gate);
        let transport = Arc::new(TransportCounters::default());
        let lanes = LaneConfig {
            cluster: config.cluster.name.clone(),
            secret: secret.clone(),
            peers,
            purpose: LanePurpose::Control,
            gatekeeper: gate.clone() as Arc<dyn Gatekeeper>,
            reconnects: Arc::new(Reconnects::default()),
            counters: transport.clone(),
            now: moment,
        };
        let max_skew_us = micros(config.clock.max_skew);
        let common = Common {
            me,
            ring,
            settings,
            completeness,
            counters,
            transport,
            store,
            ceiling,
            found_ceiling,
            max_skew_us,
            lanes,
        };

        let cores = std::thread::available_parallelism()
            .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX));
        let placement = Placement::choose(u16::try_from(config.http.workers).unwrap_or(u16::MAX), cores);
        let around = ShardNeighbours {
            fetch_settings: settings_actor.address().recipient(),
            backfill: backfill.address().recipient(),
            damaged_pull: backfill.address().recipient(),
            observations: Arc::new(ObservationSink::new(
                recorder.address().recipient(),
                config.telemetry.metrics,
                common.counters.clone(),
            )),
            tracing: observability.tracing.clone(),
            run,
            gate: gate.clone(),
        };
        let (arbiters, shards) = start_shards(config, &common, &dots, &commit, placement, &around)?;
        let shards = Arc::new(shards);

        let admission = Admission::new(config.limits.in_flight);
        let draining = Arc::new(Draining::default());
        let service = NodeService::new(ServiceParts {
            me: common.me.clone(),
            ring: common.ring.clone(),
            settings: common.settings.clone(),
            shards: shards.clone(),
            admission: admission.clone(),
            draining: draining.clone(),
            gate: gate.clone(),
            peer_settings: settings_actor.address().recipient(),
            slo: recorder.address().recipient(),
            keys: lister.address().recipient(),
            tracing: observability.tracing.clone(),
            store: common.store.clone(),
            completeness: common.completeness.clone(),
            counters: common.counters.clone(),
        });
        let service: Arc<dyn PeerService> = match options.test_delay_applies {
            Some(delay) => Arc::new(LateApplies::new(service, delay)),
            None => Arc::new(service),
        };
        let acceptor = accept(&common, secret.clone(), peer_listener, service, placement, &arbiters)?;

        let set_bucket = settings_actor.address().recipient();
        let list_keys = lister.address().recipient();
        let subscribers = vec![settings_actor.address().recipient(), backfill.address().recipient()];
        run_control(
            &common,
            &shards,
            &directory,
            holding,
            (membership, settings_actor, backfill, lister),
            (subscribers, gate.clone()),
        );

        let Observability { tracing, metrics, dropped } = observability;
        let shown = instruments(
            &common.ring,
            &gate,
            (&common.counters, &common.transport, &admission),
            &commit,
            &metrics,
            dropped,
        );
        let (recorder, slo) = run_recorder(config, &common, clean, recorder, shown);
        let ask_cluster: Recipient<AskCluster> = recorder.clone().recipient();
        let front = Front::new(FrontParts {
            me: common.me.clone(),
            cluster: config.cluster.name.clone(),
            shards: shards.clone(),
            admission: admission.clone(),
            ring: common.ring.clone(),
            gate,
            settings: common.settings.clone(),
            set_bucket,
            list_keys,
            slo,
            ask_cluster,
            completeness: common.completeness.clone(),
            draining: draining.clone(),
            counters: common.counters.clone(),
            transport: common.transport.clone(),
            metrics,
            spans: tracing.spans().clone(),
        });
        let http = serve_http(config, front, &tracing, &secret, placement)?;
        tracing::info!("serving REST on http://{} and peers on {}", config.http.listen, config.peer.listen);
        Ok(Self { directory, commit, shards, admission, draining, http, arbiters, acceptor, recorder })
    }

    /// Refuses new work, finishes what is in flight within `drain_timeout`, and leaves the mark of a clean stop.
    async fn stop(self, drain_timeout: Duration) {
        self.draining.set();
        if tokio::time::timeout(drain_timeout, self.admission.all_returned()).await.is_err() {
            tracing::warn!("node.drain_timeout has passed with requests in flight");
        }
        self.http.stop(true).await;
        self.acceptor.abort();
        // The shards' threads end before the mark is made: nothing may be applied after it.
        drop(self.shards);
        for arbiter in self.arbiters {
            arbiter.stop();
            if arbiter.join().is_err() {
                tracing::error!("a shard's thread had panicked");
            }
        }
        self.commit.shutdown();
        if self.recorder.send(KeepWindows).await.is_err() {
            tracing::warn!("the windows of the objectives were not kept: their actor has ended");
        }
        match self.directory.0.bookkeeping().mark_clean_stop() {
            Ok(()) => tracing::info!("stopped cleanly"),
            Err(error) => tracing::error!("the mark of a clean stop was not written: {error}"),
        }
    }
}

fn commit_of(policy: CommitPolicy) -> Commit {
    match policy {
        CommitPolicy::Fsync => Commit::Fsync,
        CommitPolicy::Interval => Commit::Interval,
        CommitPolicy::Os => Commit::Os,
    }
}

/// The control plane, as the shards know it.
struct ShardNeighbours {
    fetch_settings: Recipient<FetchSettings>,
    backfill: Recipient<Backfilled>,
    damaged_pull: Recipient<Damaged>,
    observations: Arc<ObservationSink>,
    tracing: Tracing,
    run: RunId,
    gate: Arc<SharedGate>,
}

fn start_shards(
    config: &Config,
    common: &Common,
    dots: &Arc<Dots>,
    commit: &Arc<GroupCommit>,
    placement: Placement,
    around: &ShardNeighbours,
) -> Result<(Vec<Arbiter>, Shards), StartError> {
    let (mut arbiters, mut shards) = (Vec::new(), Vec::new());
    for shard in 0..placement.shards {
        let parts = ShardParts {
            me: common.me.clone(),
            ring: common.ring.clone(),
            settings: common.settings.clone(),
            completeness: common.completeness.clone(),
            store: common.store.clone(),
            commit: commit.clone(),
            dots: dots.clone(),
            ceiling: common.ceiling.clone(),
            found_ceiling: common.found_ceiling,
            max_skew_us: common.max_skew_us,
            gate: around.gate.clone(),
            backfill: around.backfill.clone(),
            damaged_pull: around.damaged_pull.clone(),
            fetch_settings: around.fetch_settings.clone(),
            timeout_us: micros(config.limits.timeout),
            in_flight: config.limits.in_flight,
            run: around.run,
            probe: Sampling::of(config.staleness.probe),
            observations: around.observations.clone(),
            tracing: around.tracing.clone(),
            age_objective_us: micros(config.slo.age_p95),
            shard,
            lane: LaneConfig { purpose: LanePurpose::Data { shard }, ..common.lanes.clone() },
            counters: common.counters.clone(),
        };
        let arbiter = Arbiter::new();
        let (started, shard) = mpsc::channel();
        arbiter.spawn_fn(move || drop(started.send(start_shard(parts))));
        arbiters.push(arbiter);
        shards.push(shard.recv().map_err(|_| std::io::Error::other("a shard's thread ended at once"))?);
    }
    let mut shards = shards.into_iter();
    let first = shards.next().ok_or_else(|| std::io::Error::other("there are no shards"))?;
    Ok((arbiters, Shards::new(first, shards.collect::<Vec<Shard>>())))
}

/// Accepts peers on this thread; each connection then runs on the thread of its lane.
fn accept(
    common: &Common,
    secret: Secret,
    listener: TcpListener,
    service: Arc<dyn PeerService>,
    placement: Placement,
    arbiters: &[Arbiter],
) -> Result<actix_rt::task::JoinHandle<()>, StartError> {
    let LaneConfig { cluster, gatekeeper, reconnects, counters, now, .. } = common.lanes.clone();
    let acceptor = Acceptor::new(AcceptorConfig { cluster, secret, gatekeeper, reconnects, counters, now });
    let handles: Vec<actix_rt::ArbiterHandle> = arbiters.iter().map(Arbiter::handle).collect();
    let dispatch = move |connection: Connection| {
        let service = service.clone();
        let home = match connection.purpose() {
            LanePurpose::Data { shard } => handles.get(usize::from(placement.shard_of_lane(shard))),
            LanePurpose::Control => None,
        };
        match home {
            Some(arbiter) => {
                // A thread that has ended takes no more connections; the peer finds its one closed.
                let _ = arbiter.spawn(connection.run(service));
            }
            None => drop(actix_rt::spawn(connection.run(service))),
        }
    };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(actix_rt::spawn(acceptor.run(listener, dispatch)))
}

fn run_control(
    common: &Common,
    shards: &Arc<Shards>,
    directory: &Arc<Directory>,
    holding: Holding,
    (membership, settings, backfill, lister): (
        Context<RingMembership>,
        Context<BucketSettingsActor>,
        Context<Backfill>,
        Context<KeyLister>,
    ),
    (subscribers, gate): (Vec<Recipient<PeerNews>>, Arc<SharedGate>),
) {
    let clock = common.clock();
    let attach: Recipient<Attach> = membership.address().recipient();
    membership.run(RingMembership::new(common.store.clone(), subscribers, common.counters.clone()));
    attach.do_send(Attach(gate.clone()));

    let sink = ToMailbox::new(settings.address().recipient(), common.counters.clone());
    let lane = Rc::new(Lane::start(common.lanes.clone(), Rc::new(sink)));
    let replicas = shards.iter().map(|shard| shard.replica.clone()).collect();
    settings.run(BucketSettingsActor::new(SettingsParts {
        me: common.me.clone(),
        table: common.settings.clone(),
        ring: common.ring.clone(),
        store: common.store.clone(),
        lane,
        gate: gate.clone(),
        clock: clock.clone(),
        replicas,
        counters: common.counters.clone(),
        end_process: Rc::new(end_the_process_on_sync_error),
    }));

    let sink = ToMailbox::new(backfill.address().recipient(), common.counters.clone());
    let lane = Lane::start(common.lanes.clone(), Rc::new(sink));
    let marked = directory.clone();
    backfill.run(Backfill::new(BackfillParts {
        me: common.me.clone(),
        holding,
        gate: gate.clone(),
        ring: common.ring.clone(),
        settings: common.settings.clone(),
        completeness: common.completeness.clone(),
        lane,
        clock: clock.clone(),
        shards: shards.clone(),
        mark: Rc::new(move |holding| {
            if let Err(error) = marked.0.bookkeeping().mark_holding(holding) {
                end_the_process_if_a_sync_failed(&error);
                tracing::error!("it was not written down what the directory holds: {error}");
            }
        }),
        counters: common.counters.clone(),
    }));

    let sink = ToMailbox::new(lister.address().recipient(), common.counters.clone());
    lister.run(KeyLister::new(ListerParts {
        me: common.me.clone(),
        ring: common.ring.clone(),
        settings: common.settings.clone(),
        completeness: common.completeness.clone(),
        gate: gate.clone(),
        store: common.store.clone(),
        shards: shards.clone(),
        lane: Lane::start(common.lanes.clone(), Rc::new(sink)),
        clock,
        counters: common.counters.clone(),
    }));
    keep_ceiling_ahead(common.ceiling.clone(), gate);
}

/// Runs the recorder on this thread, going on from what the last run left.
fn run_recorder(
    config: &Config,
    common: &Common,
    clean: bool,
    context: Context<SliRecorder>,
    (tap, shown): (Tap, Shown),
) -> (Addr<SliRecorder>, Arc<SloView>) {
    let (wall, snapshot) = (SteadyWall::start(), SloSnapshot::of(&config.node.data));
    let mut slo = sli_recorder::resume(config.slo.plan(), wall, &snapshot, clean);
    let view = Arc::new(SloView::new(slo.evaluate(wall.now())));
    let sink = ToMailbox::new(context.address().recipient(), common.counters.clone());
    let peers = Peers {
        me: common.me.clone(),
        ring: common.ring.clone(),
        lane: Lane::start(common.lanes.clone(), Rc::new(sink)),
        clock: common.clock(),
    };
    let recorder = context.run(SliRecorder::new(RecorderParts {
        slo,
        wall,
        view: view.clone(),
        snapshot,
        peers,
        time_scale: config.slo.time_scale,
        tap: Some(tap),
        shown: Some(shown),
        counters: common.counters.clone(),
    }));
    (recorder, view)
}

/// Syncs the clocks' ceiling ahead of time, away from all actors.
fn keep_ceiling_ahead(ceiling: Arc<Ceiling>, gate: Arc<SharedGate>) {
    drop(actix_rt::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            let (ceiling, confirmed) = (ceiling.clone(), gate.is_confirmed());
            let raised = tokio::task::spawn_blocking(move || ceiling.keep_ahead(confirmed)).await;
            if let Ok(Err(error)) = raised {
                tracing::warn!("the clock's ceiling could not be raised: {error}");
            }
        }
    }));
}

/// How long the head of a client's request, and a whole body, may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle client's connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections of one REST worker; more wait in the listener's queue.
const CONNECTIONS_PER_WORKER: usize = 10_000;
/// Bytes of request bodies that are being received at once.
const BODIES_MAX: usize = 256 << 20;
/// Bytes of large replies that clients have not taken up yet.
const ANSWERS_MAX: usize = 256 << 20;

fn serve_http(
    config: &Config,
    front: Front,
    tracing: &Tracing,
    secret: &Secret,
    placement: Placement,
) -> Result<actix_web::dev::ServerHandle, StartError> {
    let limits = Limits {
        value: usize::try_from(config.limits.value).unwrap_or(usize::MAX),
        key: usize::try_from(config.limits.key).unwrap_or(usize::MAX),
        timeout_us: micros(config.limits.timeout),
        body_timeout: REQUEST_TIMEOUT,
        bodies: BODIES_MAX,
        answers: ANSWERS_MAX,
    };
    let options = ServerOptions {
        listen: config.http.listen.to_string(),
        workers: usize::from(placement.http_workers),
        max_connections: CONNECTIONS_PER_WORKER,
        keep_alive: KEEP_ALIVE,
        request_timeout: REQUEST_TIMEOUT,
        shutdown_timeout: REQUEST_TIMEOUT,
    };
    let tokens = TokenKey::derive(secret.bytes(), &config.cluster.name);
    let address = config.http.listen;
    let Listening { server, .. } =
        crate::http::serve(Edge::new(Arc::new(front), tokens, limits).traced(tracing.clone()), &options)
            .map_err(|cause| StartError::Listen { key: "http.listen", address, cause })?;
    let handle = server.handle();
    drop(actix_rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!("the REST server ended: {error}");
        }
    }));
    Ok(handle)
}
