//! Which call a request is: method and raw path, matched by neap itself (see [`super::target`]).

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::connections::Watched;
use super::error::Problem;
use super::kv::Place;
use super::{Edge, buckets, headers, health, kv, ring, slo};
use crate::telemetry::prometheus;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Key(Place<'a>),
    Keys(Place<'a>),
    Buckets,
    Bucket(&'a str),
    Ring,
    PreferenceList(Place<'a>),
    Slo,
    Metrics,
    Alive,
    Ready,
    NotBuilt { what: &'static str, allow: &'static str },
    Unknown,
}

const READ: &str = "GET, HEAD";
const READ_PUT: &str = "GET, HEAD, PUT";
const READ_PUT_DELETE: &str = "GET, HEAD, PUT, DELETE";

/// Answers one request.
pub async fn serve(edge: web::Data<Edge>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let serving = request.conn_data::<Arc<Watched>>().map(|connection| connection.serve());
    let answer = dispatch(&edge, &request, payload).await;
    drop(serving);
    let mut response = answer.unwrap_or_else(Problem::into_response);
    let to = response.headers_mut();
    to.insert(CACHE_CONTROL, headers::NO_STORE);
    if !to.contains_key(headers::TRACEPARENT)
        && let Some(trace) = headers::traceparent(request.headers())
    {
        to.insert(headers::TRACEPARENT, HeaderValue::clone(trace));
    }
    response
}

async fn dispatch(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let path = request.uri().path();
    let method = request.method();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let key64 = names_key64(request.uri().query());
    match route(path, key64) {
        Route::Keys(_) if reads && !key64 => Err(Problem::not_built("listing the keys of a bucket")),
        Route::Key(place) | Route::Keys(place) if reads => kv::read(edge, request, place).await,
        Route::Key(place) | Route::Keys(place) if *method == Method::PUT => {
            kv::put(edge, request, payload, place).await
        }
        Route::Key(place) | Route::Keys(place) if *method == Method::DELETE => {
            kv::delete(edge, request, place).await
        }
        Route::Buckets if reads => buckets::list(edge, request),
        Route::Bucket(bucket) if reads => buckets::show(edge, request, bucket),
        Route::Bucket(bucket) if *method == Method::PUT => buckets::set(edge, request, payload, bucket).await,
        Route::Ring if reads => ring::show(edge, request),
        Route::PreferenceList(place) if reads => ring::preference_list(edge, request, place),
        Route::Slo if reads => slo::show(edge, request).await,
        Route::Metrics if reads => Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, prometheus::CONTENT_TYPE))
            .body(edge.backend.metrics())),
        Route::Alive if reads => health::alive(edge, request),
        Route::Ready if reads => health::ready(edge, request),
        Route::NotBuilt { what, allow } if allow.split(", ").any(|known| known == method.as_str()) => {
            Err(Problem::not_built(what))
        }
        Route::Unknown => Err(Problem::path_not_found(path)),
        other => Err(Problem::method_not_allowed(method.as_str(), allowed(&other))),
    }
}

const fn allowed(route: &Route<'_>) -> &'static str {
    match route {
        Route::Key(_) | Route::Keys(_) => READ_PUT_DELETE,
        Route::Bucket(_) => READ_PUT,
        Route::NotBuilt { allow, .. } => allow,
        Route::Buckets
        | Route::Ring
        | Route::PreferenceList(_)
        | Route::Slo
        | Route::Metrics
        | Route::Alive
        | Route::Ready
        | Route::Unknown => READ,
    }
}

/// Where a path and a query say that a key is, if the path is that of one.
pub fn place<'a>(path: &'a str, query: Option<&str>) -> Option<Place<'a>> {
    match route(path, names_key64(query)) {
        Route::Key(place) | Route::Keys(place) | Route::PreferenceList(place) => Some(place),
        _ => None,
    }
}

fn names_key64(query: Option<&str>) -> bool {
    let mut pieces = query.unwrap_or_default().split('&');
    pieces.any(|piece| piece.split_once('=').map_or(piece, |(name, _)| name) == super::target::KEY64)
}

/// What is at `path`. `key64` says whether the query names a key, which makes a bucket's path that of a key.
fn route(path: &str, key64: bool) -> Route<'_> {
    if let Some(rest) = path.strip_prefix("/v1/kv/") {
        return match rest.split_once('/') {
            Some((bucket, key)) => Route::Key(Place { bucket, key: Some(key) }),
            None => Route::Keys(Place { bucket: rest, key: None }),
        };
    }
    if let Some(rest) = path.strip_prefix("/v1/buckets/") {
        return if rest.contains('/') { Route::Unknown } else { Route::Bucket(rest) };
    }
    if let Some(rest) = path.strip_prefix("/v1/ring/") {
        match rest.split_once('/') {
            Some((bucket, key)) => return Route::PreferenceList(Place { bucket, key: Some(key) }),
            None if key64 => return Route::PreferenceList(Place { bucket: rest, key: None }),
            None => {}
        }
    }
    match path {
        "/v1/buckets" => Route::Buckets,
        "/v1/ring" => Route::Ring,
        "/v1/slo" => Route::Slo,
        "/metrics" => Route::Metrics,
        "/healthz" => Route::Alive,
        "/readyz" => Route::Ready,
        _ => not_built(path),
    }
}

/// The parts of the contract that are not built yet.
fn not_built(path: &str) -> Route<'static> {
    let (what, allow) = match path {
        "/v1/batch" => ("the batch call", "POST"),
        "/v1/ring/join" | "/v1/ring/leave" | "/v1/ring/remove" | "/v1/ring/replace" => {
            ("changing the membership", "POST")
        }
        "/v1/ring/cordon" | "/v1/ring/uncordon" => ("taking a node out of reads", "POST"),
        "/v1/ring/changes" => ("the progress of membership changes", READ),
        "/v1/slo/advice" => ("advice on quorums", READ),
        "/v1/hints" => ("the report of hints", READ),
        "/v1/repair" => ("anti-entropy repair", "GET, HEAD, POST"),
        "/ui" => ("the dashboard", READ),
        "/openapi.json" => ("the published contract", READ),
        "/docs" => ("the page of the published contract", READ),
        _ => match path.strip_prefix("/v1/repair/") {
            Some(id) if !id.is_empty() && !id.contains('/') => ("stopping a repair", "DELETE"),
            _ => return Route::Unknown,
        },
    };
    Route::NotBuilt { what, allow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_all_of_the_path_after_its_bucket() {
        let place = |key| Place { bucket: "b", key };
        for (path, key) in
            [("/v1/kv/b/k", "k"), ("/v1/kv/b/a/b/", "a/b/"), ("/v1/kv/b//", "/"), ("/v1/kv/b/", "")]
        {
            assert_eq!(route(path, false), Route::Key(place(Some(key))), "{path}");
        }
        assert_eq!(route("/v1/kv/b", true), Route::Keys(place(None)));
    }

    #[test]
    fn other_paths_are_matched_whole() {
        for path in ["", "/", "*", "/v1", "/v1/kv", "/v1/ring/", "/v1/ring/b", "/healthz/", "/v1/buckets/a/b"]
        {
            assert_eq!(route(path, false), Route::Unknown, "{path}");
        }
    }
}
