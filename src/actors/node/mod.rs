//! A node, from its configuration to its clean stop.

mod control_plane;
mod data_plane;
mod descriptors;
mod edge;
mod ending;
mod memory;

use std::cell::RefCell;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter, AsyncContext as _, Recipient};

use control_plane::{run_control, run_recorder};
use data_plane::{ShardNeighbours, accept, start_shards};
use descriptors::{Descriptors, Needs, TooFewDescriptors};
use edge::{BACKLOG, serve_http};
use ending::Stop;
use memory::Memory;

use crate::actors::admission::Admission;
use crate::actors::backfill::Backfill;
use crate::actors::bucket_settings::{BucketSettingsActor, SettingsTable};
use crate::actors::clock::{Ceiling, ShardClock, SyncCeiling, moment, wait_for_wall};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::front::{Draining, Front, FrontParts};
use crate::actors::identity::Dots;
use crate::actors::key_lister::KeyLister;
use crate::actors::late_applies::LateApplies;
use crate::actors::messages::Answer;
use crate::actors::observability::{Observability, instruments};
use crate::actors::peer_lane::PeerLane;
use crate::actors::placement::{Placement, Shards};
use crate::actors::resident::Resident;
use crate::actors::ring_membership::{Party, PeerNews, RingMembership, RingTable, SharedGate};
use crate::actors::service::{NodeService, ServiceParts};
use crate::actors::shell::{
    self, ToMailbox, end_the_process_if_a_sync_failed, end_the_process_on_panic,
    end_the_process_on_sync_error,
};
use crate::actors::sli_recorder::{AskCluster, BATCHES, KeepWindows, ObservationSink, SliRecorder};
use crate::actors::stalling_store::StallingStore;
use crate::config::{CommitPolicy, Config, MemberConfig};
use crate::protocol::bounds::ValueLimit;
use crate::protocol::ids::{DirectoryId, NodeId};
use crate::protocol::membership::{Backfill as BackfillCore, Presented, RunRecord};
use crate::protocol::ring::{InvalidWeight, Member, Ring, RingError, Weight};
use crate::protocol::time::Hlc;
use crate::storage::{
    Begun, Commit, DataDirectory, DirectoryError, Expectation, GroupCommit, Opened, Store, StoreError,
};
use crate::transport::{
    Gatekeeper, Lane, LaneConfig, LanePurpose, PeerMemory, PeerService, Reconnects, Secret, TransportCounters,
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
    /// Too few open files are allowed.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
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
    Box::new(move |ceiling, highest| {
        let raised = directory.0.bookkeeping().raise_ceiling(ceiling, highest);
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
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listening.map_err(|cause| StartError::Listen { key, address, cause })
}

/// Takes an address, for nobody to connect to yet: who asks a node that is starting is refused at once.
fn reserve(key: &'static str, address: std::net::SocketAddr) -> Result<OwnedFd, StartError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let reserved = socket.and_then(|socket| {
        // Connections of a run before this one may linger there.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        Ok(socket)
    });
    reserved.map_err(|cause| StartError::Listen { key, address, cause: cause.into() })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Where a node is to be found, taken before anything is begun: what is taken already ends the start with nothing done.
struct Listeners {
    peer: TcpListener,
    http: OwnedFd,
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
    values: ValueLimit,
    lanes: LaneConfig,
}

impl Common {
    fn clock(&self) -> Rc<RefCell<ShardClock>> {
        Rc::new(RefCell::new(ShardClock::new(self.found_ceiling, self.ceiling.clone(), self.max_skew_us)))
    }

    /// Connections to peers for an actor of the control plane, which is told their answers.
    fn lane_of(&self, actor: Recipient<Answer>, clock: &Rc<RefCell<ShardClock>>) -> PeerLane {
        let sink = ToMailbox::new(actor, self.counters.clone());
        let lane = Lane::start(self.lanes.clone(), Rc::new(sink));
        PeerLane::new(lane, self.ring.clone(), clock.clone(), self.counters.clone())
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
        let cores = std::thread::available_parallelism()
            .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX));
        let placement = Placement::choose(u16::try_from(config.http.workers).unwrap_or(u16::MAX), cores);
        let descriptors = Descriptors::claim(Needs { peers: ring.members().len() - 1, placement })?;
        let memory = Memory::share(config.limits.memory, placement, descriptors.store);
        let listeners = Listeners {
            peer: listener("peer.listen", config.peer.listen)?,
            http: reserve("http.listen", config.http.listen)?,
        };
        let expected = Expectation {
            cluster: config.cluster.name.clone(),
            node: config.node.id.clone(),
            partitions: config.cluster.partitions,
        };
        let synced = commit_of(config.storage.commit) == Commit::Fsync;
        let Opened { handle, store, directory, begun } =
            DataDirectory::open(&config.node.data, &expected, synced, memory.store)?;
        wait_for_wall(begun.ceiling, begun.highest);
        tracing::info!(
            node = %config.node.id, %directory, run = begun.run.number.0, clean = begun.clean,
            holding = ?begun.holding, "starting in {}", config.node.data.display()
        );
        Self::assemble(
            config,
            (secret, options, observability),
            ring,
            listeners,
            (handle, directory, begun),
            store,
            (placement, descriptors, memory),
        )
    }

    fn assemble(
        config: &Config,
        (secret, options, observability): (Secret, RunOptions, Observability),
        ring: Ring,
        listeners: Listeners,
        (handle, directory, begun): (DataDirectory, DirectoryId, Begun),
        store: Arc<crate::storage::FjallStore>,
        (placement, descriptors, memory): (Placement, Descriptors, Memory),
    ) -> Result<Self, StartError> {
        let me = config.node.id.clone();
        let store: Arc<dyn Store> = match &options.test_stall_disk {
            Some(file) => Arc::new(StallingStore::new(store, file.clone())),
            None => store,
        };
        let counters = Arc::new(NodeCounters::default());
        let Begun { run, ceiling: found_ceiling, highest, holding, clean } = begun;
        let RunRecord { number, history, refused, .. } = run;
        let presented = Presented { directory, number, history, found_ceiling };
        let directory = Arc::new(Directory(handle));
        let dots = Arc::new(Dots::draw()?);
        let peers = ring.members().iter().filter(|member| member.id != me);
        let peers = peers.map(|member| (member.id.clone(), member.address.clone())).collect();
        let completeness = BackfillCore::new(ring.partitions(), holding).completeness().clone();
        let completeness = Arc::new(CompletenessTable::new(completeness));
        let ring = Arc::new(RingTable::new(ring));
        let settings = Arc::new(SettingsTable::load(&*store, config.defaults_as_bucket_settings())?);
        let ceiling = Arc::new(Ceiling::found(found_ceiling, highest, sync_ceiling(directory.clone())));
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
            Party {
                me: me.clone(),
                presented,
                refused,
                mark_refused,
                max_skew_us: micros(config.clock.max_skew),
            },
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
            memory: PeerMemory::within(memory.peers),
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
            values: config.value_limit(),
            lanes,
        };

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
            gate: gate.clone(),
        };
        let (arbiters, shards) =
            start_shards(config, &common, &dots, &commit, (placement, &memory), &around)?;
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
        let acceptor = accept(
            &common,
            secret.clone(),
            (listeners.peer, descriptors.peers),
            service,
            placement,
            &arbiters,
        )?;

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
            resident: Resident::watch(memory.refuse_from)?,
            requests: common.lanes.memory.requests.clone(),
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
        let http = serve_http(
            config,
            listeners.http,
            front,
            (&tracing, &secret),
            (placement, descriptors.clients, &memory),
        )?;
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
