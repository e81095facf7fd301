//! Errors as clients see them (RFC 9457). The only place that maps an error to a status code.

mod callers;
pub mod kind;

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;

use super::headers;
use crate::http::tokens::{InvalidContinuation, TokenError};
use crate::protocol::bounds::Overfull;
use crate::protocol::ids::{NodeId, WriteId};
use crate::protocol::listing::ListError;
use crate::protocol::message::Refusal;
use crate::protocol::operation::{OperationError, Outcome};
use crate::protocol::quorum::QuorumError;
use crate::protocol::settings::SetBucketError;
use crate::telemetry::RequestTrace;
use kind::Kind;

/// How much of what was given is repeated in an error, in bytes.
const GIVEN_MAX: usize = 128;

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    allow: Option<String>,
    /// Whether a retry is safe: nothing was applied anywhere, or it was a read.
    safe: bool,
    write_id: Option<WriteId>,
    /// The span of the request, where one was begun.
    traceparent: Option<HeaderValue>,
    body: ProblemBody,
}

/// The document of an error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// What went wrong: stable, for programs.
    #[serde(rename = "type")]
    uri: &'static str,
    /// The same for people.
    title: &'static str,
    /// The status.
    status: u16,
    /// What exactly, with the numbers involved.
    detail: String,
    /// The parameter, header or property at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<Cow<'static, str>>,
    /// What was given, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    /// What is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Cow<'static, str>>,
    /// Homes that answered, or members that stored the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<u16>,
    /// How many were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u16>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u16>,
    /// Of a listing: partitions that lack the answers of so many homes as are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions_lacking: Option<u32>,
    /// Of a write, what is certain: `not_applied`, `partial`, `unknown` or `applied_as_sibling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Homes that are known to have applied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u16>,
    /// Bytes that the key holds, with all its siblings.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_bytes: Option<u64>,
    /// Bytes that the write takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_bytes: Option<u64>,
    /// Bytes that an object of the bucket may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_bytes: Option<u64>,
    /// Versions that the key holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_versions: Option<u32>,
    /// Versions that the write would leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_versions: Option<u32>,
    /// Versions that a write may leave in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings_max: Option<u16>,
    /// Why homes did not do what was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refusals: Vec<RefusalBody>,
}

