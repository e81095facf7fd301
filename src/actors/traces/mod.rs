//! The traces of the operations of one shard.
//!
//! While an operation runs no more is noted down than moments. When all is known of it, spans are made of them: if its
//! trace is kept from the start, or if what became of it is worth a look.

mod telling;

use std::collections::BTreeMap;

use self::telling::convergence;
use crate::actors::clock::Now;
use crate::protocol::coordinator::{AnswerBody, ConvergedWrite, JudgedRead, Kind, untag};
use crate::protocol::ids::{BucketName, NodeId, OperationId};
use crate::protocol::message::{CoordinateReply, PeerAnswer, ReplicaReply};
use crate::protocol::operation::{OperationError, Participation, ReadReply, WriteReply};
use crate::protocol::sli::OperationOutcome;
use crate::protocol::staleness::{Judgement, Verdict};
use crate::protocol::time::Moment;
use crate::telemetry::names::span;
use crate::telemetry::{RequestTrace, Span, SpanKind, SpanSink, TraceContext, span_id};

/// A write that some home still lacks so long after its commit is told of, in microseconds.
const LAGGING_US: u64 = 100_000;
/// An operation whose client waited so long is told of, in microseconds.
const LATE_US: u64 = 500_000;
/// What becomes of an operation later than this after the answer is a trace of its own, in microseconds.
const OWN_TRACE_US: u64 = 5_000_000;
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
    siblings: Option<usize>,
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

#[derive(Debug)]
struct Trace {
    request: RequestTrace,
    /// The span of the operation, under which its questions hang.
    span: u64,
    bucket: BucketName,
    began: Moment,
    questions: Vec<Question>,
    answered: Option<Answered>,
    judged: Option<(Moment, Judgement)>,
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
    /// The objective on the staleness age, in microseconds.
    age_objective_us: u64,
    open: BTreeMap<OperationId, Box<Trace>>,
    /// Of operations that were not told of, to be used again: most are not, and each would cost two allocations.
    #[expect(clippy::vec_box, reason = "they go in and out as boxes")]
    spare: Vec<Box<Trace>>,
    /// When the step began that is under way.
    now: Now,
    /// Writes that are still followed: the span of each, and when its client was answered.
    followed: BTreeMap<OperationId, (TraceContext, Moment)>,
}

impl Traces {
    /// None yet.
    #[must_use]
    pub fn new(spans: SpanSink, age_objective_us: u64) -> Self {
        let (open, followed, spare) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { spans, age_objective_us, open, spare, now: Now::look(), followed }
    }

    /// A step begins: what is noted down until the next one is of this moment. A clock is looked at once a step, as
    /// operations have ten such moments and more.
    pub fn at(&mut self, now: Now) {
        self.now = now;
    }

    /// An operation begins.
    pub fn begin(&mut self, id: OperationId, request: RequestTrace, bucket: BucketName) {
        let mut spare = self.spare.pop();
        let questions = spare.as_mut().map(|spare| std::mem::take(&mut spare.questions));
        let questions = questions.unwrap_or_else(|| Vec::with_capacity(QUESTIONS_USUAL));
        let trace = Trace {
            request,
            span: span_id(),
            bucket,
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
        // Of probes there are too many for homes to tell of each.
        let told = match kind {
            Kind::Fetch | Kind::Apply => trace.request.context.sampled,
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
        let siblings = result.as_ref().ok().and_then(|reply| reply.object.as_ref());
        let siblings = siblings.map(|object| object.siblings().len());
        self.told(id, result, |reply| &reply.participation, siblings);
    }

    /// A writer is told.
    pub fn write(&mut self, id: OperationId, result: &Result<WriteReply, OperationError>) {
        self.told(id, result, |reply| &reply.participation, None);
    }

    fn told<T>(
        &mut self,
        id: OperationId,
        result: &Result<T, OperationError>,
        participation: impl Fn(&T) -> &Participation,
        siblings: Option<usize>,
    ) {
        let Some(trace) = self.open.get_mut(&id) else { return };
        trace.answered = Some(Answered {
            at: self.now.moment,
            outcome: OperationOutcome::of(result),
            error: result.as_ref().err().map(ToString::to_string),
            participation: result.as_ref().ok().map(|reply| Homes::from(participation(reply))),
            siblings,
        });
    }

    /// There is a verdict on a read.
    pub fn judged(&mut self, read: &JudgedRead) {
        if let Some(trace) = self.open.get_mut(&read.id) {
            trace.judged = Some((self.now.moment, read.judgement.clone()));
        }
    }

    /// All homes have a write.
    pub fn converged(&mut self, write: &ConvergedWrite) {
        if let Some(trace) = self.open.get_mut(&write.id) {
            trace.converged = Some((self.now.moment, write.clone()));
        } else if let Some((context, answered)) = self.followed.remove(&write.id) {
            self.converged_late(context, answered, write);
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
            self.followed.insert(id, (context, trace.answered.as_ref().map_or(trace.began, |told| told.at)));
        }
        if self.is_told(&trace) {
            trace.over = self.now;
            self.spans.take(trace);
        } else if self.spare.len() < SPARE_MAX {
            trace.questions.clear();
            self.spare.push(trace);
        }
    }

    fn is_told(&self, trace: &Trace) -> bool {
        trace.request.context.sampled
            || trace.is_stale()
            || trace.lags()
            || trace.answered.as_ref().is_none_or(|told| {
                told.outcome != OperationOutcome::Ok || told.at.micros_since(trace.began) >= LATE_US
            })
    }

    /// A write that was followed has converged: a span of its trace, or, long after the answer, of a linked one.
    fn converged_late(&self, context: TraceContext, answered: Moment, write: &ConvergedWrite) {
        let (clock, now) = (self.now, self.now.moment);
        let linked = now.micros_since(answered) > OWN_TRACE_US;
        let own = TraceContext::fresh(rand::random::<u128>().max(1), span_id(), 1.0);
        let links = if linked { vec![context] } else { Vec::new() };
        let (context, parent) =
            if linked { (own, None) } else { (context.child(span_id()), Some(context.span)) };
        let began_ns = if linked { clock.ns(now) } else { clock.ns(answered) };
        self.spans.take(Box::new(vec![Span {
            name: span::CONVERGE.into(),
            kind: SpanKind::Internal,
            context,
            parent,
            parent_is_remote: false,
            began_ns,
            ended_ns: clock.ns(now),
            attributes: convergence(write),
            error: None,
            links,
        }]));
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
    fn is_stale(&self) -> bool {
        matches!(&self.judged, Some((_, judgement)) if judgement.verdict == Verdict::Stale)
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
            CoordinateReply::Stamped { .. } | CoordinateReply::Exists => None,
        },
        AnswerBody::Own(_) | AnswerBody::Peer(_) => None,
    }
}
