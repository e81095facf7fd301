//! Whether the node is alive, and whether it serves.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse};

use super::Edge;
use super::dto::{Counters, HealthBody, ReadyBody};
use super::error::Problem;
use super::params;
use crate::telemetry::prometheus;

/// Says that the process lives
///
/// 200 for as long as it answers at all.
#[utoipa::path(method(get, head), path = "/healthz", operation_id = "healthz", tag = "node",
    responses((status = 200, description = "It lives; what it refused or dropped", body = HealthBody)))]
pub fn alive(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let mut counters = edge.backend.counters();
    counters.extend(edge.bodies.counters());
    counters.extend(edge.answers.counters());
    counters.extend(edge.connections.counters());
    counters.extend(edge.callers.counters());
    let node = edge.backend.node().to_string();
    Ok(HttpResponse::Ok().json(HealthBody { status: "ok", node, counters: Counters(counters) }))
}

/// Says whether the node serves
///
/// 200 once it does, else 503 and why.
#[utoipa::path(method(get, head), path = "/readyz", operation_id = "readyz", tag = "node",
    responses((status = 200, description = "It serves", body = ReadyBody),
    (status = 503, description = "It does not, and why", body = ReadyBody)))]
pub fn ready(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let why = edge.backend.not_ready();
    let mut response = if why.is_none() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    Ok(response.json(ReadyBody { ready: why.is_none(), why }))
}

/// Shows all instruments, as Prometheus reads them
#[utoipa::path(method(get, head), path = "/metrics", operation_id = "metrics", tag = "node",
    responses((status = 200, description = "The instruments", body = String, content_type = "text/plain")))]
pub fn metrics(edge: &Edge) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, prometheus::CONTENT_TYPE)).body(edge.backend.metrics())
}
