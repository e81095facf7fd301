//! Whether the node is alive, and whether it serves.

use actix_web::{HttpRequest, HttpResponse};

use super::Edge;
use super::dto::{Counters, HealthBody, ReadyBody};
use super::error::Problem;
use super::params;

/// `GET /healthz`: 200 for as long as the process answers at all.
pub fn alive(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let mut counters = edge.backend.counters();
    counters.extend(edge.bodies.counters());
    counters.extend(edge.answers.counters());
    counters.extend(edge.connections.counters());
    let node = edge.backend.node().to_string();
    Ok(HttpResponse::Ok().json(HealthBody { status: "ok", node, counters: Counters(counters) }))
}

/// `GET /readyz`: 200 once the node serves, else 503 and why.
pub fn ready(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let why = edge.backend.not_ready();
    let mut response = if why.is_none() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    Ok(response.json(ReadyBody { ready: why.is_none(), why }))
}
