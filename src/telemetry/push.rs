//! Sends all metrics to the collector from time to time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};

use super::collection::Metrics;
use super::outlet::MetricOutlet;

/// How often metrics are sent, unless the standard variable says otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// The standard variable, in milliseconds.
const INTERVAL_VARIABLE: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// Asks for a last push, and is told whether it was delivered.
type Last = SyncSender<bool>;

/// The thread that sends. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Push(SyncSender<Last>);

impl Push {
    /// Starts the thread. The way to the collector lives and dies on it.
    pub(super) fn start(metrics: Metrics, outlet: MetricOutlet) -> std::io::Result<Self> {
        let (asks, asked) = sync_channel(1);
        let interval = interval();
        let thread = std::thread::Builder::new().name("neap-otlp-push".to_owned());
        thread.spawn(move || run(&asked, interval, &metrics, &outlet))?;
        Ok(Self(asks))
    }

    /// Begins the last push. The receiver hears whether it was delivered.
    pub(super) fn begin_last(self) -> Receiver<bool> {
        let (tells, told) = sync_channel(1);
        // There is room for one, and only one is ever sent, as this takes self.
        let _ = self.0.try_send(tells);
        told
    }
}

fn run(asked: &Receiver<Last>, interval: Duration, metrics: &Metrics, outlet: &MetricOutlet) {
    let mut next = Instant::now() + interval;
    loop {
        match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {
                // What failed is counted by the outlet, and the next push says all that this one would have.
                let _ = outlet.export(&metrics.collect());
                next = (next + interval).max(Instant::now());
            }
            Ok(last) => {
                let delivered = outlet.export(&metrics.collect()).is_ok();
                // Whoever asked may have given up.
                let _ = last.send(delivered);
                return;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn interval() -> Duration {
    let given = std::env::var(INTERVAL_VARIABLE).ok().and_then(|text| text.parse().ok());
    given.filter(|ms| *ms > 0).map_or(INTERVAL, Duration::from_millis)
}

/// How many points there are.
pub(super) fn points(metrics: &ResourceMetrics) -> usize {
    let of_metric = |data: &AggregatedMetrics| match data {
        AggregatedMetrics::F64(data) => points_of(data),
        AggregatedMetrics::U64(data) => points_of(data),
        AggregatedMetrics::I64(data) => points_of(data),
    };
    metrics.scope_metrics().flat_map(|scope| scope.metrics()).map(|metric| of_metric(metric.data())).sum()
}

fn points_of<T>(data: &MetricData<T>) -> usize {
    match data {
        MetricData::Gauge(gauge) => gauge.data_points().count(),
        MetricData::Sum(sum) => sum.data_points().count(),
        MetricData::Histogram(histogram) => histogram.data_points().count(),
        MetricData::ExponentialHistogram(histogram) => histogram.data_points().count(),
    }
}
