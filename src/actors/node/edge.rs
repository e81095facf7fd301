//! The REST edge of a node, with its bounds.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::{StartError, micros};
use crate::actors::front::Front;
use crate::actors::placement::Placement;
use crate::config::{Config, WebOrigin};
use crate::http::callers::AllowedCallers;
use crate::http::tokens::TokenKey;
use crate::http::{ConnectionBounds, Edge, Limits, Listening, ServerOptions};
use crate::telemetry::Tracing;
use crate::transport::Secret;

/// How long the head of a client's request, and a whole body, may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle client's connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections that may wait to be accepted; the system may hold it to fewer.
pub(super) const BACKLOG: i32 = 2_048;

/// Listens for clients, on threads of their own.
pub(super) fn serve_http(
    config: &Config,
    reserved: OwnedFd,
    front: Front,
    (tracing, secret): (&Tracing, &Secret),
    (placement, connections, memory): (Placement, ConnectionBounds, &Memory),
) -> Result<actix_web::dev::ServerHandle, StartError> {
    let limits = Limits {
        value: usize::try_from(config.limits.value).unwrap_or(usize::MAX),
        key: usize::try_from(config.limits.key).unwrap_or(usize::MAX),
        timeout_us: micros(config.limits.timeout),
        body_timeout: REQUEST_TIMEOUT,
        bodies: memory.bodies,
        answers: memory.answers,
    };
    let options = ServerOptions {
        workers: usize::from(placement.http_workers),
        connections,
        keep_alive: KEEP_ALIVE,
        request_timeout: REQUEST_TIMEOUT,
        shutdown_timeout: REQUEST_TIMEOUT,
    };
    let tokens = TokenKey::derive(secret.bytes(), &config.cluster.name);
    let address = config.http.listen;
    let origins = config.http.cors.iter().map(WebOrigin::as_str);
    let callers = AllowedCallers::new(config.known_hosts(), origins);
    let edge = Edge::new(Arc::new(front), tokens, limits).for_callers(callers).traced(tracing.clone());
    let listening = rustix::net::listen(&reserved, BACKLOG).map_err(std::io::Error::from);
    let Listening { server, .. } = listening
        .and_then(|()| crate::http::serve(edge, TcpListener::from(reserved), &options))
        .map_err(|cause| StartError::Listen { key: "http.listen", address, cause })?;
    let handle = server.handle();
    drop(actix_rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!("the REST server ended: {error}");
        }
    }));
    Ok(handle)
}
