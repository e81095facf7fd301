//! Which call a request is: method and raw path, matched by neap itself (see [`super::target`]).

use std::sync::Arc;

use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse, web};

use super::connections::{Refused, Watched};
use super::error::Problem;
use super::kv::Place;
use super::{Edge, batch, buckets, cors, headers, health, keys, kv, openapi, ring, slo};

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Key(Place<'a>),
    Keys(&'a str),
    Batch,
    Buckets,
    Bucket(&'a str),
    Ring,
    PreferenceList(Place<'a>),
    PreferenceListKey64(&'a str),
    Slo,
    Metrics,
    Alive,
    Ready,
    Contract,
    Page,
    NotBuilt { what: &'static str, allow: &'static str },
    Unknown,
}

const READ: &str = "GET, HEAD";
const READ_PUT: &str = "GET, HEAD, PUT";
const READ_PUT_DELETE: &str = "GET, HEAD, PUT, DELETE";

/// Answers one request.
pub async fn serve(edge: web::Data<Edge>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
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

/// The methods of a path, for pages of listed origins.
fn preflight(request: &HttpRequest) -> HttpResponse {
    let uri = request.uri();
    cors::preflight(allowed(&route(uri.path(), names_key64(uri.query()))))
}

/// The refusal of a caller, which says of a write that nothing was applied.
fn refused(problem: Problem, request: &HttpRequest) -> Problem {
    let writes = match route(request.uri().path(), false) {
        Route::Key(_) | Route::Keys(_) => matches!(*request.method(), Method::PUT | Method::DELETE),
        Route::Batch => *request.method() == Method::POST,
        Route::Bucket(_) => *request.method() == Method::PUT,
        _ => false,
    };
    if writes { problem.of_write(kv::write_id(request.headers()).ok().flatten()) } else { problem }
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
        Route::Keys(bucket) if reads => keys::list_or_read(edge, request, bucket, key64).await,
        Route::Keys(bucket) if *method == Method::PUT => kv::put_key64(edge, request, payload, bucket).await,
        Route::Keys(bucket) if *method == Method::DELETE => kv::delete_key64(edge, request, bucket).await,
        Route::Key(place) if reads => kv::read(edge, request, place).await,
        Route::Key(place) if *method == Method::PUT => kv::put(edge, request, payload, place).await,
        Route::Key(place) if *method == Method::DELETE => kv::delete(edge, request, place).await,
        Route::Batch if *method == Method::POST => batch::run(edge, request, payload).await,
        Route::Buckets if reads => buckets::list(edge, request),
        Route::Bucket(bucket) if reads => buckets::show(edge, request, bucket),
        Route::Bucket(bucket) if *method == Method::PUT => buckets::set(edge, request, payload, bucket).await,
        Route::Ring if reads => ring::show(edge, request),
        Route::PreferenceList(place) if reads => ring::preference_list(edge, request, place),
        Route::PreferenceListKey64(bucket) if reads => ring::preference_list_key64(edge, request, bucket),
        Route::Slo if reads => slo::show(edge, request).await,
        Route::Metrics if reads => Ok(health::metrics(edge)),
        Route::Contract if reads => openapi::show(edge, request),
        Route::Page if reads => openapi::page(edge, request),
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
        Route::Batch => "POST",
        Route::Bucket(_) => READ_PUT,
        Route::NotBuilt { allow, .. } => allow,
        Route::Buckets
        | Route::Ring
        | Route::PreferenceList(_)
        | Route::PreferenceListKey64(_)
        | Route::Slo
        | Route::Metrics
        | Route::Alive
        | Route::Ready
        | Route::Contract
        | Route::Page
        | Route::Unknown => READ,
    }
}

/// Where a path and a query say that a key is, if the path is that of one.
pub fn place<'a>(path: &'a str, query: Option<&str>) -> Option<Place<'a>> {
    match route(path, names_key64(query)) {
        Route::Key(place) | Route::PreferenceList(place) => Some(place),
        Route::Keys(bucket) | Route::PreferenceListKey64(bucket) => Some(Place { bucket, key: None }),
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
            None => Route::Keys(rest),
        };
    }
    if let Some(rest) = path.strip_prefix("/v1/buckets/") {
        return if rest.contains('/') { Route::Unknown } else { Route::Bucket(rest) };
    }
    if let Some(rest) = path.strip_prefix("/v1/ring/") {
        match rest.split_once('/') {
            Some((bucket, key)) => return Route::PreferenceList(Place { bucket, key: Some(key) }),
            None if key64 && WHOLE.iter().all(|(known, _)| *known != path) => {
                return Route::PreferenceListKey64(rest);
            }
            None => {}
        }
    }
    if let Some(id) = path.strip_prefix("/v1/repair/") {
        let known = !id.is_empty() && !id.contains('/');
        return if known { STOP_REPAIR } else { Route::Unknown };
    }
    WHOLE.iter().find(|(known, _)| *known == path).map_or(Route::Unknown, |(_, route)| *route)
}

/// What is at paths that are matched whole.
const WHOLE: [(&str, Route<'static>); 21] = [
    ("/v1/batch", Route::Batch),
    ("/v1/buckets", Route::Buckets),
    ("/v1/ring", Route::Ring),
    ("/v1/slo", Route::Slo),
    ("/metrics", Route::Metrics),
    ("/healthz", Route::Alive),
    ("/readyz", Route::Ready),
    ("/openapi.json", Route::Contract),
    ("/docs", Route::Page),
    ("/v1/ring/join", MEMBERSHIP),
    ("/v1/ring/leave", MEMBERSHIP),
    ("/v1/ring/remove", MEMBERSHIP),
    ("/v1/ring/replace", MEMBERSHIP),
    ("/v1/ring/cordon", CORDON),
    ("/v1/ring/uncordon", CORDON),
    ("/v1/ring/changes", Route::NotBuilt { what: "the progress of membership changes", allow: READ }),
    ("/v1/slo/advice", Route::NotBuilt { what: "advice on quorums", allow: READ }),
    ("/v1/hints", Route::NotBuilt { what: "the report of hints", allow: READ }),
    ("/v1/repair", Route::NotBuilt { what: "anti-entropy repair", allow: "GET, HEAD, POST" }),
    ("/ui", Route::NotBuilt { what: "the dashboard", allow: READ }),
    ("/v1/repair/{id}", STOP_REPAIR),
];

const MEMBERSHIP: Route<'_> = Route::NotBuilt { what: "changing the membership", allow: "POST" };
const CORDON: Route<'_> = Route::NotBuilt { what: "taking a node out of reads", allow: "POST" };
const STOP_REPAIR: Route<'_> = Route::NotBuilt { what: "stopping a repair", allow: "DELETE" };

/// What is at paths with a part of the client's.
const WITH_PARTS: [(&str, Route<'static>); 5] = [
    ("/v1/kv/{bucket}/{key}", Route::Key(NAMES)),
    ("/v1/kv/{bucket}", Route::Keys("{bucket}")),
    ("/v1/buckets/{bucket}", Route::Bucket("{bucket}")),
    ("/v1/ring/{bucket}/{key}", Route::PreferenceList(NAMES)),
    ("/v1/ring/{bucket}", Route::PreferenceListKey64("{bucket}")),
];

const NAMES: Place<'_> = Place { bucket: "{bucket}", key: Some("{key}") };

/// A path of the contract, as the router knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The path; what clients put in is in braces.
    pub path: &'static str,
    /// Its methods, as the `Allow` header lists them.
    pub allow: &'static str,
    /// What is not built of it, if it is not.
    pub not_built: Option<&'static str>,
}

/// Every path of the contract.
pub fn known() -> impl Iterator<Item = Known> {
    WITH_PARTS.iter().chain(&WHOLE).map(|(path, route)| {
        let not_built = if let Route::NotBuilt { what, .. } = route { Some(*what) } else { None };
        Known { path, allow: allowed(route), not_built }
    })
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
        assert_eq!(route("/v1/kv/b", true), Route::Keys("b"));
    }

    #[test]
    fn a_path_with_a_meaning_is_no_bucket() {
        assert_eq!(route("/v1/ring/b", true), Route::PreferenceListKey64("b"));
        assert!(matches!(route("/v1/ring/changes", true), Route::NotBuilt { .. }));
        assert!(matches!(route("/v1/ring/join", true), Route::NotBuilt { .. }));
    }

    #[test]
    fn other_paths_are_matched_whole() {
        for path in ["", "/", "*", "/v1", "/v1/kv", "/v1/ring/", "/v1/ring/b", "/healthz/", "/v1/buckets/a/b"]
        {
            assert_eq!(route(path, false), Route::Unknown, "{path}");
        }
    }
}
