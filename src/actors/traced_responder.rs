//! The span of what a peer asks of this node's replica, in the trace that the peer's operation belongs to.

use crate::actors::clock::now_ns;
use crate::protocol::ids::BucketName;
use crate::protocol::message::{PeerAnswer, PeerRequest, ReplicaReply, ReplicaRequest, Via};
use crate::protocol::time::Hlc;
use crate::telemetry::names::{attribute, span};
use crate::telemetry::{Span, SpanKind, SpanSink, SpanValue, TraceContext, Tracing, span_id};
use crate::transport::Responder;

/// Answers a peer, and tells of it.
struct TracedResponder {
    responder: Box<dyn Responder>,
    spans: SpanSink,
    name: &'static str,
    context: TraceContext,
    parent: u64,
    bucket: BucketName,
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
        ReplicaRequest::Fetch => (span::REPLICA_READ, false),
        // Of probes there are too many to tell of each.
        ReplicaRequest::Probe => return responder,
    };
    Box::new(TracedResponder {
        responder,
        spans: tracing.spans().clone(),
        name,
        context: trace.child(span_id()),
        parent: trace.span,
        bucket: target.bucket.clone(),
        repair,
        began_ns: now_ns(),
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
        let Self { responder, spans, name, context, parent, bucket, repair, began_ns } = *self;
        responder.respond(answer, clock);
        let mut attributes = vec![
            (attribute::DB_SYSTEM, SpanValue::Name("neap")),
            (attribute::DB_NAMESPACE, SpanValue::Text(bucket.as_str().to_owned())),
        ];
        if repair {
            attributes.push((attribute::REPAIR, SpanValue::Bool(true)));
        }
        attributes.extend(siblings.map(|siblings| (attribute::SIBLINGS, SpanValue::Int(siblings.into()))));
        attributes.extend(refusal.map(|refusal| (attribute::ERROR_TYPE, SpanValue::Name(refusal))));
        spans.take(vec![Span {
            name: name.into(),
            kind: SpanKind::Server,
            context,
            parent: Some(parent),
            parent_is_remote: true,
            began_ns,
            ended_ns: now_ns().max(began_ns),
            attributes,
            error: refusal.map(ToOwned::to_owned),
            links: Vec::new(),
        }]);
    }
}
