//! The spans of a trace, made of what was noted down once it is over.

use opentelemetry::KeyValue;

use super::verdict::VERDICT;
use super::{LAGGING_US, Operation, Question, Trace};
use crate::actors::clock::Now;
use crate::config::SpanKeys;
use crate::http::time::rfc3339;
use crate::protocol::coordinator::{ConvergedWrite, Kind};
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::sli::OperationOutcome;
use crate::protocol::staleness::Verdict;
use crate::protocol::time::Moment;
use crate::telemetry::names::{attribute, span};
use crate::telemetry::{Call, Finished, Span, SpanKind, TraceContext, key_attributes, span_id};

/// How many attributes of an operation come beside those of a verdict.
const OF_OPERATION: usize = 13;
/// What becomes of an operation later than this after the answer is a trace of its own, in microseconds.
const OWN_TRACE_US: u64 = 5_000_000;

impl Finished for Trace {
    fn spans(&self) -> usize {
        2 + self.told_questions().count()
            + usize::from(self.judged.is_some())
            + usize::from(self.converged.is_some())
    }

    fn make(self: Box<Self>, made: &mut Vec<Span>) {
        let judged = self.judged.as_ref().map(|judged| (judged, judged.read.explained()));
        let mut operation = self.operation();
        if let Some((judged, explanation)) = &judged {
            self.explain(judged, explanation, &mut operation);
        }
        made.extend([self.request(), operation]);
        made.extend(self.told_questions().map(|question| self.question(question)));
        made.extend(judged.iter().map(|(judged, explanation)| self.verify(judged, explanation)));
        if let Some((at, write)) = &self.converged {
            made.push(self.afterwards(span::CONVERGE, *at, convergence(write)));
        }
    }
}

/// The spans of one trace.
impl Trace {
    /// Homes that had nothing newer are of interest only where some had, or may have had.
    fn told_questions(&self) -> impl Iterator<Item = &Question> {
        let verdict = self.judged.as_ref().map(|judged| judged.read.judgement.verdict);
        let fresh = matches!(verdict, Some(Verdict::Fresh { .. }));
        self.questions.iter().filter(move |question| question.kind != Kind::Probe || !fresh)
    }

    fn ended(&self) -> Moment {
        self.answered.as_ref().map_or(self.over.moment, |told| told.at)
    }

    fn error(&self) -> Option<String> {
        self.answered.as_ref().and_then(|told| told.error.clone())
    }

