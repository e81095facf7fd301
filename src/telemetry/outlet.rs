//! The way to the collector: OTLP over HTTP or gRPC.
//!
//! Neither may run on, or be dropped by, a thread of an async runtime: the blocking HTTP client panics there, and a gRPC
//! client that lives on the runtime of whoever shuts it down can send nothing more. So both are made here on a thread
//! of their own, and gRPC has a runtime of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, Protocol, SpanExporter,
    WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::SpanExporter as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;

use super::body::{Body, WithBody};
use super::convert::span_data;
use super::encoding::Encoder;
use super::ledger::Ledger;
use super::{Span, names};
use crate::config::OtlpProtocol;

/// Why nothing can be sent to a collector. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The URL, or a standard `OTEL_EXPORTER_OTLP_*` variable beside it, is not usable.
    #[error("telemetry.otlp = {url:?} cannot be used: {cause}")]
    Unusable {
        /// The URL.
        url: String,
        /// What is wrong.
        cause: ExporterBuildError,
    },
    /// The URL begins with `https://`, and this machine trusts nobody.
    #[error("telemetry.otlp = {url:?} needs certificate authorities, and none was found: {cause}")]
    NoRoots {
        /// The URL.
        url: String,
        /// What was tried.
        cause: String,
    },
    /// No HTTP client could be made.
    #[error("telemetry.otlp = {url:?}: no HTTP client can be made: {cause}")]
    Client {
        /// The URL.
        url: String,
        /// Why.
        cause: String,
    },
    /// The operating system gave no thread.
    #[error("telemetry.otlp: no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Both signals' ways.
pub(super) struct Outlets {
    pub(super) spans: SpanOutlet,
    pub(super) metrics: MetricOutlet,
}

/// Opens both. No connection is made before something is sent.
pub(super) fn open(
    url: &str,
    protocol: OtlpProtocol,
    resource: &Resource,
    ledger: &Arc<Ledger>,
) -> Result<Outlets, TelemetryError> {
    std::thread::scope(|scope| {
        let opening = std::thread::Builder::new().name("neap-otlp-open".to_owned());
        let opening = opening.spawn_scoped(scope, || open_here(url, protocol, resource, ledger))?;
        opening.join().unwrap_or_else(|_| {
            Err(TelemetryError::Client { url: url.to_owned(), cause: "it panicked".to_owned() })
        })
    })
}

fn open_here(
    url: &str,
    protocol: OtlpProtocol,
    resource: &Resource,
    ledger: &Arc<Ledger>,
) -> Result<Outlets, TelemetryError> {
    let scope = names::scope();
    let (runtime, spans, metrics) = match protocol {
        OtlpProtocol::HttpProtobuf => {
            let body = Body::default();
            let (exporter, metrics) = http(url, &body)?;
            (None, SpanWay::Http { exporter, body, encoder: Encoder::new(resource, &scope) }, metrics)
        }
        OtlpProtocol::Grpc => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("neap-otlp-grpc")
                .enable_all()
                .build()?;
            let (mut exporter, metrics) = {
                let _entered = runtime.enter();
                grpc(url).map_err(|cause| TelemetryError::Unusable { url: url.to_owned(), cause })?
            };
            exporter.set_resource(resource);
            (Some(Arc::new(runtime)), SpanWay::Grpc { exporter, scope }, metrics)
        }
    };
    let link = |what| Link {
        runtime: runtime.clone(),
        ledger: Arc::clone(ledger),
        outage: Outage { what, url: url.to_owned(), failing: AtomicBool::new(false) },
    };
    Ok(Outlets {
        spans: SpanOutlet { way: spans, link: link("spans") },
        metrics: MetricOutlet { exporter: metrics, link: link("metrics") },
    })
}

fn http(url: &str, body: &Body) -> Result<(SpanExporter, MetricExporter), TelemetryError> {
    let unusable = |cause| TelemetryError::Unusable { url: url.to_owned(), cause };
    let of_signal = |path: &str| format!("{}{path}", url.trim_end_matches('/'));
    let tls = tls(url)?;
    let client = |timeout| {
        // The collector's address is given outright: a proxy for traffic to the world is not meant for it.
        let client = reqwest::blocking::Client::builder().tls_backend_preconfigured(tls.clone()).no_proxy();
        let failed =
            |cause: reqwest::Error| TelemetryError::Client { url: url.to_owned(), cause: cause.to_string() };
        client.timeout(timeout).build().map_err(failed)
    };
    let spans = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(of_signal("/v1/traces"))
        .with_http_client(WithBody {
            client: client(timeout(OTEL_EXPORTER_OTLP_TRACES_TIMEOUT))?,
            body: body.clone(),
        })
        .build()
        .map_err(unusable)?;
    let metrics = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(of_signal("/v1/metrics"))
        .with_http_client(client(timeout(OTEL_EXPORTER_OTLP_METRICS_TIMEOUT))?)
        .with_temporality(Temporality::Cumulative)
        .build()
        .map_err(unusable)?;
    Ok((spans, metrics))
}