/// Why a home did not do what was asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RefusalBody {
    /// The home.
    node: String,
    /// Why, in a word.
    reason: String,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (uri, status, title) = kind.parts();
        let body = ProblemBody {
            uri,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
            given: None,
            accepted: None,
            answered: None,
            needed: None,
            total: None,
            partitions_lacking: None,
            outcome: None,
            applied: None,
            held_bytes: None,
            write_bytes: None,
            bound_bytes: None,
            held_versions: None,
            left_versions: None,
            siblings_max: None,
            refusals: Vec::new(),
        };
        Self {
            inner: Box::new(Inner { kind, allow: None, safe: true, write_id: None, traceparent: None, body }),
        }
    }

    fn about(
        kind: Kind,
        detail: String,
        parameter: impl Into<Cow<'static, str>>,
        given: &str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut problem = Self::new(kind, detail);
        let body = &mut problem.inner.body;
        body.parameter = Some(parameter.into());
        body.given = Some(shortened(given));
        body.accepted = Some(accepted.into());
        problem
    }

    /// A parameter, path segment or property that is not what is accepted.
    #[must_use]
    pub fn invalid(
        parameter: impl Into<Cow<'static, str>>,
        given: &str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (parameter, accepted) = (parameter.into(), accepted.into());
        let detail = format!("{parameter} is {:?}; accepted is {accepted}", shortened(given));
        Self::about(Kind::Invalid, detail, parameter, given, accepted)
    }

    /// A header that is not what is accepted.
    #[must_use]
    pub fn header(name: &HeaderName, given: &str, accepted: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(headers::spelled(name), given, accepted)
    }

    /// A parameter or property that the call does not know; `accepted` lists those it knows.
    #[must_use]
    pub fn unknown(parameter: &str, accepted: String) -> Self {
        let parameter = shortened(parameter);
        let detail = format!("{parameter:?} is not known here; accepted is {accepted}");
        Self::about(Kind::Unknown, detail, parameter.clone(), &parameter, accepted)
    }

    /// A number that is well formed and out of its range.
    #[must_use]
    pub fn out_of_range(
        parameter: impl Into<Cow<'static, str>>,
        given: &str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (parameter, accepted) = (parameter.into(), accepted.into());
        let detail = format!("{parameter} = {} is out of range: {accepted} are accepted", shortened(given));
        Self::about(Kind::OutOfRange, detail, parameter, given, accepted)
    }

    /// Something longer than its limit, both in bytes.
    #[must_use]
    pub fn too_large(parameter: &'static str, given: Option<u64>, limit: usize) -> Self {
        let given =
            given.map_or_else(|| format!("more than {limit} bytes"), |bytes| format!("{bytes} bytes"));
        let accepted = format!("at most {limit} bytes");
        let detail = format!("the {parameter} has {given}; accepted are {accepted}");
        Self::about(Kind::TooLarge, detail, parameter, &given, accepted)
    }

    /// More things than a call takes.
    #[must_use]
    pub fn too_many(parameter: &'static str, given: usize, limit: usize) -> Self {
        let (given, accepted) = (given.to_string(), format!("at most {limit}"));
        let detail = format!("there are {given} {parameter}; accepted are {accepted}");
        Self::about(Kind::TooLarge, detail, parameter, &given, accepted)
    }

    /// The value of a read that has no place any more in the reply of its batch.
    #[must_use]
    pub fn reply_full(limit: usize) -> Self {
        let detail =
            format!("the values of this batch exceed {limit} bytes: read this key by a call of its own");
        Self::new(Kind::TooLarge, detail)
    }

    /// A part of the contract that is not built yet.
    #[must_use]
    pub fn not_built(what: impl Into<Cow<'static, str>>) -> Self {
        let what = what.into();
        let mut problem = Self::new(Kind::NotBuilt, format!("{what} is not built yet; nothing was done"));
        problem.inner.body.parameter = Some(what);
        problem
    }

    /// No call has this path.
    #[must_use]
    pub fn path_not_found(path: &str) -> Self {
        Self::new(Kind::PathNotFound, format!("no call has the path {:?}", shortened(path)))
    }

    /// The path has other methods: `allow`, as the `Allow` header lists them.
    #[must_use]
    pub fn method_not_allowed(method: &str, allow: String) -> Self {
        let detail = format!("this path does not know {}; it knows {allow}", shortened(method));
        let mut problem = Self::about(Kind::MethodNotAllowed, detail, "method", method, allow.clone());
        problem.inner.allow = Some(allow);
        problem
    }

    /// The key holds no value: `deleted`, or never seen by the homes that answered.
    #[must_use]
    pub fn key_not_found(deleted: bool) -> Self {
        let detail =
            if deleted { "the key was deleted or its value expired" } else { "the key holds no value" };
        Self::new(Kind::KeyNotFound, detail)
    }

    /// A create-only write that stands beside a concurrent one.
    #[must_use]
    pub fn applied_as_sibling() -> Self {
        let mut problem = Self::new(
            Kind::AppliedAsSibling,
            "the value was applied, but a concurrent write of the same key stands beside it",
        );
        problem.inner.safe = false;
        problem.inner.body.outcome = Some("applied_as_sibling");
        problem
    }

    /// The body was not there in time.
    #[must_use]
    pub fn body_too_slow() -> Self {
        Self::new(Kind::Deadline, "the body of the request did not arrive in time")
    }

    /// The connection broke, or its framing did, within the body.
    #[must_use]
    pub fn body_broken() -> Self {
        Self::invalid("body", "a body that is cut short or badly framed", "a whole body")
    }

    /// The bodies being received take all the bytes they may.
    #[must_use]
    pub fn bodies_over_budget(limit: usize) -> Self {
        Self::new(Kind::Overloaded, format!("the bodies in flight are at their limit of {limit} bytes"))
    }

    /// The replies being sent take all the bytes they may.
    #[must_use]
    pub fn answers_over_budget(limit: usize) -> Self {
        Self::new(Kind::Overloaded, format!("the replies being sent are at their limit of {limit} bytes"))
    }

    /// All connections that are served are taken.
    #[must_use]
    pub fn too_many_connections(served: usize) -> Self {
        Self::new(
            Kind::Overloaded,
            format!("{served} connections are served at a time, and as many are open"),
        )
    }

    /// A refused context token.
    #[must_use]
    pub fn context(parameter: impl Into<Cow<'static, str>>, error: TokenError, given: &str) -> Self {
        let accepted = "a context that this cluster gave for this bucket and key, unchanged";
        Self::about(Kind::InvalidContext, error.to_string(), parameter, given, accepted)
    }

    /// A refused continuation of a listing.
    #[must_use]
    pub fn continuation(error: InvalidContinuation, given: &str) -> Self {
        let accepted = "the continuation of a page of the same bucket and prefix, unchanged";
        Self::about(Kind::InvalidContinuation, error.to_string(), "token", given, accepted)
    }

    /// Why keys were not listed.
    #[must_use]
    pub fn list(error: ListError) -> Self {
        let detail = error.to_string();
        match error {
            ListError::TooFewMembers { .. } => Self::new(Kind::TooFewMembers, detail),
            ListError::Lacking { lacking, needed, refusals, .. } => {
                // Where homes had no time, it is time that was lacking.
                let late = refusals.iter().any(|(_, refusal)| *refusal == Refusal::Deadline);
                let kind = if late { Kind::Deadline } else { Kind::QuorumNotReached };
                let mut problem = Self::new(kind, detail).of_partitions(lacking, needed);
                problem.inner.body.refusals = refusals.into_iter().map(RefusalBody::from).collect();
                problem
            }
            ListError::Deadline { lacking, needed, .. } => {
                Self::new(Kind::Deadline, detail).of_partitions(lacking, needed)
            }
            ListError::Overloaded => Self::new(Kind::Overloaded, detail),
            ListError::NotServing(_) => Self::new(Kind::NotServing, detail),
        }
    }

    fn of_partitions(mut self, lacking: u32, needed: u8) -> Self {
        let body = &mut self.inner.body;
        (body.partitions_lacking, body.needed) = (Some(lacking), Some(needed.into()));
        self
    }

    /// Why a read did not succeed.
    #[must_use]
    pub fn read(error: OperationError) -> Self {
        let mut problem = Self::operation(error);
        let inner = &mut problem.inner;
        inner.safe = true;
        inner.body.outcome = None;
        inner.body.applied = None;
        let refusals = &inner.body.refusals;
        let damaged = Refusal::Damaged.to_string();
        if !refusals.is_empty() && refusals.iter().all(|refusal| refusal.reason == damaged) {
            let (uri, status, title) = Kind::Damaged.parts();
            inner.kind = Kind::Damaged;
            (inner.body.uri, inner.body.status, inner.body.title) = (uri, status.as_u16(), title);
        }
        let oversized = [Refusal::TooLargeToSend.to_string(), Refusal::LeftOut.to_string()];
        if inner.body.refusals.iter().any(|refusal| oversized.contains(&refusal.reason)) {
            inner.body.detail.push_str(
                "; the object is too large to be sent between nodes: a node that holds it shows it to \
                 ?r=1&on_left_out=serve",
            );
        }
        problem
    }

    /// Why a write did not succeed.
    #[must_use]
    pub fn write(error: OperationError) -> Self {
        Self::operation(error).of_write(None)
    }

    /// Completes an error of a write: what is certain about it, and the id the client gave it.
    #[must_use]
    pub fn of_write(mut self, write_id: Option<WriteId>) -> Self {
        self.inner.body.outcome.get_or_insert("not_applied");
        self.inner.write_id = write_id.or(self.inner.write_id);
        self
    }

    /// Completes an error of a request that was traced.
    #[must_use]
    pub fn traced(mut self, trace: Option<&RequestTrace>) -> Self {
        self.inner.traceparent = trace.and_then(headers::traceparent_of);
        self
    }

    fn operation(error: OperationError) -> Self {
        let detail = error.to_string();
        match error {
            OperationError::Quorum(error) => error.into(),
            OperationError::TooFewMembers { .. } => Self::new(Kind::TooFewMembers, detail),
            OperationError::NotReached { answered, needed, total, outcome, refusals } => {
                let mut problem =
                    Self::new(Kind::QuorumNotReached, detail).with_numbers(answered, needed, total);
                problem.inner.body.refusals = refusals.into_iter().map(RefusalBody::from).collect();
                problem.with_outcome(outcome)
            }
            OperationError::Deadline { answered, needed, total, outcome } => {
                Self::new(Kind::Deadline, detail).with_numbers(answered, needed, total).with_outcome(outcome)
            }
            OperationError::NotRepaired { current, needed, total, late, refusals } => {
                let kind = if late { Kind::Deadline } else { Kind::QuorumNotReached };
                let mut problem = Self::new(kind, detail).with_numbers(current, needed, total);
                problem.inner.body.refusals = refusals.into_iter().map(RefusalBody::from).collect();
                problem
            }
            OperationError::Exists => Self::new(Kind::Exists, detail),
            OperationError::Overfull(why) => Self::overfull(why, detail),
            OperationError::Overloaded => Self::new(Kind::Overloaded, detail),
            OperationError::NotServing(_) => Self::new(Kind::NotServing, detail),
        }
    }

    fn overfull(why: Overfull, detail: String) -> Self {
        match why {
            Overfull::Write { write_bytes, bound_bytes } => {
                let (given, accepted) = (write_bytes.to_string(), format!("at most {bound_bytes} bytes"));
                let mut problem = Self::about(Kind::TooLarge, detail, "value", &given, accepted);
                let body = &mut problem.inner.body;
                (body.write_bytes, body.bound_bytes) = (Some(write_bytes), Some(bound_bytes));
                problem
            }
            Overfull::Bytes { held_bytes, write_bytes, bound_bytes } => {
                let mut problem = Self::new(Kind::ObjectFull, detail);
                let body = &mut problem.inner.body;
                body.held_bytes = Some(held_bytes);
                (body.write_bytes, body.bound_bytes) = (Some(write_bytes), Some(bound_bytes));
                problem
            }
            Overfull::Versions { held_versions, left_versions, siblings_max } => {
                let mut problem = Self::new(Kind::TooManySiblings, detail);
                let body = &mut problem.inner.body;
                (body.held_versions, body.left_versions) = (Some(held_versions), Some(left_versions));
                body.siblings_max = Some(siblings_max);
                problem
            }
        }
    }

    fn with_numbers(
        mut self,
        answered: impl Into<u16>,
        needed: impl Into<u16>,
        total: impl Into<u16>,
    ) -> Self {
        let body = &mut self.inner.body;
        body.answered = Some(answered.into());
        body.needed = Some(needed.into());
        body.total = Some(total.into());
        self
    }

    fn with_outcome(mut self, outcome: Outcome) -> Self {
        let (name, applied) = match outcome {
            Outcome::NotApplied => ("not_applied", None),
            Outcome::Partial { applied } => ("partial", Some(applied.into())),
            Outcome::Unknown => ("unknown", None),
        };
        self.inner.safe = outcome == Outcome::NotApplied;
        self.inner.body.outcome = Some(name);
        self.inner.body.applied = applied;
        self
    }

    /// The status, the seconds after which a retry is safe (if one is), the write's id, and the document.
    #[must_use]
    pub fn into_parts(self) -> (StatusCode, Option<u16>, Option<WriteId>, ProblemBody) {
        let Inner { kind, safe, write_id, body, .. } = *self.inner;
        let (_, status, _) = kind.parts();
        let retry = safe && may_be_retried(status);
        (status, retry.then_some(headers::RETRY_AFTER_SECONDS), write_id, body)
    }

    /// The reply.
    #[must_use]
    pub fn into_response(self) -> HttpResponse {
        let Inner { kind, allow, safe, write_id, traceparent, body } = *self.inner;
        let (_, status, _) = kind.parts();
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, headers::PROBLEM_JSON));
        if let Some(allow) = allow {
            response.insert_header((header::ALLOW, allow));
        }
        if safe && may_be_retried(status) {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(headers::RETRY_AFTER_SECONDS)));
        }
        if let Some(write_id) = write_id {
            response.insert_header((headers::NEAP_WRITE_ID, write_id.to_string()));
        }
        if let Some(traceparent) = traceparent {
            response.insert_header((headers::TRACEPARENT, traceparent));
        }
        if let (Some(acked), Some(required), Some(total)) = (body.answered, body.needed, body.total)
            && matches!(kind, Kind::QuorumNotReached | Kind::Damaged | Kind::Deadline)
        {
            let lagging = HeaderValue::from(total.saturating_sub(acked));
            response.insert_header((headers::NEAP_REPLICAS, headers::replicas(acked, required, total)));
            response.insert_header((headers::NEAP_LAGGING_REPLICAS, lagging));
            response.insert_header((headers::NEAP_STALENESS_BOUND, headers::UNPROVEN));
        }
        // Strings and numbers always have a JSON form, so this cannot fail.
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl From<QuorumError> for Problem {
    fn from(error: QuorumError) -> Self {
        let detail = error.to_string();
        let (parameter, given, low, high) = match error {
            QuorumError::N { given } => ("n", given, 1, crate::protocol::quorum::N_MAX),
            QuorumError::R { given, n } => ("r", given, 1, n),
            QuorumError::W { given, w_min, n } => ("w", given, w_min, n),
            QuorumError::WMin { given, max } => ("w_min", given, 1, max),
        };
        Self::about(Kind::OutOfRange, detail, parameter, &given.to_string(), format!("{low} to {high}"))
    }
}

