//! The spans of a trace, made of what was noted down once it is over.

use opentelemetry::KeyValue;

use super::{LAGGING_US, Question, Trace};
use crate::protocol::coordinator::{ConvergedWrite, Kind};
use crate::protocol::sli::OperationOutcome;
use crate::protocol::staleness::{Judgement, Verdict};
use crate::protocol::time::Moment;
use crate::telemetry::names::{attribute, span};
use crate::telemetry::{Call, Finished, Span, SpanKind, TraceContext, span_id};

/// How many attributes a verdict has, and how many of an operation come beside them.
const VERDICT: usize = 6;
const OF_OPERATION: usize = 10;
/// How many attributes of a verdict come before those that follow from its age.
const VERDICT_AND_AGE: usize = 3;

impl Finished for Trace {
    fn spans(&self) -> usize {
        2 + self.told_questions().count()
            + usize::from(self.judged.is_some())
            + usize::from(self.converged.is_some())
    }

    fn make(self: Box<Self>, made: &mut Vec<Span>) {
        made.extend([self.request(), self.operation()]);
        made.extend(self.told_questions().map(|question| self.question(question)));
        let told = self.answered.as_ref().map_or(self.began, |told| told.at);
        if let Some((at, judgement)) = &self.judged {
            let mut attributes = Vec::with_capacity(VERDICT);
            self.verdict(judgement, &mut attributes);
            // The rest is said of the read itself.
            attributes.truncate(VERDICT_AND_AGE);
            made.push(self.child(span::VERIFY, (told, *at), attributes));
        }
        if let Some((at, write)) = &self.converged {
            made.push(self.child(span::CONVERGE, (told, *at), convergence(write)));
        }
    }
}

/// The spans of one trace.
impl Trace {
    /// Homes that had nothing newer are of interest only where some had, or may have had.
    fn told_questions(&self) -> impl Iterator<Item = &Question> {
        let fresh =
            matches!(&self.judged, Some((_, judged)) if matches!(judged.verdict, Verdict::Fresh { .. }));
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
        attributes.extend([
            KeyValue::new(attribute::DB_SYSTEM, "neap"),
            KeyValue::new(attribute::DB_OPERATION, operation),
            KeyValue::new(attribute::DB_NAMESPACE, trace.bucket.as_str().to_owned()),
        ]);
        let told = trace.answered.as_ref();
        if let Some(homes) = told.and_then(|told| told.participation) {
            let acked = i64::try_from(homes.acked).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::ACKED, acked));
            attributes.push(KeyValue::new(attribute::REQUIRED, i64::from(homes.required)));
            attributes.push(KeyValue::new(attribute::TOTAL, i64::from(homes.total)));
            attributes.push(KeyValue::new(attribute::LAGGING, i64::from(homes.lagging)));
        } else if trace.request.call != Call::Get {
            let lagging = trace.questions.iter().filter(|question| {
                question.kind == Kind::Apply && (question.answered.is_none() || question.error.is_some())
            });
            let lagging = i64::try_from(lagging.count()).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::LAGGING, lagging));
        }
        if let Some(siblings) = told.and_then(|told| told.siblings) {
            let siblings = i64::try_from(siblings).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(attribute::SIBLINGS, siblings));
        }
        match trace.request.call {
            Call::Get => {
                if let Some((_, judgement)) = &self.judged {
                    self.verdict(judgement, &mut attributes);
                }
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

    fn child(&self, name: &'static str, times: (Moment, Moment), attributes: Vec<KeyValue>) -> Span {
        Span { parent: Some(self.span), ..self.span(name, span_id(), times, attributes) }
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
        }
    }

    fn error_type(&self) -> Option<KeyValue> {
        let told = self.answered.as_ref()?;
        (told.outcome != OperationOutcome::Ok)
            .then(|| KeyValue::new(attribute::ERROR_TYPE, told.outcome.name()))
    }

    fn verdict(&self, judgement: &Judgement, attributes: &mut Vec<KeyValue>) {
        let Judgement { verdict, exposure_us, age_us, .. } = *judgement;
        attributes.push(KeyValue::new(attribute::VERDICT, verdict.name()));
        attributes.push(KeyValue::new(attribute::STALE, verdict == Verdict::Stale));
        // Of what is not known to be stale or fresh no age is told: 0 would count as fresh.
        if matches!(verdict, Verdict::Stale | Verdict::Behind | Verdict::Fresh { .. }) {
            attributes.push(KeyValue::new(attribute::AGE_MS, ms(age_us)));
            attributes.push(KeyValue::new(attribute::EXPOSURE_MS, ms(exposure_us)));
            attributes.push(KeyValue::new(attribute::AGE_BUCKET, age_bucket(age_us)));
            attributes.push(KeyValue::new(attribute::SLO_BREACH, age_us > self.age_objective_us));
        }
    }
}

/// In whole milliseconds, rounded up: what is stale is never said to be 0 ms old.
fn ms(us: u64) -> i64 {
    i64::try_from(us.div_ceil(1_000)).unwrap_or(i64::MAX)
}

fn age_bucket(us: u64) -> &'static str {
    match us {
        0 => "0",
        1..=100_000 => "<=100ms",
        100_001..=500_000 => "<=500ms",
        500_001..=5_000_000 => "<=5s",
        _ => ">5s",
    }
}

/// What is told of a write that all homes have.
pub(super) fn convergence(write: &ConvergedWrite) -> Vec<KeyValue> {
    vec![
        KeyValue::new(attribute::CONVERGENCE_MS, ms(write.convergence.us)),
        KeyValue::new(attribute::CONVERGENCE_PATH, write.convergence.path.name()),
        KeyValue::new(attribute::WRITE_LAGGING, write.convergence.us > LAGGING_US),
    ]
}
