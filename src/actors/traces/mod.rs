//! The traces of the operations of one shard.
//!
//! While an operation runs no more is noted down than moments. When all is known of it, spans are made of them: if its
//! trace is kept from the start, or if what became of it is worth a look.

mod telling;
mod verdict;

use std::collections::BTreeMap;

use self::telling::{convergence, place};
use crate::actors::clock::Now;
use crate::config::SpanKeys;
use crate::protocol::causality::Object;
use crate::protocol::coordinator::{AnswerBody, Ask, ConvergedWrite, JudgedRead, Kind, untag};
use crate::protocol::ids::{BucketName, Key, NodeId, OperationId};
use crate::protocol::message::{CoordinateReply, PeerAnswer, ReplicaReply};
use crate::protocol::operation::{OperationError, Participation, ReadReply, WriteReply};
use crate::protocol::sli::OperationOutcome;
use crate::protocol::staleness::Verdict;
use crate::protocol::time::{Hlc, Moment};
use crate::telemetry::names::span;
use crate::telemetry::{RequestTrace, SpanSink, TraceContext, Tracing, span_id};

/// A write that some home still lacks so long after its commit is told of, in microseconds.
const LAGGING_US: u64 = 100_000;
/// An operation whose client waited so long is told of, in microseconds.
const LATE_US: u64 = 500_000;
/// How many questions an operation has as a rule.
const QUESTIONS_USUAL: usize = 3;
/// Traces that are kept to be used again.
const SPARE_MAX: usize = 256;
/// Questions of one operation that are told of at the most.
const QUESTIONS_MAX: usize = 32;

/// A question to a home.
#[derive(Debug)]
struct Question {
    to: NodeId,
    kind: Kind,
    /// Whether it repairs a home that was behind.
    repair: bool,
    /// The span's id, if the home was told of it.
    told: Option<u64>,
    asked: Moment,
    answered: Option<Moment>,
    error: Option<&'static str>,
}

/// How an operation was answered.
#[derive(Debug)]
struct Answered {
    at: Moment,
    outcome: OperationOutcome,
    error: Option<String>,
    participation: Option<Homes>,
    versions: Versions,
}

/// The versions that a client was told of.
#[derive(Debug, Clone, Copy)]
struct Versions {
    /// How many live; none of a write.
    siblings: Option<usize>,
    /// The write time of what was written, or of the newest version that was returned.
    newest: Option<Hlc>,
}

/// The verdict on a read that is told of.
#[derive(Debug)]
struct Judged {
    at: Moment,
    read: Box<JudgedRead>,
    /// The node that coordinated the write that was missed, if that is known.
    writer: Option<NodeId>,
}

/// How many homes took part in an operation.
#[derive(Debug, Clone, Copy)]
struct Homes {
    acked: usize,
    required: u8,
    total: u8,
    lagging: u8,
}

impl From<&Participation> for Homes {
    fn from(homes: &Participation) -> Self {
        let Participation { acked_by, required, total } = homes;
        Self { acked: acked_by.len(), required: *required, total: *total, lagging: homes.lagging() }
    }
}

/// An operation whose client was answered.
#[derive(Debug)]
struct Operation {
    /// Its span.
    context: TraceContext,
    /// When its client was answered.
    answered: Moment,
}

#[derive(Debug)]
struct Trace {
    request: RequestTrace,
    /// The span of the operation, under which its questions hang.
    span: u64,
    bucket: BucketName,
    key: Key,
    keys: SpanKeys,
    began: Moment,
    questions: Vec<Question>,
    answered: Option<Answered>,
    judged: Option<Judged>,
    converged: Option<(Moment, ConvergedWrite)>,
    /// Whether the write was over with some home not known to have it.
    unfollowed: bool,
    /// The objective on the staleness age, in microseconds.
    age_objective_us: u64,
    /// When it was over.
    over: Now,
}

