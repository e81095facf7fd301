//! Completes what the handlers say of themselves: parameters, headers, errors, and what is not built.

use std::collections::BTreeMap;

use utoipa::Modify;
use utoipa::openapi::path::{Operation, OperationBuilder, PathItem};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required};

use super::calls::{Call, call};
use super::parts;
use crate::http::error::kind::Kind;
use crate::http::params::Parameter;
use crate::http::routes;

/// The media type of a value: whatever its writer said.
const ANY: &str = "*/*";

pub(super) struct Complete;

impl Modify for Complete {
    fn modify(&self, api: &mut OpenApi) {
        for (path, item) in &mut api.paths.paths {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                complete(path, operation);
            }
            if item.head.is_some() {
                item.head = item.get.clone().map(of_head);
            }
        }
        for known in routes::known() {
            if let Some(what) = known.not_built {
                api.paths.paths.insert(known.path.to_owned(), not_built(known, what));
            }
        }
        if let Some(components) = &mut api.components
            && let Some(RefOr::T(Schema::Object(problem))) = components.schemas.get_mut("ProblemBody")
        {
            let uris = Kind::ALL.map(|kind| kind.parts().0);
            let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(uris)).build();
            problem.properties.insert("type".to_owned(), schema.into());
        }
    }
}

fn complete(path: &str, operation: &mut Operation) {
    let Some(call) = operation.operation_id.as_deref().and_then(call) else { return };
    operation.parameters = Some(parameters(path, call));
    if call.id.starts_with("put") {
        operation.request_body = Some(RefOr::T(value()));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert("traceparent".to_owned(), RefOr::T(parts::traceparent_of_reply()));
            if call.operates {
                of_operation(call, response);
            }
        }
    }
    if let (Some(RefOr::T(found)), true) =
        (operation.responses.responses.get_mut("200"), matches!(call.id, "read" | "list_keys"))
    {
        found.content.insert(ANY.to_owned(), RefOr::T(Content::new(None::<Schema>)));
    }
    for (status, mut response) in problems(call.problems) {
        // A tombstone has a context, and a quorum that was missed says who answered.
        if call.operates && matches!(status.as_str(), "404" | "409" | "503" | "504") {
            of_operation(call, &mut response);
        }
        operation.responses.responses.entry(status).or_insert(RefOr::T(response));
    }
}

fn parameters(path: &str, call: &Call) -> Vec<RefOr<utoipa::openapi::path::Parameter>> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut all: Vec<_> = names.map(parts::in_path).collect();
    let query =
        call.query.iter().filter(|parameter| **parameter != Parameter::Key64 || !path.ends_with("{key}"));
    // A listing is the only call that may do without it.
    let needs = |parameter: Parameter| parameter == Parameter::Key64 && call.id != "list_keys";
    all.extend(query.map(|&parameter| parts::query(parameter, needs(parameter))));
    all.extend(call.headers.iter().map(|&header| parts::header(header)));
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

fn of_operation(call: &Call, response: &mut Response) {
    response.headers.extend(parts::reply_headers().map(|(name, header)| (name, RefOr::T(header))));
    if matches!(call.id, "read" | "list_keys") {
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

fn not_built(known: routes::Known, what: &str) -> PathItem {
    let mut item = PathItem::default();
    let name = known.path.trim_start_matches("/v1").replace(['/', '{', '}'], "_");
    for method in known.allow.split(", ") {
        let names = known.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let mut operation = OperationBuilder::new()
            .tag("not built")
            .summary(Some(format!("Not built: {what}")))
            .operation_id(Some(format!("not_built{name}")))
            .build();
        operation.parameters =
            Some(names.map(parts::in_path).chain([parts::traceparent()]).map(RefOr::T).collect());
        operation.responses.responses =
            problems(&[Kind::NotBuilt]).into_iter().map(|(s, r)| (s, RefOr::T(r))).collect();
        match method {
            "GET" => item.get = Some(operation),
            "HEAD" => item.head = Some(of_head(operation)),
            "POST" => {
                operation.operation_id = Some(format!("not_built_post{name}"));
                item.post = Some(operation);
            }
            "DELETE" => item.delete = Some(operation),
            _ => {}
        }
    }
    item
}
