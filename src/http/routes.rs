//! Which call a request is for. The raw path is matched, undecoded, so that keys stay the bytes they are.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::Problem;
use super::{Edge, buckets, health, kv, ring};

/// Where a request goes.
enum Call<'a> {
    Key { bucket: &'a str, key: kv::RawKey<'a> },
    Keys,
    Buckets,
    Bucket(&'a str),
    Ring,
    RingKey { bucket: &'a str, key: &'a str },
    Health,
    Ready,
    NotBuilt(&'static str),
}

/// Paths of the contract that are not built yet, with what each would be.
const NOT_BUILT: [(&str, &str); 15] = [
    ("/v1/batch", "batch"),
    ("/v1/ring/join", "ring/join"),
    ("/v1/ring/leave", "ring/leave"),
    ("/v1/ring/remove", "ring/remove"),
    ("/v1/ring/replace", "ring/replace"),
    ("/v1/ring/cordon", "ring/cordon"),
    ("/v1/ring/uncordon", "ring/uncordon"),
    ("/v1/ring/changes", "ring/changes"),
    ("/v1/slo", "slo"),
    ("/v1/slo/advice", "slo/advice"),
    ("/v1/hints", "hints"),
    ("/metrics", "metrics"),
    ("/ui", "ui"),
    ("/openapi.json", "openapi.json"),
    ("/docs", "docs"),
];

fn find<'a>(path: &'a str, query: Option<&str>) -> Option<Call<'a>> {
    match path {
        "/v1/buckets" => return Some(Call::Buckets),
        "/v1/ring" => return Some(Call::Ring),
        "/healthz" => return Some(Call::Health),
        "/readyz" => return Some(Call::Ready),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/v1/kv/") {
        return Some(match rest.split_once('/') {
            Some((bucket, key)) => Call::Key { bucket, key: kv::RawKey::Path(key) },
            None if kv::names_key64(query) => Call::Key { bucket: rest, key: kv::RawKey::Query },
            None => Call::Keys,
        });
    }
    if let Some(bucket) = path.strip_prefix("/v1/buckets/") {
        return (!bucket.contains('/')).then_some(Call::Bucket(bucket));
    }
    let not_built = NOT_BUILT.iter().find(|(known, _)| *known == path).map(|(_, what)| *what);
    let under = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    let what = not_built
        .or_else(|| under("/v1/repair").then_some("repair"))
        .or_else(|| under("/ui").then_some("ui"));
    if let Some(what) = what {
        return Some(Call::NotBuilt(what));
    }
    let (bucket, key) = path.strip_prefix("/v1/ring/")?.split_once('/')?;
    Some(Call::RingKey { bucket, key })
}

/// Serves one request.
pub async fn dispatch(request: HttpRequest, body: web::Payload, edge: web::Data<Edge>) -> HttpResponse {
    let served = serve(&request, body, &edge).await;
    served.unwrap_or_else(Problem::into_response)
}

async fn serve(request: &HttpRequest, body: web::Payload, edge: &Edge) -> Result<HttpResponse, Problem> {
    let uri = request.uri();
    let method = request.method();
    let call = find(uri.path(), uri.query()).ok_or_else(|| Problem::path_not_found(uri.path()))?;
    let wrong = |allow: &'static str| Err(Problem::method_not_allowed(method.as_str(), allow));
    match call {
        Call::Key { bucket, key } => match *method {
            Method::GET | Method::HEAD => kv::get(request, edge, bucket, key).await,
            Method::PUT => kv::put(request, body, edge, bucket, key).await,
            Method::DELETE => kv::delete(request, edge, bucket, key).await,
            _ => wrong("GET, HEAD, PUT, DELETE"),
        },
        Call::Keys => match *method {
            Method::GET => Err(Problem::not_built("key listing")),
            Method::PUT | Method::DELETE | Method::HEAD => {
                Err(Problem::invalid("key", "no key", "a key in the path, or ?key64=<base64url>"))
            }
            _ => wrong("GET, HEAD, PUT, DELETE"),
        },
        Call::Buckets => match *method {
            Method::GET | Method::HEAD => buckets::list(request, edge),
            _ => wrong("GET, HEAD"),
        },
        Call::Bucket(bucket) => match *method {
            Method::GET | Method::HEAD => buckets::get(request, edge, bucket),
            Method::PUT => buckets::put(request, body, edge, bucket).await,
            _ => wrong("GET, HEAD, PUT"),
        },
        Call::Ring => match *method {
            Method::GET | Method::HEAD => ring::get(request, edge),
            _ => wrong("GET, HEAD"),
        },
        Call::RingKey { bucket, key } => match *method {
            Method::GET | Method::HEAD => ring::key(request, edge, bucket, key),
            _ => wrong("GET, HEAD"),
        },
        Call::Health => match *method {
            Method::GET | Method::HEAD => health::alive(request, edge),
            _ => wrong("GET, HEAD"),
        },
        Call::Ready => match *method {
            Method::GET | Method::HEAD => health::ready(request, edge),
            _ => wrong("GET, HEAD"),
        },
        Call::NotBuilt(what) => Err(Problem::not_built(what)),
    }
}
