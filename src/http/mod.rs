//! The REST edge: parses, asks the [`backend::Backend`], renders. It decides nothing.

pub mod backend;
mod buckets;
mod dto;
pub mod error;
mod etag;
pub mod headers;
mod health;
mod kv;
mod params;
mod ring;
mod routes;
mod siblings;
mod target;
mod time;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::protocol::causality::TokenKey;
use backend::Backend;

/// How long a client may take to send its request's head, and an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections of one worker; more wait in the listener's queue.
const CONNECTIONS_PER_WORKER: usize = 10_000;
/// Bytes of request bodies that a node holds at once, beside those of the requests it has admitted.
const BODIES_MAX: usize = 256 << 20;

/// What the edge is told.
#[derive(Debug, Clone)]
pub struct EdgeLimits {
    /// The longest value, in bytes.
    pub value: usize,
    /// The longest key, in bytes.
    pub key: usize,
    /// The longest that a request may take, in microseconds.
    pub timeout_us: u64,
}

/// What every handler sees.
pub struct Edge {
    /// The node.
    pub backend: Arc<dyn Backend>,
    /// Makes and reads context tokens.
    pub tokens: TokenKey,
    /// Limits.
    pub limits: EdgeLimits,
    /// Bytes of bodies being received.
    bodies: AtomicUsize,
}

impl Edge {
    /// An edge over `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, tokens: TokenKey, limits: EdgeLimits) -> Self {
        Self { backend, tokens, limits, bodies: AtomicUsize::new(0) }
    }
}

/// Serves REST on `listener`. Signals are the node's affair; `stop` of the server's handle ends it.
pub fn serve(edge: Arc<Edge>, listener: TcpListener, workers: usize) -> std::io::Result<Server> {
    let edge = web::Data::from(edge);
    let app = move || App::new().app_data(edge.clone()).default_service(web::to(routes::dispatch));
    let server = HttpServer::new(app)
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .max_connections(CONNECTIONS_PER_WORKER)
        .shutdown_timeout(5)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
