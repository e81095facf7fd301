//! Dispatches requests: method and raw path (see [`super::target`]) to the call that [`table`] has for them.

pub mod path;
pub mod table;

use std::sync::Arc;

use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::ConnectionType;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::connections::{Refused, Watched};
use super::error::Problem;
use super::kv::Place;
use super::{Edge, batch, buckets, cors, headers, health, keys, kv, openapi, ring, slo};
use path::PathParts;
use table::{ApiCall, Routed, find};

/// Answers one request.
pub(super) async fn serve(
    edge: web::Data<Edge>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let serving = request.conn_data::<Arc<Watched>>().map(|connection| connection.serve());
    let beyond_bound = request.conn_data::<Refused>();
    let admitted = match beyond_bound {
        Some(Refused { served_max, .. }) => Err(Problem::too_many_connections(*served_max)),
        None => edge.callers.admit(&request),
    };
    let (answer, listed_origin) = match admitted {
        Ok(Some(origin)) if cors::is_preflight(&request) => (Ok(preflight(&request)), Some(origin)),
        Ok(listed_origin) => (dispatch(&edge, &request, payload).await, listed_origin),
        Err(problem) => (Err(refused(problem, &request)), None),
    };
    let mut response = answer.unwrap_or_else(Problem::into_response);
    if let (Some(mut serving), BodySize::Sized(bytes)) = (serving, response.body().size()) {
        serving.sends(bytes);
    }
    if beyond_bound.is_some() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let to = response.headers_mut();
    to.insert(CACHE_CONTROL, headers::NO_STORE);
    if let Some(origin) = listed_origin {
        cors::expose(to, origin);
    }
    if !to.contains_key(headers::TRACEPARENT)
        && let Some(trace) = headers::traceparent(request.headers())
    {
        to.insert(headers::TRACEPARENT, HeaderValue::clone(trace));
    }
    response
}

/// The methods of a path, for pages of listed origins. For a path that is not there, those of a read: the page then sees
/// the 404.
fn preflight(request: &HttpRequest) -> HttpResponse {
    let uri = request.uri();
    match find(uri.path(), names_key64(uri.query())) {
        Some(routed) => cors::preflight(&routed.route.allow()),
        None => cors::preflight("GET, HEAD"),
    }
}

/// The refusal of a caller, which says of a write that nothing was applied.
fn refused(problem: Problem, request: &HttpRequest) -> Problem {
    let call = find(request.uri().path(), false).and_then(|routed| routed.route.call(request.method()));
    if call.is_some_and(ApiCall::writes) {
        problem.of_write(kv::write_id(request.headers()).ok().flatten())
    } else {
        problem
    }
}

async fn dispatch(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let path = request.uri().path();
    let method = request.method();
    let key64 = names_key64(request.uri().query());
    let Routed { route, parts } = find(path, key64).ok_or_else(|| Problem::path_not_found(path))?;
    let PathParts { first, rest } = parts;
    // A path with a bucket: that comes first, and the key is the rest.
    let (bucket, place) = (first, Place { bucket: first, key: rest });
    let call = route.call(method);
    match call.ok_or_else(|| Problem::method_not_allowed(method.as_str(), route.allow()))? {
        ApiCall::Read => kv::read(edge, request, place).await,
        ApiCall::Put => kv::put(edge, request, payload, place).await,
        ApiCall::Delete => kv::delete(edge, request, place).await,
        ApiCall::ListKeys => keys::list_or_read(edge, request, bucket, key64).await,
        ApiCall::PutKey64 => kv::put_key64(edge, request, payload, bucket).await,
        ApiCall::DeleteKey64 => kv::delete_key64(edge, request, bucket).await,
        ApiCall::Batch => batch::run(edge, request, payload).await,
        ApiCall::ListBuckets => buckets::list(edge, request),
        ApiCall::ShowBucket => buckets::show(edge, request, bucket),
        ApiCall::SetBucket => buckets::set(edge, request, payload, bucket).await,
        ApiCall::Ring => ring::show(edge, request),
        ApiCall::PreferenceList => ring::preference_list(edge, request, place),
        ApiCall::PreferenceListKey64 => ring::preference_list_key64(edge, request, bucket),
        ApiCall::Slo => slo::show(edge, request).await,
        ApiCall::Metrics => Ok(health::metrics(edge)),
        ApiCall::Healthz => health::alive(edge, request),
        ApiCall::Readyz => health::ready(edge, request),
        ApiCall::OpenApi => openapi::show(edge, request),
        ApiCall::Docs => openapi::page(edge, request),
        ApiCall::NotBuilt(part) => Err(Problem::not_built(part)),
    }
}

/// Where a path and a query say that a key is, if the path is that of one.
pub(super) fn place<'a>(path: &'a str, query: Option<&str>) -> Option<Place<'a>> {
    let Routed { route, parts } = find(path, names_key64(query))?;
    let place = Place { bucket: parts.first, key: parts.rest };
    let of_key = matches!(
        route.get,
        Some(ApiCall::Read | ApiCall::ListKeys | ApiCall::PreferenceList | ApiCall::PreferenceListKey64)
    );
    of_key.then_some(place)
}

fn names_key64(query: Option<&str>) -> bool {
    let mut pieces = query.unwrap_or_default().split('&');
    pieces.any(|piece| piece.split_once('=').map_or(piece, |(name, _)| name) == super::target::KEY64)
}
