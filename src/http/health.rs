//! `healthz` and `readyz`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::error::Problem;
use super::{Edge, dto, params};

/// `GET /healthz`: the process is alive; with what it has refused, dropped or left undone so far.
pub fn alive(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let counters = edge.backend.counters().into_iter().collect();
    let node = edge.backend.node().to_string();
    Ok(dto::json(StatusCode::OK, &dto::Health { status: "ok", node, counters }))
}

/// `GET /readyz`: the ring is known, the storage open, and the node is not stopping.
pub fn ready(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let why = edge.backend.not_ready();
    let status = if why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(dto::json(status, &dto::Ready { ready: why.is_none(), why }))
}
