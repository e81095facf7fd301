//! Completes the handlers' annotations: the table of routes gives paths and methods, and the parts that are not built; the
//! edge's own lists give parameters, headers and errors.

use std::collections::BTreeMap;

use actix_web::http::Method;
use utoipa::openapi::path::{Operation, OperationBuilder, PathItem};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required};

use super::calls::{Call, documentation};
use super::parts;
use crate::http::error::kind::Kind;
use crate::http::params::Parameter;
use crate::http::routes::table::{ApiCall, ROUTES, Route};

/// The media type of a value: whatever its writer said.
const ANY: &str = "*/*";

/// The annotated operations, by their ids.
type Annotated = BTreeMap<String, Operation>;

/// Makes the contract's document of the handlers' annotations.
pub(super) fn complete(annotations: OpenApi) -> OpenApi {
    let mut api = annotations;
    let annotated = by_id(std::mem::take(&mut api.paths.paths).into_values());
    for route in &ROUTES {
        api.paths.paths.insert(route.path.text().to_owned(), path_item(route, &annotated));
    }
    if let Some(components) = &mut api.components
        && let Some(RefOr::T(Schema::Object(problem))) = components.schemas.get_mut("ProblemBody")
    {
        let uris = Kind::ALL.map(|kind| kind.parts().0);
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(uris)).build();
        problem.properties.insert("type".to_owned(), schema.into());
    }
    api
}

fn by_id(items: impl Iterator<Item = PathItem>) -> Annotated {
    let operations = items.flat_map(|item| [item.get, item.put, item.post, item.delete]).flatten();
    operations.filter_map(|operation| Some((operation.operation_id.clone()?, operation))).collect()
}

/// A row of the table. A call without an annotation is left out.
fn path_item(route: &Route, annotated: &Annotated) -> PathItem {
    let mut item = PathItem::default();
    for (method, call) in route.calls() {
        let operation = match (call, call.id()) {
            (ApiCall::NotBuilt(part), _) => Some(not_built(route, &method, part)),
            (_, id) => id.and_then(|id| annotated.get(id)).cloned(),
        };
        let operation = operation.map(|operation| completed(route, call, operation));
        match method {
            Method::GET => item.get = operation,
            Method::HEAD => item.head = operation.map(of_head),
            Method::PUT => item.put = operation,
            Method::POST => item.post = operation,
            Method::DELETE => item.delete = operation,
            _ => {}
        }
    }
    item
}

fn completed(route: &Route, call: ApiCall, mut operation: Operation) -> Operation {
    let documentation = documentation(call);
    operation.parameters = Some(parameters(route, call, &documentation));
    if matches!(call, ApiCall::Put | ApiCall::PutKey64) {
        operation.request_body = Some(RefOr::T(value()));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert("traceparent".to_owned(), RefOr::T(parts::traceparent_of_reply()));
            if documentation.operates {
                of_operation(call, response);
            }
        }
    }
    if let (Some(RefOr::T(found)), true) = (operation.responses.responses.get_mut("200"), reads(call)) {
        found.content.insert(ANY.to_owned(), RefOr::T(Content::new(None::<Schema>)));
    }
    for (status, mut response) in problems(documentation.problems) {
        // A tombstone has a context, and a quorum that was missed says who answered.
        if documentation.operates && matches!(status.as_str(), "404" | "409" | "503" | "504") {
            of_operation(call, &mut response);
        }
        operation.responses.responses.entry(status).or_insert(RefOr::T(response));
    }
    operation
}

/// Tells whether a reply may be a value.
const fn reads(call: ApiCall) -> bool {
    matches!(call, ApiCall::Read | ApiCall::ListKeys)
}

fn parameters(
    route: &Route,
    call: ApiCall,
    documentation: &Call,
) -> Vec<RefOr<utoipa::openapi::path::Parameter>> {
    let mut all: Vec<_> = route.path.names().map(parts::in_path).collect();
    let in_path = route.path.names().any(|name| name == "key");
    let query = documentation.query.iter().filter(|parameter| **parameter != Parameter::Key64 || !in_path);
    // A listing is the only call that may do without it.
    let needs = |parameter: Parameter| parameter == Parameter::Key64 && call != ApiCall::ListKeys;
    all.extend(query.map(|&parameter| parts::query(parameter, needs(parameter))));
    all.extend(documentation.headers.iter().map(|&header| parts::header(header)));
    all.push(parts::traceparent());
    all.into_iter().map(RefOr::T).collect()
}

fn value() -> RequestBody {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    RequestBodyBuilder::new()
        .description(Some(
            "The value: any bytes, of any media type, 1 MiB at the most unless limits.value says else",
        ))
        .content("application/octet-stream", Content::new(Some(schema)))
        .required(Some(Required::True))
        .build()
}

fn of_operation(call: ApiCall, response: &mut Response) {
    response.headers.extend(parts::reply_headers().map(|(name, header)| (name, RefOr::T(header))));
    if reads(call) {
        response.headers.insert("ETag".to_owned(), RefOr::T(parts::etag()));
    }
}

/// A response for each status among the kinds, which lists them.
fn problems(kinds: &[Kind]) -> BTreeMap<String, Response> {
    let mut of_status: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in kinds {
        let (uri, status, title) = kind.parts();
        of_status.entry(status.as_str().to_owned()).or_default().push(format!("{title} (`{uri}`)"));
    }
    let response = |(status, titles): (String, Vec<String>)| {
        let content = Content::new(Some(Ref::from_schema_name("ProblemBody")));
        let mut response = ResponseBuilder::new()
            .description(titles.join("; "))
            .content("application/problem+json", content)
            .build();
        response.headers.insert("traceparent".to_owned(), RefOr::T(parts::traceparent_of_reply()));
        if matches!(status.as_str(), "503" | "504") {
            response.headers.insert("Retry-After".to_owned(), RefOr::T(parts::retry_after()));
        }
        (status, response)
    };
    of_status.into_iter().map(response).collect()
}

/// The same call by HEAD: no body.
fn of_head(mut operation: Operation) -> Operation {
    operation.operation_id = operation.operation_id.map(|id| format!("{id}_head"));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    operation
}

/// A call that is not built. Its id has the path's words, and the method unless that is GET.
fn not_built(route: &Route, method: &Method, part: &str) -> Operation {
    let mut id = "not_built".to_owned();
    if !matches!(*method, Method::GET | Method::HEAD) {
        id.push('_');
        id.push_str(&method.as_str().to_ascii_lowercase());
    }
    let path = route.path.text().trim_start_matches("/v1").trim_start_matches('/');
    let path = if path.is_empty() { "root" } else { path };
    for segment in path.split('/') {
        id.push('_');
        id.push_str(segment.trim_matches(['{', '}']));
    }
    OperationBuilder::new()
        .tag("not built")
        .summary(Some(format!("Not built: {part}")))
        .operation_id(Some(id))
        .build()
}