    /// What this node was asked.
    fn request(&self) -> Span {
        let request = &self.request;
        let (name, method) = match request.call {
            Call::Get => ("GET /v1/kv/{bucket}/{key}", "GET"),
            Call::Put => ("PUT /v1/kv/{bucket}/{key}", "PUT"),
            Call::Delete => ("DELETE /v1/kv/{bucket}/{key}", "DELETE"),
            Call::Forwarded => (span::REPLICA_FORWARD, ""),
        };
        let mut attributes = Vec::new();
        if request.call != Call::Forwarded {
            attributes.push(KeyValue::new(attribute::HTTP_METHOD, method));
            attributes.push(KeyValue::new(attribute::HTTP_ROUTE, "/v1/kv/{bucket}/{key}"));
        }
        attributes.extend(self.error_type());
        Span {
            name: name.into(),
            kind: SpanKind::Server,
            context: request.context,
            parent: request.parent,
            parent_is_remote: request.parent.is_some(),
            began_ns: request.began_ns,
            ended_ns: self.over.ns(self.ended()).max(request.began_ns),
            attributes,
            error: self.error(),
            links: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The operation itself, with all that is known of it in one place.
    fn operation(&self) -> Span {
        let trace = self;
        let (name, operation) = match trace.request.call {
            Call::Get => (span::READ, "get"),
            Call::Put => (span::WRITE, "put"),
            Call::Delete => (span::WRITE, "delete"),
            Call::Forwarded => (span::WRITE, "write"),
        };
        let mut attributes = Vec::with_capacity(OF_OPERATION + VERDICT);
        attributes.push(KeyValue::new(attribute::DB_OPERATION, operation));
        attributes.extend(place(&trace.bucket, &trace.key, trace.keys));
        let told = trace.answered.as_ref();
        if let Some(homes) = told.and_then(|told| told.participation) {
            let acked = i64::try_from(homes.acked).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::ACKED, acked));
            attributes.push(KeyValue::new(attribute::REQUIRED, i64::from(homes.required)));
            attributes.push(KeyValue::new(attribute::TOTAL, i64::from(homes.total)));
            // Those that a read did not ask may be as new as the others: see its verdict.
            if trace.request.call != Call::Get {
                attributes.push(KeyValue::new(attribute::LAGGING, i64::from(homes.lagging)));
            }
        } else if trace.request.call != Call::Get {
            let lagging = trace.questions.iter().filter(|question| {
                question.kind == Kind::Apply && (question.answered.is_none() || question.error.is_some())
            });
            let lagging = i64::try_from(lagging.count()).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::LAGGING, lagging));
        }
        if let Some(siblings) = told.and_then(|told| told.versions.siblings) {
            let siblings = i64::try_from(siblings).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::SIBLINGS, siblings));
        }
        let version = told.and_then(|told| told.versions.newest);
        attributes.extend(version.map(|hlc| KeyValue::new(attribute::VERSION_TIME, rfc3339(hlc))));
        match trace.request.call {
            Call::Get => {
                if trace.questions.iter().any(|question| question.repair) {
                    attributes.push(KeyValue::new(attribute::REPAIR, true));
                }
            }
            Call::Put | Call::Delete | Call::Forwarded => {
                attributes.push(KeyValue::new(attribute::WRITE_LAGGING, trace.lags()));
            }
        }
        attributes.extend(self.error_type());
        Span { error: self.error(), ..self.span(name, trace.span, (trace.began, self.ended()), attributes) }
    }

    fn question(&self, question: &Question) -> Span {
        let name = match question.kind {
            Kind::Fetch => span::REPLICA_READ,
            Kind::Apply => span::REPLICA_APPLY,
            Kind::Forward => span::REPLICA_FORWARD,
            Kind::Probe => span::REPLICA_PROBE,
        };
        let mut attributes = vec![KeyValue::new(attribute::PEER, question.to.as_str().to_owned())];
        if question.repair {
            attributes.push(KeyValue::new(attribute::REPAIR, true));
        }
        let error = if question.answered.is_none() { Some("no_answer") } else { question.error };
        attributes.extend(error.map(|error| KeyValue::new(attribute::ERROR_TYPE, error)));
        let ended = question.answered.unwrap_or(self.over.moment);
        Span {
            kind: SpanKind::Client,
            parent: Some(self.span),
            // A home that says nothing to a probe fails nobody's operation.
            error: error.filter(|_| question.kind != Kind::Probe).map(ToOwned::to_owned),
            ..self.span(name, question.told.unwrap_or_else(span_id), (question.asked, ended), attributes)
        }
    }

    /// Something that became known of the operation after its answer.
    pub(super) fn afterwards(&self, name: &'static str, at: Moment, attributes: Vec<KeyValue>) -> Span {
        let operation = Operation {
            context: TraceContext { span: self.span, ..self.request.context },
            answered: self.answered.as_ref().map_or(self.began, |told| told.at),
        };
        operation.afterwards(name, at, self.over, attributes, || place(&self.bucket, &self.key, self.keys))
    }

    fn span(
        &self,
        name: &'static str,
        id: u64,
        (began, ended): (Moment, Moment),
        attributes: Vec<KeyValue>,
    ) -> Span {
        Span {
            name: name.into(),
            kind: SpanKind::Internal,
            context: TraceContext { span: id, ..self.request.context },
            parent: Some(self.request.context.span),
            parent_is_remote: false,
            began_ns: self.over.ns(began),
            ended_ns: self.over.ns(ended),
            attributes,
            error: None,
            links: Vec::new(),
            events: Vec::new(),
        }
    }

    fn error_type(&self) -> Option<KeyValue> {
        let told = self.answered.as_ref()?;
        (told.outcome != OperationOutcome::Ok)
            .then(|| KeyValue::new(attribute::ERROR_TYPE, told.outcome.name()))
    }
}

impl Operation {
    /// A span of what became known at `at`: a child of the operation's or, long after the answer, one that is linked to it
    /// and says itself of which key it is.
    pub(super) fn afterwards<A: IntoIterator<Item = KeyValue>>(
        &self,
        name: &'static str,
        at: Moment,
        clock: Now,
        mut attributes: Vec<KeyValue>,
        place: impl FnOnce() -> A,
    ) -> Span {
        let is_late = at.micros_since(self.answered) > OWN_TRACE_US;
        let (context, parent, links) = if is_late {
            attributes.extend(place());
            let own = TraceContext::fresh(rand::random::<u128>(), span_id(), 1.0);
            (own, None, vec![self.context])
        } else {
            (self.context.child(span_id()), Some(self.context.span), Vec::new())
        };
        let began = if is_late { at } else { self.answered };
        Span {
            name: name.into(),
            kind: SpanKind::Internal,
            context,
            parent,
            parent_is_remote: false,
            began_ns: clock.ns(began),
            ended_ns: clock.ns(at),
            attributes,
            error: None,
            links,
            events: Vec::new(),
        }
    }
}

/// The attributes that say of which key something is.
pub(super) fn place(bucket: &BucketName, key: &Key, keys: SpanKeys) -> impl Iterator<Item = KeyValue> {
    let bucket_name = KeyValue::new(attribute::DB_NAMESPACE, bucket.as_str().to_owned());
    [KeyValue::new(attribute::DB_SYSTEM, "neap"), bucket_name]
        .into_iter()
        .chain(key_attributes(keys, bucket, key))
}

/// In whole milliseconds, rounded up: what is stale is never said to be 0 ms old.
pub(super) fn ms(us: u64) -> i64 {
    i64::try_from(us.div_ceil(1_000)).unwrap_or(i64::MAX)
}

/// What is told of a write that all homes have.
pub(super) fn convergence(write: &ConvergedWrite) -> Vec<KeyValue> {
    vec![
        KeyValue::new(attribute::CONVERGENCE_MS, ms(write.convergence.us)),
        KeyValue::new(attribute::CONVERGENCE_PATH, write.convergence.path.name()),
        KeyValue::new(attribute::WRITE_LAGGING, write.convergence.us > LAGGING_US),
    ]
}
