//! Takes connections in, shakes hands, and hands them to whoever is to run them.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, SILENCE_MAX};
use super::counters::TransportCounters;
use super::handshake::{HandshakeError, Party, accept};
use super::handshake_slots::{HandshakeBounds, HandshakeSlot, HandshakeSlots, Source, Stage};
use super::member_addresses::MemberAddresses;
use super::{Gatekeeper, MonotonicClock, PeerMemory, Reconnects, Secret};

/// Interval at which the log says that handshakes had to make room.
const SAY_EVICTED_EVERY: Duration = Duration::from_secs(10);

/// Bounds on the connections of an acceptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptorBounds {
    /// Connections of peers that have proven the secret.
    pub peers: usize,
    /// Handshakes in progress.
    pub handshakes: HandshakeBounds,
}

impl Default for AcceptorBounds {
    /// Bounds where descriptors are no concern.
    fn default() -> Self {
        Self { peers: 1_024, handshakes: HandshakeBounds::MOST }
    }
}

/// What an acceptor needs.
#[derive(Clone)]
pub struct AcceptorConfig {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's secret.
    pub secret: Secret,
    /// The members' `host:port`, whose handshakes have slots of their own.
    pub members: Vec<String>,
    /// Who judges peers.
    pub gatekeeper: Arc<dyn Gatekeeper>,
    /// Who waits to dial whom.
    pub reconnects: Arc<Reconnects>,
    /// What is counted.
    pub counters: Arc<TransportCounters>,
    /// This node's monotonic clock.
    pub now: MonotonicClock,
    /// How many connections it takes.
    pub bounds: AcceptorBounds,
    /// Memory of their requests and of what they are answered.
    pub memory: PeerMemory,
}

/// Takes connections in.
pub struct Acceptor {
    config: AcceptorConfig,
    members: MemberAddresses,
    slots: Rc<HandshakeSlots>,
    connections: Arc<Semaphore>,
    said_evicted: Cell<Option<Instant>>,
}

impl Acceptor {
    /// An acceptor with no connections.
    #[must_use]
    pub fn new(config: AcceptorConfig) -> Self {
        Self {
            members: MemberAddresses::new(&config.members, config.counters.clone()),
            slots: Rc::new(HandshakeSlots::new(config.bounds.handshakes)),
            connections: Arc::new(Semaphore::new(config.bounds.peers)),
            config,
            said_evicted: Cell::new(None),
        }
    }

    /// Accepts on `listener` for good, on this thread's runtime. `dispatch` gets each connection whose
    /// handshake is done, and runs it on the thread it likes.
    pub async fn run(self, listener: TcpListener, dispatch: impl Fn(Connection) + 'static) {
        let (acceptor, dispatch) = (Rc::new(self), Rc::new(dispatch));
        tokio::select! {
            () = acceptor.clone().accept_all(listener, dispatch) => {}
            () = acceptor.members.keep_resolved() => {}
        }
    }

    async fn accept_all(self: Rc<Self>, listener: TcpListener, dispatch: Rc<impl Fn(Connection) + 'static>) {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.config.counters.accept_errors.add();
                    tracing::warn!("no connection could be accepted: {error}");
                    // Too many open files, most likely: it helps nobody to try again at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let slot = self.slots.take(self.source(address.ip()));
            let (acceptor, dispatch) = (self.clone(), dispatch.clone());
            drop(tokio::task::spawn_local(async move {
                match acceptor.shake(stream, &slot).await {
                    Ok(connection) => dispatch(connection),
                    Err(error) => acceptor.not_taken(address, slot.stage(), &error),
                }
            }));
            // Whoever is in already is heard before somebody else is let in, and perhaps takes its slot.
            tokio::task::yield_now().await;
        }
    }

    fn source(&self, address: IpAddr) -> Source {
        Source::new(address, self.members.contains(address))
    }

    async fn shake(&self, mut stream: TcpStream, slot: &HandshakeSlot) -> Result<Connection, HandshakeError> {
        let config = &self.config;
        stream.set_nodelay(true)?;
        let party =
            Party { cluster: &config.cluster, secret: &config.secret, gatekeeper: &*config.gatekeeper };
        let permit = RefCell::new(None);
        let reached = |stage| {
            slot.reach(stage);
            if stage == Stage::Proven {
                *permit.borrow_mut() = Some(self.connection_permit()?);
            }
            Ok(())
        };
        let (identity, purpose) = tokio::select! {
            biased;
            shaken = accept(&mut stream, &party, reached) => shaken?,
            () = slot.evicted() => return Err(HandshakeError::Evicted { greeted: slot.stage() == Stage::Greeted }),
        };
        let permit = permit.take().ok_or(HandshakeError::Malformed)?;
        config.counters.handshakes_inbound.add();
        config.reconnects.seen(&identity.node);
        let (counters, now, gatekeeper) = (config.counters.clone(), config.now, config.gatekeeper.clone());
        let (stream, from) = (stream.into_std()?, identity.node);
        Ok(Connection {
            stream,
            from,
            purpose,
            counters,
            now,
            gatekeeper,
            silence_max: SILENCE_MAX,
            memory: config.memory.clone(),
            _slot: permit,
        })
    }

    fn connection_permit(&self) -> Result<OwnedSemaphorePermit, HandshakeError> {
        self.connections.clone().try_acquire_owned().map_err(|_| HandshakeError::Full)
    }

    fn not_taken(&self, address: std::net::SocketAddr, stage: Stage, error: &HandshakeError) {
        error.count(&self.config.counters);
        if matches!(error, HandshakeError::Evicted { .. }) {
            self.say_evicted(address.ip());
        }
        if stage == Stage::Silent || matches!(error, HandshakeError::Evicted { .. }) {
            // There may be thousands of them a second.
            tracing::debug!(%address, "a connection was not taken: {error}");
        } else {
            tracing::warn!(%address, "a peer's connection was not taken: {error}");
        }
    }

    fn say_evicted(&self, address: IpAddr) {
        let now = Instant::now();
        let said = self.said_evicted.get().is_some_and(|said| now.duration_since(said) < SAY_EVICTED_EVERY);
        if !said {
            self.said_evicted.set(Some(now));
            tracing::warn!(
                %address,
                "more connections than there are slots prove nothing on the peer port; the oldest are closed"
            );
        }
    }
}