impl From<SetBucketError> for Problem {
    fn from(error: SetBucketError) -> Self {
        let detail = error.to_string();
        match error {
            SetBucketError::TooFewMembers { n, members } => {
                Self::about(Kind::TooFewMembers, detail, "n", &n.to_string(), format!("1 to {members}"))
            }
            SetBucketError::QuorumSizeFixed { from, to } => {
                Self::about(Kind::QuorumSizeFixed, detail, "n", &to.to_string(), from.to_string())
            }
            SetBucketError::NotReached { stored, needed, members } => {
                let problem =
                    Self::new(Kind::SettingsNotStored, detail).with_numbers(stored, needed, members);
                // Whoever did not answer may have stored them, or may yet get them from those that did.
                let mut problem = problem.with_outcome(Outcome::Unknown);
                if stored > 0 {
                    problem.inner.body.outcome = Some("partial");
                    problem.inner.body.applied = Some(stored);
                }
                problem
            }
            SetBucketError::NoRoomForValues(why) => {
                let accepted = match why.highest_n {
                    0 => format!("none, while limits.value is more than {}", why.highest_value_bytes),
                    highest => format!("1 to {highest}"),
                };
                Self::about(Kind::NoRoomForValues, detail, "n", &why.n.to_string(), accepted)
            }
            SetBucketError::TooManyBuckets { .. } => Self::new(Kind::TooManyBuckets, detail),
            SetBucketError::Refused(refusal) => {
                let problem = Self::new(Kind::SettingsNotStored, detail);
                let known = refusal.changed_nothing();
                problem.with_outcome(if known { Outcome::NotApplied } else { Outcome::Unknown })
            }
        }
    }
}

impl From<(NodeId, Refusal)> for RefusalBody {
    fn from((node, refusal): (NodeId, Refusal)) -> Self {
        Self { node: node.to_string(), reason: refusal.to_string() }
    }
}

/// Whether a later try may succeed where this one did not.
fn may_be_retried(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// As much of `text` as an error repeats.
fn shortened(text: &str) -> String {
    if text.len() <= GIVEN_MAX {
        return text.to_owned();
    }
    let end = (0..=GIVEN_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}