/// The traces of one shard; no more of them than its coordinator has operations.
#[derive(Debug)]
pub struct Traces {
    spans: SpanSink,
    /// How spans show keys.
    keys: SpanKeys,
    /// The objective on the staleness age, in microseconds.
    age_objective_us: u64,
    open: BTreeMap<OperationId, Box<Trace>>,
    /// Of operations that were not told of, to be used again: most are not, and each would cost two allocations.
    #[expect(clippy::vec_box, reason = "they go in and out as boxes")]
    spare: Vec<Box<Trace>>,
    /// When the step began that is under way.
    now: Now,
    /// Writes that are still followed.
    followed: BTreeMap<OperationId, Operation>,
}

impl Traces {
    /// None yet.
    #[must_use]
    pub fn new(tracing: &Tracing, age_objective_us: u64) -> Self {
        let (open, followed, spare) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (spans, keys) = (tracing.spans().clone(), tracing.keys());
        Self { spans, keys, age_objective_us, open, spare, now: Now::look(), followed }
    }

    /// A step begins: what is noted down until the next one is of this moment. A clock is looked at once a step, as
    /// operations have ten such moments and more.
    pub fn at(&mut self, now: Now) {
        self.now = now;
    }

    /// An operation begins.
    pub fn begin(&mut self, id: OperationId, request: RequestTrace, ask: &Ask) {
        let mut spare = self.spare.pop();
        let questions = spare.as_mut().map(|spare| std::mem::take(&mut spare.questions));
        let questions = questions.unwrap_or_else(|| Vec::with_capacity(QUESTIONS_USUAL));
        let trace = Trace {
            request,
            span: span_id(),
            bucket: ask.bucket().clone(),
            key: ask.key().clone(),
            keys: self.keys,
            began: self.now.moment,
            questions,
            answered: None,
            judged: None,
            converged: None,
            unfollowed: false,
            age_objective_us: self.age_objective_us,
            over: self.now,
        };
        let trace = match spare {
            None => Box::new(trace),
            Some(mut spare) => {
                *spare = trace;
                spare
            }
        };
        self.open.insert(id, trace);
    }

    /// A home is asked. What it is to be told of the trace, if anything.
    pub fn asked(&mut self, tag: u64, to: &NodeId, repair: bool) -> Option<TraceContext> {
        let (id, kind) = untag(tag);
        let trace = self.open.get_mut(&id).filter(|trace| trace.questions.len() < QUESTIONS_MAX)?;
        // A home makes spans of what is kept from the start; one that coordinates sees for itself what becomes of it.
        // Of probes there are too many for homes to tell of each. Of a write a replica remembers the trace, whether that is
        // kept or not: a read that misses it may be told of, and so is a write that lags.
        let told = match kind {
            Kind::Fetch => trace.request.context.sampled,
            Kind::Apply => trace.request.context.sampled || !repair,
            Kind::Forward => true,
            Kind::Probe => false,
        };
        let told = told.then(span_id);
        trace.questions.push(Question {
            to: to.clone(),
            kind,
            repair,
            told,
            asked: self.now.moment,
            answered: None,
            error: None,
        });
        told.map(|span| TraceContext { span, ..trace.request.context })
    }

    /// It has answered.
    pub fn answered(&mut self, tag: u64, from: &NodeId, error: Option<&'static str>) {
        let (id, kind) = untag(tag);
        let Some(trace) = self.open.get_mut(&id) else { return };
        let open = trace
            .questions
            .iter_mut()
            .find(|question| question.kind == kind && question.answered.is_none() && question.to == *from);
        if let Some(question) = open {
            question.answered = Some(self.now.moment);
            question.error = error;
        }
    }

    /// A reader is told.
    pub fn read(&mut self, id: OperationId, result: &Result<ReadReply, OperationError>) {
        let object = result.as_ref().ok().and_then(|reply| reply.object.as_ref());
        let siblings = object.map(|object| object.siblings().len());
        let newest = object.and_then(Object::newest);
        self.told(id, result, |reply| &reply.participation, Versions { siblings, newest });
    }

    /// A writer is told.
    pub fn write(&mut self, id: OperationId, result: &Result<WriteReply, OperationError>) {
        let newest = result.as_ref().ok().map(|reply| reply.answered.hlc);
        self.told(id, result, |reply| &reply.participation, Versions { siblings: None, newest });
    }

