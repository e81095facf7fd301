//! `POST /v1/batch`: up to 1,000 operations, each by itself, with a result of its own.

pub mod document;
mod item;
pub mod result;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Edge;
use super::backend::Operation;
use super::error::Problem;
use super::headers;
use super::kv::begin_trace;
use super::params::{self, Parameter};
use crate::protocol::causality::CausalContext;
use crate::protocol::operation::WriteBody;
use crate::telemetry::Call as Traced;
use result::{Asked, BatchReply, Told};

/// The most operations of a batch.
pub const OPERATIONS_MAX: usize = 1_000;

/// The most bytes of a batch's document.
pub const DOCUMENT_MAX: usize = 32 << 20;

/// The most bytes of values in a batch's reply.
pub const VALUES_MAX: usize = 32 << 20;

/// The document of a batch. Its operations are read one by one, so that a bad one spoils no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    operations: Vec<&'a RawValue>,
}

/// Carries out up to 1,000 gets, puts and deletes
///
/// Each is answered as its single call would have been, by itself: a bad one has a 4xx result and spoils no other. They
/// are carried out at once, in no order, and are no transaction. Each takes a permit of `limits.in_flight`: those for which
/// there is none have a 503 result, and where there is none for any the batch is a 503. Its document has at most 32 MiB; where the values read exceed 32 MiB, what finds no
/// place any more has a 413 result.
#[utoipa::path(
    post,
    path = "/v1/batch",
    operation_id = "batch",
    tag = "keys",
    request_body = document::BatchDocument,
    responses((status = 200, description = "A result for each operation, in their order", body = result::BatchReply)),
)]
pub async fn run(edge: &Edge, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let run = async {
        let known = [Parameter::Timeout];
        let parameters = params::parse(request.uri().query(), &known, edge.limits.timeout_us)?;
        let timeout_us = parameters.timeout_us.unwrap_or(edge.limits.timeout_us);
        headers::require_json(request.headers())?;
        let within = edge.limits.body_timeout;
        let received = edge.bodies.receive("body", request.headers(), payload, DOCUMENT_MAX, within).await?;
        let (bytes, _permit) = received;
        let Document { operations } = document(&bytes)?;
        if operations.len() > OPERATIONS_MAX {
            return Err(Problem::too_many("operations", operations.len(), OPERATIONS_MAX));
        }
        let (mut told, mut begun) = (Vec::with_capacity(operations.len()), Vec::new());
        for raw in operations {
            match item::parse(edge, raw.get().as_bytes()) {
                Ok(operation) => {
                    let trace = begin_trace(edge, request.headers(), call(&operation));
                    told.push(Told::Asked(Asked::of(&operation), trace));
                    begun.push((operation, trace));
                }
                Err(problem) => told.push(Told::Refused(problem)),
            }
        }
        let replies = edge.backend.batch(begun, timeout_us).await.map_err(Problem::write)?;
        Ok(HttpResponse::Ok().json(BatchReply::of(edge, told, replies)))
    };
    run.await.map_err(|problem: Problem| problem.of_write(None))
}

fn document(json: &[u8]) -> Result<Document<'_>, Problem> {
    let malformed =
        |given: &str| Problem::invalid("body", given, "a JSON object {\"operations\": [{\"op\": …}, …]}");
    // An array would be read as the fields of the object in their order.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(malformed("an array, and no object"));
    }
    serde_json::from_slice(json).map_err(|error| malformed(&error.to_string()))
}

fn call(operation: &Operation) -> Traced {
    match operation {
        Operation::Read(_) => Traced::Get,
        Operation::Write(write) if matches!(write.body, WriteBody::Delete) => Traced::Delete,
        Operation::Write(_) => Traced::Put,
    }
}

/// A context as a client gave it.
type Context = Option<CausalContext>;
