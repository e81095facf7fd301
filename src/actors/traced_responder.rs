//! The span of what a peer asks of this node's replica, in the trace that the peer's operation belongs to.

use opentelemetry::KeyValue;

use crate::actors::clock::now_ns;
use crate::config::SpanKeys;
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::message::{PeerAnswer, PeerRequest, ReplicaReply, ReplicaRequest, Via};
use crate::protocol::time::Hlc;
use crate::telemetry::names::{attribute, span};
use crate::telemetry::{Finished, Span, SpanKind, SpanSink, TraceContext, Tracing, key_attributes, span_id};
use crate::transport::Responder;

/// Answers a peer, and tells of it.
struct TracedResponder {
    responder: Box<dyn Responder>,
    spans: SpanSink,
    asked: Asked,
}

/// What a peer asked.
#[derive(Debug)]
struct Asked {
    name: &'static str,
    context: TraceContext,
    parent: u64,
    bucket: BucketName,
    key: Key,
    keys: SpanKeys,
    repair: bool,
    began_ns: u64,
}

/// The responder itself, or one that tells of the answer where the peer's trace is kept from the start.
#[must_use]
pub fn traced_responder(
    tracing: &Tracing,
    trace: Option<TraceContext>,
    request: &PeerRequest,
    responder: Box<dyn Responder>,
) -> Box<dyn Responder> {
    let Some(trace) = trace.filter(|trace| trace.sampled && tracing.spans().is_on()) else {
        return responder;
    };
    let PeerRequest::Replica(target, asked) = request else { return responder };
    let (name, repair) = match asked {
        ReplicaRequest::Apply(_, via) => (span::REPLICA_APPLY, *via == Via::ReadRepair),
        ReplicaRequest::Fetch | ReplicaRequest::FetchAsIs => (span::REPLICA_READ, false),
        // Of probes there are too many to tell of each.
        ReplicaRequest::Probe => return responder,
    };
    Box::new(TracedResponder {
        responder,
        spans: tracing.spans().clone(),
        asked: Asked {
            name,
            context: trace.child(span_id()),
            parent: trace.span,
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            keys: tracing.keys(),
            repair,
            began_ns: now_ns(),
        },
    })
}

impl Responder for TracedResponder {
    fn respond(self: Box<Self>, answer: PeerAnswer, clock: Hlc) {
        let refusal = match &answer {
            PeerAnswer::Refused(refusal) | PeerAnswer::Replica(ReplicaReply::Refused(refusal)) => {
                Some(refusal.name())
            }
            _ => None,
        };
        let siblings = match &answer {
            PeerAnswer::Replica(ReplicaReply::Applied { siblings, .. }) => Some(*siblings),
            _ => None,
        };
        let Self { responder, spans, asked } = *self;
        responder.respond(answer, clock);
        let ended_ns = now_ns().max(asked.began_ns);
        spans.take(Box::new(Answered { asked, siblings, refusal, ended_ns }));
    }
}

/// What became of it.
#[derive(Debug)]
struct Answered {
    asked: Asked,
    siblings: Option<u16>,
    refusal: Option<&'static str>,
    ended_ns: u64,
}

impl Finished for Answered {
    fn spans(&self) -> usize {
        1
    }

    fn make(self: Box<Self>, made: &mut Vec<Span>) {
        let Self { asked, siblings, refusal, ended_ns } = *self;
        let Asked { name, context, parent, bucket, key, keys, repair, began_ns } = asked;
        let mut attributes = vec![
            KeyValue::new(attribute::DB_SYSTEM, "neap"),
            KeyValue::new(attribute::DB_NAMESPACE, bucket.as_str().to_owned()),
        ];
        attributes.extend(key_attributes(keys, &bucket, &key));
        if repair {
            attributes.push(KeyValue::new(attribute::REPAIR, true));
        }
        attributes.extend(siblings.map(|siblings| KeyValue::new(attribute::SIBLINGS, i64::from(siblings))));
        attributes.extend(refusal.map(|refusal| KeyValue::new(attribute::ERROR_TYPE, refusal)));
        made.push(Span {
            name: name.into(),
            kind: SpanKind::Server,
            context,
            parent: Some(parent),
            parent_is_remote: true,
            began_ns,
            ended_ns,
            attributes,
            error: refusal.map(ToOwned::to_owned),
            links: Vec::new(),
            events: Vec::new(),
        });
    }
}