fn grpc(url: &str) -> Result<(SpanExporter, MetricExporter), ExporterBuildError> {
    let (mut spans, mut metrics) =
        (SpanExporter::builder().with_tonic(), MetricExporter::builder().with_tonic());
    if is_https(url) {
        let tls = || ClientTlsConfig::new().with_enabled_roots();
        (spans, metrics) = (spans.with_tls_config(tls()), metrics.with_tls_config(tls()));
    }
    let spans = spans.with_endpoint(url).build()?;
    let metrics = metrics.with_endpoint(url).with_temporality(Temporality::Cumulative).build()?;
    Ok((spans, metrics))
}

fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}

/// Who is trusted is only looked up where it matters: a machine without any certificate can still speak plain HTTP.
fn tls(url: &str) -> Result<ClientConfig, TelemetryError> {
    let no_roots = |cause: String| TelemetryError::NoRoots { url: url.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    if is_https(url) {
        let found = rustls_native_certs::load_native_certs();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(no_roots(errors.join("; ")));
        }
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.map_err(|error| no_roots(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The exporter bounds its retries by this, the client one attempt.
fn timeout(of_signal: &str) -> Duration {
    let given = |name: &str| std::env::var(name).ok()?.parse().ok();
    given(of_signal)
        .or_else(|| given(OTEL_EXPORTER_OTLP_TIMEOUT))
        .map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis)
}

/// What both signals need beside their exporters.
#[derive(Debug)]
struct Link {
    runtime: Option<Arc<Runtime>>,
    ledger: Arc<Ledger>,
    outage: Outage,
}

impl Link {
    /// An attempt that would begin after the end is none.
    fn in_time(&self) -> OTelSdkResult {
        if self.ledger.is_too_late() { Err(OTelSdkError::AlreadyShutdown) } else { Ok(()) }
    }

    fn wait_for<T>(&self, export: impl Future<Output = T>) -> T {
        match &self.runtime {
            None => futures_executor::block_on(export),
            Some(runtime) => runtime.block_on(export),
        }
    }
}

/// Sends spans, and counts what became of them.
#[derive(Debug)]
pub(super) struct SpanOutlet {
    way: SpanWay,
    link: Link,
}

#[derive(Debug)]
enum SpanWay {
    /// The exporter is given no spans: what it sends is the body.
    Http { exporter: SpanExporter, body: Body, encoder: Encoder },
    /// What gRPC sends can only be made by the exporter.
    Grpc { exporter: SpanExporter, scope: InstrumentationScope },
}

impl SpanOutlet {
    /// Sends them; waits for it. Not on a thread of an async runtime.
    pub(super) fn export(&mut self, spans: Vec<Span>) {
        let many = spans.len();
        let result = self.link.in_time().and_then(|()| match &mut self.way {
            SpanWay::Http { exporter, body, encoder } => {
                body.set(encoder.request(&spans));
                self.link.wait_for(exporter.export(Vec::new()))
            }
            SpanWay::Grpc { exporter, scope } => {
                let spans = spans.into_iter().map(|span| span_data(span, scope)).collect();
                self.link.wait_for(exporter.export(spans))
            }
        });
        self.link.ledger.spans_sent(many, result.is_ok());
        self.link.outage.tell(&result);
    }
}

/// Sends metrics, and counts what became of them.
pub(super) struct MetricOutlet {
    exporter: MetricExporter,
    link: Link,
}

impl MetricOutlet {
    /// Sends them; waits for it. Not on a thread of an async runtime.
    pub(super) fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.link.in_time().and_then(|()| self.link.wait_for(self.exporter.export(metrics)));
        if result.is_err() {
            self.link.ledger.points_lost(super::push::points(metrics));
        }
        self.link.outage.tell(&result);
        result
    }
}

/// Says once that a collector does not take what is sent, and once that it does again.
#[derive(Debug)]
struct Outage {
    what: &'static str,
    url: String,
    failing: AtomicBool,
}

impl Outage {
    fn tell(&self, result: &OTelSdkResult) {
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        let (what, url) = (self.what, &self.url);
        match result {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "{what} do not reach the collector at {url}; they are dropped and counted");
            }
            Ok(()) if was_failing => tracing::info!("{what} reach the collector at {url} again"),
            _ => {}
        }
    }
}
