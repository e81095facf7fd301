//! Starts and ends everything that measures and tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::metrics::Meter;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector as _};

use super::batches::Batches;
use super::collection::Metrics;
use super::ledger::Ledger;
use super::log;
use super::names::resource;
use super::outlet::{Outlets, TelemetryError, open};
use super::push::Push;
use super::sink::SpanSink;
use super::standing::Source;
use crate::config::TelemetryConfig;
use crate::protocol::ids::NodeId;

/// What `telemetry.service_name` is if nobody sets it.
const DEFAULT_SERVICE_NAME: &str = "neap";
/// The standard variable that names it.
const SERVICE_NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";

/// Who is measured.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Its zone.
    pub zone: String,
    /// Its cluster's name.
    pub cluster: String,
    /// The program's version.
    pub version: String,
}

/// What became of the last that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Spans that reached the collector, since the start.
    pub spans_delivered: u64,
    /// Spans that were queued but had not reached it when the shutdown began, and did not since.
    pub spans_lost: u64,
    /// Whether the last metrics reached it; true if there is none.
    pub metrics_delivered: bool,
}

/// Everything that measures and tells. Dropped without [`Telemetry::shutdown`], it ends without sending what waits.
pub struct Telemetry {
    metrics: Metrics,
    ledger: Arc<Ledger>,
    sending: Option<Sending>,
    spans: SpanSink,
}

struct Sending {
    batches: Batches,
    push: Push,
}

impl Telemetry {
    /// Starts. No connection is made yet: a collector that is down is no error, and what it misses is counted.
    ///
    /// # Errors
    ///
    /// The collector can never be reached as configured. Nothing was started.
    pub fn start(config: &TelemetryConfig, identity: &Identity) -> Result<Self, TelemetryError> {
        let resource = describe(config, identity);
        let ledger = Arc::new(Ledger::default());
        let metrics = Metrics::new(resource.clone());
        let Some(url) = &config.otlp else {
            return Ok(Self { metrics, ledger, sending: None, spans: SpanSink::off() });
        };
        let Outlets { spans, metrics: pushed } = open(url, config.protocol, &resource, &ledger)?;
        let push = Push::start(metrics.clone(), pushed)?;
        let batches = Batches::start(spans, Arc::clone(&ledger))?;
        let spans = SpanSink::on(batches.queue(), Arc::clone(&ledger));
        Ok(Self { metrics, ledger, sending: Some(Sending { batches, push }), spans })
    }

    /// What [`super::Instruments`] are made of.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.metrics.meter()
    }

    /// All metrics, for `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Where spans are handed over.
    #[must_use]
    pub fn spans(&self) -> SpanSink {
        self.spans.clone()
    }

    /// What reached no collector, by reason.
    #[must_use]
    pub fn dropped(&self) -> Source {
        let ledger = Arc::clone(&self.ledger);
        Box::new(move || {
            let mut dropped = ledger.dropped();
            dropped.extend(log::dropped());
            dropped
        })
    }

    /// Sends what waits, and all metrics a last time; waits for it until the deadline has passed, and no longer. From
    /// now on spans are dropped and counted. Any thread may call this, and is blocked meanwhile.
    #[must_use]
    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        let end = Instant::now() + deadline;
        let lost_before = self.ledger.spans_failed();
        self.ledger.close(end);
        let metrics_delivered = self.sending.is_none_or(|sending| sending.end(end));
        ShutdownReport {
            spans_delivered: self.ledger.spans_delivered(),
            spans_lost: self.ledger.spans_undelivered() - lost_before,
            metrics_delivered,
        }
    }
}

impl Sending {
    fn end(self, end: Instant) -> bool {
        let left = || end.saturating_duration_since(Instant::now());
        // Both at once, so that a slow collector of spans does not keep the metrics waiting.
        let last = self.push.begin_last();
        self.batches.end(left());
        last.recv_timeout(left()).unwrap_or(false)
    }
}

/// The standard variables add to what the configuration says, and name the service if it does not.
fn describe(config: &TelemetryConfig, identity: &Identity) -> Resource {
    let own = [
        (resource::SERVICE_INSTANCE_ID, identity.node.as_str()),
        (resource::SERVICE_VERSION, &identity.version),
        (resource::SERVICE_NAMESPACE, &identity.cluster),
        (resource::ZONE, &identity.zone),
    ];
    let service = (config.service_name != DEFAULT_SERVICE_NAME || !is_named_by_environment())
        .then(|| KeyValue::new(resource::SERVICE_NAME, config.service_name.clone()));
    let own = own.map(|(key, value)| KeyValue::new(key, value.to_owned()));
    Resource::builder().with_attributes(own.into_iter().chain(service)).build()
}

fn is_named_by_environment() -> bool {
    let attributes = EnvResourceDetector::new().detect();
    std::env::var(SERVICE_NAME_VARIABLE).is_ok_and(|name| !name.is_empty())
        || attributes.get(&Key::new(resource::SERVICE_NAME)).is_some()
}
