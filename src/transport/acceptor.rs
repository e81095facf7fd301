//! Takes connections in, shakes hands, and hands them to whoever is to run them.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::connection::{Connection, SILENCE_MAX};
use super::counters::TransportCounters;
use super::handshake::{HandshakeError, Party, accept};
use super::{Gatekeeper, MonotonicClock, Reconnects, Secret};

/// Connections of peers that a node holds at once.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Handshakes in progress at once.
pub const HANDSHAKES_MAX: usize = 64;

/// What an acceptor needs.
#[derive(Clone)]
pub struct AcceptorConfig {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's secret.
    pub secret: Secret,
    /// Who judges peers.
    pub gatekeeper: Arc<dyn Gatekeeper>,
    /// Who waits to dial whom.
    pub reconnects: Arc<Reconnects>,
    /// What is counted.
    pub counters: Arc<TransportCounters>,
    /// This node's monotonic clock.
    pub now: MonotonicClock,
}

/// Takes connections in.
pub struct Acceptor {
    config: AcceptorConfig,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

impl Acceptor {
    /// An acceptor with no connections.
    #[must_use]
    pub fn new(config: AcceptorConfig) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { config, connections, handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)) }
    }

    /// Accepts on `listener` for good, on this thread's runtime. `dispatch` gets each connection whose
    /// handshake is done, and runs it on the thread it likes.
    pub async fn run(self, listener: TcpListener, dispatch: impl Fn(Connection) + 'static) {
        let dispatch = std::rc::Rc::new(dispatch);
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.config.counters.accept_errors.add();
                    tracing::warn!("no connection could be accepted: {error}");
                    // Too many open files, most likely: it helps nobody to try again at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(slot) = self.connections.clone().try_acquire_owned() else {
                self.config.counters.connections_over_bound.add();
                continue;
            };
            let Ok(busy) = self.handshakes.clone().try_acquire_owned() else {
                self.config.counters.handshakes_over_bound.add();
                continue;
            };
            let (config, dispatch) = (self.config.clone(), dispatch.clone());
            drop(tokio::task::spawn_local(async move {
                let address =
                    stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
                match shake(stream, &config, slot).await {
                    Ok(connection) => dispatch(connection),
                    Err(error) => {
                        error.count(&config.counters);
                        tracing::warn!(%address, "a peer's connection was not taken: {error}");
                    }
                }
                drop(busy);
            }));
        }
    }
}

async fn shake(
    mut stream: TcpStream,
    config: &AcceptorConfig,
    slot: tokio::sync::OwnedSemaphorePermit,
) -> Result<Connection, HandshakeError> {
    stream.set_nodelay(true)?;
    let party = Party { cluster: &config.cluster, secret: &config.secret, gatekeeper: &*config.gatekeeper };
    let (identity, purpose) = accept(&mut stream, &party).await?;
    config.counters.handshakes_inbound.add();
    config.reconnects.seen(&identity.node);
    let (counters, now, gatekeeper) = (config.counters.clone(), config.now, config.gatekeeper.clone());
    let (stream, from) = (stream.into_std()?, identity.node);
    Ok(Connection { stream, from, purpose, counters, now, gatekeeper, silence_max: SILENCE_MAX, _slot: slot })
}
