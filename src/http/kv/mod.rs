//! Keys and their values: GET, HEAD, PUT, DELETE.
//!
//! ```text
//! request    path, query and headers ──> the read or write that the node is asked for
//! conditions headers that make a request conditional: followed or refused
//! answer     the node's reply ──> status, headers and body
//! ```

mod answer;
mod conditions;
mod request;

use actix_web::{HttpRequest, HttpResponse, web};

use super::error::Problem;
use super::etag::KnownTags;
use super::{Edge, headers};
use crate::protocol::causality::CausalContext;
use crate::protocol::ids::WriteId;
use crate::protocol::operation::{Read, Write, WriteBody};
use crate::telemetry::{Call as Traced, RequestTrace};
pub use answer::written;
pub use conditions::refuse_unknown_conditions;
use conditions::{creates_only, refuse_conditions_of_delete};
pub use request::{Call, DELETE_PARAMETERS, GET_PARAMETERS, PUT_PARAMETERS, Place, begin_trace, write_id};
use request::{content_type_of_put, context};

/// Reads a key
///
/// One value is a 200, concurrent ones (siblings) are a 300. HEAD says the same without a body.
#[utoipa::path(
    method(get, head),
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "read",
    tag = "keys",
    responses(
        (status = 200, description = "The value, as its writer gave it"),
        (status = 300, description = "Concurrent versions, as JSON or, by `Accept`, as multipart/mixed",
            content((super::dto::SiblingsBody = "application/json"), (String = "multipart/mixed"))),
        (status = 304, description = "The client knows what is there (`If-None-Match`)"),
    ),
)]
pub async fn read(edge: &Edge, request: &HttpRequest, place: Place<'_>) -> Result<HttpResponse, Problem> {
    let call = Call::parse(edge, place, request.uri().query(), &GET_PARAMETERS)?;
    refuse_unknown_conditions(request.headers())?;
    let known = KnownTags::parse(request.headers())?;
    let timeout_us = call.timeout_us(edge);
    let Call { bucket, key, parameters } = call;
    let as_is = parameters.serve_left_out == Some(true);
    let read = Read { bucket: bucket.clone(), key: key.clone(), r: parameters.r, as_is };
    let trace = begin_trace(edge, request.headers(), Traced::Get);
    let reply = edge.backend.read(read, timeout_us, trace).await;
    let reply = reply.map_err(|error| Problem::read(error).traced(trace.as_ref()))?;
    let context = reply.object.as_ref().map(|object| edge.tokens.seal(&bucket, &key, object.context()));
    let mut response = answer::of_read(edge, &reply, context, &known, request)?;
    headers::set_traceparent(response.headers_mut(), trace.as_ref());
    Ok(response)
}

/// Writes a value
///
/// With a `Neap-Context` it replaces exactly what that covers; without, what the coordinator holds at that moment, or
/// nothing (`blind_write`). Only a write with a `Neap-Write-Id` is safe to retry.
#[utoipa::path(
    put,
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "put",
    tag = "keys",
    responses(
        (status = 201, description = "Written, where the coordinator knew no value"),
        (status = 204, description = "Written over a value"),
    ),
)]
pub async fn put(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    place: Place<'_>,
) -> Result<HttpResponse, Problem> {
    let write_id = write_id(request.headers()).map_err(|problem| problem.of_write(None))?;
    let put = async {
        let call = Call::parse(edge, place, request.uri().query(), &PUT_PARAMETERS)?;
        let only_if_absent = creates_only(request.headers())?;
        let content_type = content_type_of_put(request.headers())?;
        let context = context(edge, &call.bucket, &call.key, request.headers())?;
        let within = edge.limits.body_timeout;
        let received =
            edge.bodies.receive("value", request.headers(), payload, edge.limits.value, within).await?;
        let (bytes, _permit) = received;
        let body = WriteBody::Put { content_type, bytes };
        let trace = begin_trace(edge, request.headers(), Traced::Put);
        write(edge, call, WriteRequest { body, context, write_id, only_if_absent, trace }).await
    };
    put.await.map_err(|problem| problem.of_write(write_id))
}

/// Deletes a key
///
/// With a `Neap-Context` only what that covers.
#[utoipa::path(
    delete,
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "delete",
    tag = "keys",
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete(edge: &Edge, request: &HttpRequest, place: Place<'_>) -> Result<HttpResponse, Problem> {
    let write_id = write_id(request.headers()).map_err(|problem| problem.of_write(None))?;
    let delete = async {
        let call = Call::parse(edge, place, request.uri().query(), &DELETE_PARAMETERS)?;
        refuse_conditions_of_delete(request.headers())?;
        let context = context(edge, &call.bucket, &call.key, request.headers())?;
        let trace = begin_trace(edge, request.headers(), Traced::Delete);
        let body = WriteBody::Delete;
        write(edge, call, WriteRequest { body, context, write_id, only_if_absent: false, trace }).await
    };
    delete.await.map_err(|problem| problem.of_write(write_id))
}

/// Writes a value, of any key
///
/// The key is in `key64`; all else as on `/v1/kv/{bucket}/{key}`.
#[utoipa::path(
    put,
    path = "/v1/kv/{bucket}",
    operation_id = "put_key64",
    tag = "keys",
    responses(
        (status = 201, description = "Written, where the coordinator knew no value"),
        (status = 204, description = "Written over a value"),
    ),
)]
pub async fn put_key64(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    bucket: &str,
) -> Result<HttpResponse, Problem> {
    put(edge, request, payload, Place { bucket, key: None }).await
}

/// Deletes any key
///
/// The key is in `key64`; all else as on `/v1/kv/{bucket}/{key}`.
#[utoipa::path(
    delete,
    path = "/v1/kv/{bucket}",
    operation_id = "delete_key64",
    tag = "keys",
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_key64(edge: &Edge, request: &HttpRequest, bucket: &str) -> Result<HttpResponse, Problem> {
    delete(edge, request, Place { bucket, key: None }).await
}

/// The parts of a write that are in headers and body.
struct WriteRequest {
    body: WriteBody,
    context: Option<CausalContext>,
    write_id: Option<WriteId>,
    only_if_absent: bool,
    trace: Option<RequestTrace>,
}

async fn write(edge: &Edge, call: Call<'_>, asked: WriteRequest) -> Result<HttpResponse, Problem> {
    let timeout_us = call.timeout_us(edge);
    let Call { bucket, key, parameters } = call;
    let WriteRequest { body, context, write_id, only_if_absent, trace } = asked;
    let deletes = matches!(body, WriteBody::Delete);
    let write = Write {
        bucket: bucket.clone(),
        key: key.clone(),
        body,
        context,
        write_id,
        w: parameters.w,
        ttl_us: parameters.ttl_us,
        only_if_absent,
    };
    let reply = edge.backend.write(write, timeout_us, trace).await;
    let reply = reply.map_err(|error| Problem::write(error).traced(trace.as_ref()))?;
    let context = edge.tokens.seal(&bucket, &key, &reply.answered.context);
    let mut response = answer::of_write(written(&reply, deletes, only_if_absent), &reply, context);
    headers::set_traceparent(response.headers_mut(), trace.as_ref());
    Ok(response)
}
