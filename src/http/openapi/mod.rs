//! The contract as a document: `/openapi.json`, and the page that shows it, `/docs`.
//!
//! ```text
//!  the table of routes ──────────> paths, methods, what is not built ──┐
//!  handlers ──#[utoipa::path]────> bodies, statuses of success ────────┤
//!  their lists of parameters, the table of errors ──complete───────────┴──> the document
//! ```
//!
//! Parameters, headers and errors are taken from the lists by which the edge itself goes. An annotation has a path and a
//! method as well, for who reads the handler; a test holds them against the table.

mod calls;
mod complete;
mod parts;

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::OpenApi;

use complete::complete;

use super::Edge;
use super::error::{Problem, ProblemBody};
use super::{batch, buckets, health, keys, kv, params, ring, slo};

/// The handlers' annotations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "neap",
        description = "A Dynamo-style replicated key-value store whose staleness is measured.\n\n\
            Values are raw bytes with their `Content-Type`; all else is JSON. Errors are `application/problem+json` \
            (RFC 9457) with a stable `type`; those of writes say in `outcome` what is certain: `not_applied`, \
            `partial` (with how many) or `unknown`. `Retry-After` is there only where a retry is safe. A path that is \
            not here answers 404 (`/problems/path-not-found`), a method that a path does not have 405 \
            (`/problems/method-not-allowed`) with `Allow`. Any call answers 421 (`/problems/unknown-host`) where `Host` is \
            none of a node's, and 403 (`/problems/foreign-origin`) where `Origin` has another host or port than `Host` and \
            is not listed in `http.cors`; pages of listed origins may read replies (CORS). A client's `traceparent` goes on, and every reply has one \
            if the request had.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        kv::read, kv::put, kv::delete, kv::put_key64, kv::delete_key64, keys::list_or_read, batch::run,
        buckets::list, buckets::show, buckets::set,
        ring::show, ring::preference_list, ring::preference_list_key64,
        slo::show, health::alive, health::ready, health::metrics, show, page,
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "keys", description = "Keys and their values"),
        (name = "buckets", description = "What buckets promise"),
        (name = "ring", description = "Who owns what"),
        (name = "slo", description = "How stale"),
        (name = "node", description = "The node itself"),
        (name = "not built", description = "Parts of the contract that answer 501, and are never accepted and ignored"),
    ),
)]
struct Annotations;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    // Texts and numbers always have a JSON form, so this cannot fail.
    complete(Annotations::openapi()).to_json().unwrap_or_default()
});

/// Shows this document
#[utoipa::path(method(get, head), path = "/openapi.json", operation_id = "openapi", tag = "node",
    responses((status = 200, description = "The contract, as OpenAPI 3.1", body = serde_json::Value)))]
pub fn show(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(DOCUMENT.as_str()))
}

/// Shows this document to people
#[utoipa::path(method(get, head), path = "/docs", operation_id = "docs", tag = "node",
    responses((status = 200, description = "A page that needs nothing but this node", body = String,
        content_type = "text/html")))]
pub fn page(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let itself_only =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, itself_only))
        .body(include_str!("page.html")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::error::kind::Kind;
    use crate::http::routes::table::ROUTES;

    fn document() -> Value {
        serde_json::from_str(&DOCUMENT).unwrap()
    }

    /// Path, method and operation id of all operations of a document; a HEAD has the id of its GET.
    fn operations(document: &Value) -> BTreeSet<(String, String, String)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
        });
        operations
            .map(|(path, method, operation)| {
                let id = operation["operationId"].as_str().unwrap().trim_end_matches("_head");
                (path.clone(), method.to_ascii_uppercase(), id.to_owned())
            })
            .collect()
    }

    #[test]
    fn annotations_have_the_paths_and_methods_of_the_table() {
        let annotations: Value = serde_json::from_str(&Annotations::openapi().to_json().unwrap()).unwrap();
        let built = ROUTES.iter().flat_map(|route| {
            route.calls().filter_map(|(method, call)| {
                Some((route.path.text().to_owned(), method.to_string(), call.id()?.to_owned()))
            })
        });
        assert_eq!(operations(&annotations), built.collect());
    }

    #[test]
    fn the_document_has_every_path_and_method_of_the_table_and_no_others() {
        let documented: BTreeSet<_> =
            operations(&document()).into_iter().map(|(path, method, _)| (path, method)).collect();
        let routed = ROUTES.iter().flat_map(|route| {
            route.calls().map(|(method, _)| (route.path.text().to_owned(), method.to_string()))
        });
        assert_eq!(documented, routed.collect());
    }

    #[test]
    fn every_kind_of_error_is_documented_with_its_status() {
        let document = document();
        let types = document["components"]["schemas"]["ProblemBody"]["properties"]["type"]["enum"].clone();
        let types: Vec<String> = serde_json::from_value(types).unwrap();
        assert_eq!(types, Kind::ALL.map(|kind| kind.parts().0));
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let description = response["description"].as_str().unwrap();
                    for kind in Kind::ALL {
                        let (uri, of_kind, _) = kind.parts();
                        if description.contains(uri) {
                            assert_eq!(of_kind.as_str(), status, "{method} {path}: {uri}");
                            found.insert(uri);
                        }
                    }
                }
            }
        }
        // A path and a method that are not here are no path's or method's own.
        let elsewhere = document["info"]["description"].as_str().unwrap();
        let missing: Vec<_> = Kind::ALL
            .map(|kind| kind.parts().0)
            .into_iter()
            .filter(|uri| !found.contains(uri) && !elsewhere.contains(uri))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_summary_and_its_path_parameters() {
        let document = document();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(
                    names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{method} {path}"
                );
                assert!(
                    operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
                    "{method} {path}"
                );
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                for parameter in &parameters {
                    assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
                }
                let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            }
        }
    }

    #[test]
    fn the_page_asks_nobody_but_its_node() {
        let page = include_str!("page.html");
        assert!(page.contains("openapi.json"));
        for elsewhere in ["http://", "https://", "src=", "@import"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
