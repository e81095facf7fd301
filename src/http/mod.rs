//! The REST edge: HTTP in, operations of the node out, and back.
//!
//! ```text
//! callers, cors ─> allowed hosts and origins
//! routes ──> kv, keys, batch, buckets, ring, slo, health, openapi ──> backend (the node)
//!   └──> table     every path, its methods and their calls
//!              └──> target, params, properties, headers, body   what is asked, within bounds
//!              └──> siblings, etag, dto, time       what is shown
//!              └──> error                           what went wrong: the only place with status codes of errors
//! ```

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::protocol::ids::{BucketName, Key};
use crate::telemetry::Tracing;
use answers::AnswerBudget;
use backend::Backend;
use body::BodyBudget;
use callers::AllowedCallers;
pub use connections::ConnectionBounds;
use connections::Connections;
use tokens::TokenKey;

mod answers;
pub mod backend;
mod batch;
mod body;
mod buckets;
pub mod callers;
mod connections;
mod cors;
mod dto;
mod error;
mod etag;
pub mod headers;
mod health;
mod keys;
mod kv;
mod openapi;
mod params;
mod properties;
mod ring;
pub mod routes;
mod siblings;
mod slo;
mod target;
pub(crate) mod time;
pub mod tokens;

/// What a request may ask for at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest value, in bytes (`limits.value`).
    pub value: usize,
    /// The longest key, in bytes (`limits.key`).
    pub key: usize,
    /// The longest, and the usual, time of an operation, in microseconds (`limits.timeout`).
    pub timeout_us: u64,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How many bytes all bodies in flight may take together.
    pub bodies: usize,
    /// How many bytes all large bodies of replies may take together until their clients have taken them.
    pub answers: usize,
}

/// What the edge knows, shared by all its workers.
pub struct Edge {
    backend: Arc<dyn Backend>,
    tokens: TokenKey,
    limits: Limits,
    bodies: BodyBudget,
    answers: AnswerBudget,
    connections: Connections,
    callers: AllowedCallers,
    tracing: Tracing,
}

impl Edge {
    /// An edge of `backend`, whose cluster's context tokens `tokens` authenticates.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, tokens: TokenKey, limits: Limits) -> Self {
        Self {
            backend,
            tokens,
            limits,
            bodies: BodyBudget::new(limits.bodies),
            answers: AnswerBudget::new(limits.answers),
            connections: Connections::default(),
            callers: AllowedCallers::default(),
            tracing: Tracing::default(),
        }
    }

    /// The same, for `callers` instead of those alone that name it by an address or `localhost`.
    #[must_use]
    pub fn for_callers(self, callers: AllowedCallers) -> Self {
        Self { callers, ..self }
    }

    /// The same, whose requests are traced.
    #[must_use]
    pub fn traced(self, tracing: Tracing) -> Self {
        Self { tracing, ..self }
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("limits", &self.limits)
            .field("bodies", &self.bodies)
            .finish_non_exhaustive()
    }
}

/// The key that a path and a query name, read as a `GET` does.
pub(crate) fn named_key(limits: &Limits, path: &str, query: Option<&str>) -> Option<(BucketName, Key)> {
    let place = routes::place(path, query)?;
    kv::Call::of_get(limits, place, query).ok().map(|call| (call.bucket, call.key))
}

/// How the edge listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// Worker threads; 0 chooses as many as there are cores.
    pub workers: usize,
    /// Bounds on connections.
    pub connections: ConnectionBounds,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long the head of a request may take to arrive.
    pub request_timeout: Duration,
    /// How long requests in flight may take once the server is told to stop gracefully.
    pub shutdown_timeout: Duration,
}

/// A server that listens.
pub struct Listening {
    /// The server: a future that ends when it has stopped. Signals are the caller's affair; it is stopped
    /// through its handle.
    pub server: Server,
    /// The addresses it listens on.
    pub addresses: Vec<SocketAddr>,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Puts the edge into an application. It takes every path.
pub fn configure(application: &mut web::ServiceConfig, edge: web::Data<Edge>) {
    application.app_data(edge).default_service(web::to(routes::serve));
}

/// Starts a server on `listener`. Must be called within an actix system or a Tokio runtime, which drives the
/// returned server; its workers have threads of their own.
///
/// # Errors
///
/// The listener cannot be used. Nothing is left running.
pub fn serve(mut edge: Edge, listener: TcpListener, options: &ServerOptions) -> io::Result<Listening> {
    let connections = Connections::new(options.connections);
    edge.connections = connections.clone();
    let workers = match options.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    // Detached: it ends with the runtime.
    drop(actix_web::rt::spawn(connections.clone().watch(options.keep_alive + options.request_timeout)));
    let edge = web::Data::new(edge);
    let server = HttpServer::new(move || {
        let edge = edge.clone();
        App::new().configure(move |application| configure(application, edge))
    })
    .on_connect(move |stream, of_connection| connections.accepted(stream, of_connection))
    .disable_signals()
    .tcp_nodelay(true)
    .keep_alive(options.keep_alive)
    .client_request_timeout(options.request_timeout)
    .workers(workers)
    .max_connections(options.connections.of_worker(workers))
    .shutdown_timeout(options.shutdown_timeout.as_secs().max(1));
    let server = server.listen(listener)?;
    let addresses = server.addrs();
    Ok(Listening { server: server.run(), addresses })
}