    fn told<T>(
        &mut self,
        id: OperationId,
        result: &Result<T, OperationError>,
        participation: impl Fn(&T) -> &Participation,
        versions: Versions,
    ) {
        let Some(trace) = self.open.get_mut(&id) else { return };
        trace.answered = Some(Answered {
            at: self.now.moment,
            outcome: OperationOutcome::of(result),
            error: result.as_ref().err().map(ToString::to_string),
            participation: result.as_ref().ok().map(|reply| Homes::from(participation(reply))),
            versions,
        });
    }

    /// There is a verdict on a read; `writer` coordinated the write that was missed, if there is one and that is known.
    pub fn judged(&mut self, read: Box<JudgedRead>, writer: Option<NodeId>) {
        if let Some(trace) = self.open.get_mut(&read.id) {
            trace.judged = Some(Judged { at: self.now.moment, read, writer });
            // Nothing more comes that would make it worth a look.
            if !trace.is_told() {
                trace.judged = None;
            }
        }
    }

    /// All homes have a write.
    pub fn converged(&mut self, write: &ConvergedWrite) {
        if let Some(trace) = self.open.get_mut(&write.id) {
            trace.converged = Some((self.now.moment, write.clone()));
        } else if let Some(operation) = self.followed.remove(&write.id) {
            self.converged_late(operation, write);
        }
    }

    /// Nothing more is heard of an operation; `followed` says that the homes that lack its write will be asked.
    pub fn over(&mut self, id: OperationId, followed: bool) {
        let Some(mut trace) = self.open.remove(&id) else {
            // It was followed, and is no more.
            self.followed.remove(&id);
            return;
        };
        trace.unfollowed = followed;
        if followed {
            let context = TraceContext { span: trace.span, ..trace.request.context };
            let answered = trace.answered.as_ref().map_or(trace.began, |told| told.at);
            self.followed.insert(id, Operation { context, answered });
        }
        if trace.is_told() {
            trace.over = self.now;
            self.spans.take(trace);
        } else if self.spare.len() < SPARE_MAX {
            trace.questions.clear();
            self.spare.push(trace);
        }
    }

    /// A write that was followed has converged.
    fn converged_late(&self, operation: Operation, write: &ConvergedWrite) {
        let (at, clock) = (self.now.moment, self.now);
        let place = || place(&write.bucket, &write.key, self.keys);
        let span = operation.afterwards(span::CONVERGE, at, clock, convergence(write), place);
        self.spans.take(Box::new(vec![span]));
    }
}

impl Drop for Traces {
    /// The node stops: what is known by now is told.
    fn drop(&mut self) {
        let open: Vec<OperationId> = self.open.keys().copied().collect();
        open.into_iter().for_each(|id| self.over(id, false));
    }
}

impl Trace {
    fn is_told(&self) -> bool {
        let verdict = self.judged.as_ref().map(|judged| judged.read.judgement.verdict);
        self.request.context.sampled
            // What is suspect alerts count as stale.
            || matches!(verdict, Some(Verdict::Stale | Verdict::Suspect))
            || self.lags()
            || self.answered.as_ref().is_none_or(|told| {
                told.outcome != OperationOutcome::Ok || told.at.micros_since(self.began) >= LATE_US
            })
    }

    fn lags(&self) -> bool {
        let late = self.converged.as_ref().is_some_and(|(_, write)| write.convergence.us > LAGGING_US);
        late || self.unfollowed
    }
}

/// Why a home did not do what it was asked, by a name of few; none if it did.
#[must_use]
pub fn error_of(answer: &AnswerBody) -> Option<&'static str> {
    match answer {
        AnswerBody::Own(ReplicaReply::Refused(refusal))
        | AnswerBody::Peer(
            PeerAnswer::Refused(refusal) | PeerAnswer::Replica(ReplicaReply::Refused(refusal)),
        ) => Some(refusal.name()),
        AnswerBody::Coordinated(reply) => match &**reply {
            CoordinateReply::Refused(refusal) => Some(refusal.name()),
            CoordinateReply::Stamped { .. } | CoordinateReply::Exists | CoordinateReply::Overfull(_) => None,
        },
        AnswerBody::Own(_) | AnswerBody::Peer(_) => None,
    }
}
