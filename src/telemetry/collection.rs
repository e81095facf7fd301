//! The one aggregation of all metrics, which both the periodic push and `/metrics` read.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};

use super::{names, prometheus};

/// All metrics of a node. Cheap to clone; any thread may read them.
#[derive(Debug, Clone)]
pub struct Metrics {
    provider: SdkMeterProvider,
    reader: Arc<ManualReader>,
}

impl Metrics {
    /// Of what a resource describes. Nothing is sent anywhere.
    #[must_use]
    pub fn new(resource: Resource) -> Self {
        let reader = Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build());
        let shared = SharedReader(Arc::clone(&reader));
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(shared).build();
        Self { provider, reader }
    }

    /// What instruments are made of.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter_with_scope(names::scope())
    }

    /// All metrics as they are now, since the start.
    #[must_use]
    pub fn collect(&self) -> ResourceMetrics {
        let mut metrics = ResourceMetrics::default();
        // It fails only once the provider is shut down, which is when the last of these is dropped.
        let collected = self.reader.collect(&mut metrics);
        debug_assert!(collected.is_ok(), "{collected:?}");
        metrics
    }

    /// All metrics as they are now, as Prometheus reads them: [`prometheus::CONTENT_TYPE`].
    #[must_use]
    pub fn prometheus(&self) -> String {
        prometheus::render(&self.collect())
    }
}

/// The SDK wants a reader to itself.
#[derive(Debug)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
