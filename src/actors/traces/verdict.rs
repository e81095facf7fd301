//! A verdict in spans: the write that was missed, and the state of each replica when the read began.

use opentelemetry::KeyValue;

use super::telling::ms;
use super::{Judged, Trace};
use crate::http::time::rfc3339;
use crate::protocol::coordinator::Kind;
use crate::protocol::ids::{NodeId, TraceContext};
use crate::protocol::message::Refusal;
use crate::protocol::staleness::{Explanation, Judgement, ReplicaState, Verdict};
use crate::telemetry::names::{attribute, event, span, value};
use crate::telemetry::{Span, SpanEvent};

/// How many attributes a verdict has at the most, with those of the missed write and of lagging replicas.
pub(super) const VERDICT: usize = 10;
/// How many attributes of a verdict come before those that follow from its age.
const VERDICT_AND_AGE: usize = 3;
/// How many attributes the state of a replica has at the most.
const REPLICA: usize = 6;

impl Trace {
    /// Says all that is known of a judged read on one span: on the read's own, where one search finds it.
    pub(super) fn explain(&self, judged: &Judged, explanation: &Explanation<'_>, span: &mut Span) {
        self.verdict(&judged.read.judgement, &mut span.attributes);
        let lagging = i64::try_from(explanation.lagging()).unwrap_or(i64::MAX);
        span.attributes.push(KeyValue::new(attribute::LAGGING, lagging));
        missed(judged, explanation, &mut span.attributes);
        span.links.extend(links(explanation));
        // Of a fresh read whose replicas were all up to date there is nothing to explain.
        let fresh = matches!(judged.read.judgement.verdict, Verdict::Fresh { .. });
        if !fresh || lagging > 0 {
            let replicas = explanation.replicas.iter();
            span.events = replicas.map(|replica| self.replica(judged, replica)).collect();
        }
    }

    /// From the answer of a read to the verdict on it.
    pub(super) fn verify(&self, judged: &Judged, explanation: &Explanation<'_>) -> Span {
        let mut verify = self.afterwards(span::VERIFY, judged.at, Vec::with_capacity(VERDICT));
        if verify.parent.is_none() {
            // It is a trace of its own, and has to be found and understood alone.
            self.explain(judged, explanation, &mut verify);
        } else {
            self.verdict(&judged.read.judgement, &mut verify.attributes);
            // The rest is said of the read itself.
            verify.attributes.truncate(VERDICT_AND_AGE);
        }
        verify
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

    /// The state of a replica, at the moment that it is of.
    fn replica(&self, judged: &Judged, replica: &ReplicaState<'_>) -> SpanEvent {
        let ReplicaState { node, versus_reply, newest, lag_us, refusal } = *replica;
        let mut attributes = Vec::with_capacity(REPLICA);
        attributes.push(KeyValue::new(attribute::PEER, node.as_str().to_owned()));
        attributes.push(KeyValue::new(attribute::REPLICA_ASKED, self.asked(node, refusal)));
        attributes.push(KeyValue::new(attribute::REPLICA_VERSUS_REPLY, versus_reply.name()));
        let time = newest.map(|newest| KeyValue::new(attribute::REPLICA_VERSION_TIME, rfc3339(newest)));
        attributes.extend(time);
        // One that is behind by less than clocks tell is not level.
        attributes.extend(lag_us.map(|us| KeyValue::new(attribute::REPLICA_LAG_MS, ms(us.max(1)))));
        attributes.extend(refusal.map(|refusal| KeyValue::new(attribute::ERROR_TYPE, refusal.name())));
        let at_ns = self.over.ns(judged.read.evidence.began);
        SpanEvent { name: event::REPLICA_STATE, at_ns, attributes }
    }

    fn asked(&self, node: &NodeId, refusal: Option<Refusal>) -> &'static str {
        let of = |kind| self.questions.iter().any(|question| question.kind == kind && question.to == *node);
        match refusal {
            Some(Refusal::NotSent | Refusal::Down) => value::NOT_ASKED,
            _ if of(Kind::Fetch) => value::FETCHED,
            _ if of(Kind::Probe) => value::PROBED,
            _ => value::NOT_ASKED,
        }
    }
}

/// The newest write that was missed, or may have been.
fn missed(judged: &Judged, explanation: &Explanation<'_>, attributes: &mut Vec<KeyValue>) {
    let Some(newest) = explanation.missed.first() else { return };
    let count = i64::try_from(explanation.missed_count).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new(attribute::MISSED_COUNT, count));
    let time = newest.lacked.hlc.map(|hlc| KeyValue::new(attribute::MISSED_VERSION_TIME, rfc3339(hlc)));
    attributes.extend(time);
    attributes.push(match &judged.writer {
        Some(writer) => KeyValue::new(attribute::MISSED_WRITER, writer.as_str().to_owned()),
        None => KeyValue::new(attribute::MISSED_ACTOR, newest.lacked.dot.actor.to_string()),
    });
}

/// Links to the traces of the missed writes, each once: a copy of a write that was tried again has the same.
fn links(explanation: &Explanation<'_>) -> Vec<TraceContext> {
    let mut links: Vec<TraceContext> = Vec::new();
    for link in explanation.missed.iter().filter_map(|missed| missed.trace) {
        if !links.iter().any(|known| known.trace == link.trace) {
            links.push(link);
        }
    }
    links
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
