//! A span as the exporter wants it, where it encodes spans itself: over gRPC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind as SdkKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Span, SpanKind, TraceContext};

/// Converts. Whoever hands a span over has decided that it is kept, whatever was decided at its trace's start, so it
/// is marked as sampled: the SDK drops others.
pub(super) fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let mut events = SpanEvents::default();
    let made = span.events.into_iter();
    events.events =
        made.map(|event| Event::new(event.name, time(event.at_ns), event.attributes, 0)).collect();
    let mut links = SpanLinks::default();
    links.links = span.links.into_iter().map(|link| Link::new(context(link), Vec::new(), 0)).collect();
    SpanData {
        span_context: context(TraceContext { sampled: true, ..span.context }),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            SpanKind::Server => SdkKind::Server,
            SpanKind::Client => SdkKind::Client,
            SpanKind::Internal => SdkKind::Internal,
        },
        name: span.name,
        start_time: time(span.began_ns),
        end_time: time(span.ended_ns),
        attributes: span.attributes,
        dropped_attributes_count: 0,
        events,
        links,
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}

fn context(of: TraceContext) -> SpanContext {
    let flags = if of.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(TraceId::from(of.trace), SpanId::from(of.span), flags, false, TraceState::NONE)
}

fn time(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}
