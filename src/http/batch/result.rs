//! What came of each operation of a batch: what the single call would have said in its status, headers and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::VALUES_MAX;
use crate::http::Edge;
use crate::http::backend::{Operation, OperationReply};
use crate::http::dto::SiblingBody;
use crate::http::error::{Problem, ProblemBody};
use crate::http::etag::EntityTag;
use crate::http::kv;
use crate::http::siblings;
use crate::http::time;
use crate::protocol::causality::{CausalContext, Object, Shown, Version, shown};
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::operation::{OperationError, Participation, ReadReply, WriteBody, WriteReply};
use crate::telemetry::RequestTrace;

/// What is known of an operation when the replies come.
pub enum Told {
    /// It was begun.
    Asked(Asked, Option<RequestTrace>),
    /// It was not.
    Refused(Problem),
}

/// What its result needs of an operation.
pub struct Asked {
    bucket: BucketName,
    key: Key,
    write_id: Option<crate::protocol::ids::WriteId>,
    deletes: bool,
    only_if_absent: bool,
}

impl Asked {
    /// Of this operation.
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Read(read) => Self {
                bucket: read.bucket.clone(),
                key: read.key.clone(),
                write_id: None,
                deletes: false,
                only_if_absent: false,
            },
            Operation::Write(write) => Self {
                bucket: write.bucket.clone(),
                key: write.key.clone(),
                write_id: write.write_id,
                deletes: matches!(write.body, WriteBody::Delete),
                only_if_absent: write.only_if_absent,
            },
        }
    }
}

/// The reply to a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BatchReply {
    /// What came of each operation, in their order.
    results: Vec<OperationResult>,
}

/// What came of one operation. What its single call would not have said is left out.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct OperationResult {
    /// The status.
    status: u16,
    /// The context, as in `Neap-Context`.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    /// The value, as base64 (RFC 4648, section 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Concurrent versions, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<SiblingBody>>,
    /// The entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// When the version was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_time: Option<String>,
    /// The name of the write that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_id: Option<String>,
    /// How many homes answered, had to, and are.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<ReplicasBody>,
    /// Which homes answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    acked_by: Option<Vec<String>>,
    /// How many homes had not.
    #[serde(skip_serializing_if = "Option::is_none")]
    lagging_replicas: Option<u8>,
    /// The proven bound on staleness, in milliseconds, or `unproven`.
    #[serde(skip_serializing_if = "Option::is_none")]
    staleness_bound: Option<&'static str>,
    /// The operation's own span.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// Seconds after which a retry is safe, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u16>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// How many homes took part.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReplicasBody {
    /// Homes that answered.
    acked: usize,
    /// Homes that had to.
    required: u8,
    /// Homes there are.
    total: u8,
}

impl BatchReply {
    /// Of what is `told` of each operation, and the replies to those that were begun, in their order.
    pub fn of(edge: &Edge, told: Vec<Told>, replies: Vec<OperationReply>) -> Self {
        let (mut replies, mut room) = (replies.into_iter(), VALUES_MAX);
        let results = told.into_iter().map(|told| match told {
            Told::Refused(problem) => OperationResult::default().failed(problem),
            Told::Asked(asked, trace) => {
                let traceparent = trace.map(|trace| trace.context.to_string());
                let result = OperationResult { traceparent, ..OperationResult::default() };
                match replies.next() {
                    Some(OperationReply::Read(Ok(reply))) => result.read(edge, &asked, &reply, &mut room),
                    Some(OperationReply::Read(Err(error))) => result.failed(Problem::read(error)),
                    Some(OperationReply::Write(Ok(reply))) => result.written(edge, &asked, &reply),
                    Some(OperationReply::Write(Err(error))) => {
                        result.failed(Problem::write(error).of_write(asked.write_id))
                    }
                    // There are as many as there were operations.
                    None => result.failed(Problem::read(OperationError::Overloaded)),
                }
            }
        });
        Self { results: results.collect() }
    }
}

impl OperationResult {
    fn failed(self, problem: Problem) -> Self {
        let (status, retry_after, write_id, problem) = problem.into_parts();
        let write_id = write_id.map(|id| id.to_string()).or(self.write_id);
        Self { status: status.as_u16(), retry_after, write_id, problem: Some(problem), ..self }
    }

    /// `room` is how many bytes of values the reply may still take.
    fn read(self, edge: &Edge, asked: &Asked, reply: &ReadReply, room: &mut usize) -> Self {
        let object = reply.object.as_ref();
        let context = object.map(|object| seal(edge, asked, object.context()));
        let mut result = Self { context, ..self }.with_homes(&reply.participation);
        let shown = object.map_or(Shown::Nothing, |object| shown(object, reply.resolution, time::now()));
        let Some(left) = room.checked_sub(siblings::bytes_shown(&shown)) else {
            return result.failed(Problem::reply_full(VALUES_MAX));
        };
        *room = left;
        match shown {
            Shown::Nothing => {
                let newest = object.and_then(Object::newest);
                result.version_time = newest.map(time::rfc3339);
                result.failed(Problem::key_not_found(newest.is_some()))
            }
            Shown::One(version, value) => {
                result.status = 200;
                result.value = Some(STANDARD.encode(&value.bytes));
                result.content_type = Some(siblings::content_type(value).to_owned());
                result.described(&EntityTag::of([version]), version)
            }
            Shown::Several(versions) => {
                result.status = 300;
                result.siblings = Some(versions.iter().copied().map(siblings::body).collect());
                let tag = EntityTag::of(versions.iter().copied());
                match versions.iter().max_by_key(|version| (version.hlc, version.dot)) {
                    Some(newest) => result.described(&tag, newest),
                    None => result,
                }
            }
        }
    }

    fn written(self, edge: &Edge, asked: &Asked, reply: &WriteReply) -> Self {
        let mut result = self.with_homes(&reply.participation);
        result.context = Some(seal(edge, asked, &reply.answered.context));
        result.version_time = Some(time::rfc3339(reply.answered.hlc));
        result.write_id = Some(reply.write_id.to_string());
        match kv::written(reply, asked.deletes, asked.only_if_absent) {
            Ok(status) => Self { status: status.as_u16(), ..result },
            Err(problem) => result.failed(problem),
        }
    }

    fn described(self, tag: &EntityTag, version: &Version) -> Self {
        Self {
            etag: Some(tag.as_str().to_owned()),
            version_time: Some(time::rfc3339(version.hlc)),
            write_id: Some(version.write_id.to_string()),
            ..self
        }
    }

    fn with_homes(self, homes: &Participation) -> Self {
        let Participation { acked_by, required, total } = homes;
        Self {
            replicas: Some(ReplicasBody { acked: acked_by.len(), required: *required, total: *total }),
            acked_by: Some(acked_by.iter().map(ToString::to_string).collect()),
            lagging_replicas: Some(homes.lagging()),
            staleness_bound: Some("unproven"),
            ..self
        }
    }
}

fn seal(edge: &Edge, asked: &Asked, context: &CausalContext) -> String {
    edge.tokens.seal(&asked.bucket, &asked.key, context).0
}
