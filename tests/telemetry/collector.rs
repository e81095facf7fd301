//! A collector that keeps what it is sent, over HTTP or gRPC, or misbehaves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// How a collector takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It keeps it.
    Keep,
    /// It says that it is overloaded.
    Refuse,
    /// It reads it and never answers.
    Silent,
}

/// What was kept.
#[derive(Debug, Default)]
pub struct Kept {
    pub resources: Vec<Resource>,
    pub scopes: Vec<String>,
    pub spans: Vec<Span>,
    /// The spans as they came, with what they are of.
    pub requests: Vec<ExportTraceServiceRequest>,
    /// Of the last export.
    pub metrics: Vec<Metric>,
    pub pushes: usize,
    /// Header lines, in lower case.
    pub headers: Vec<String>,
}

/// A collector on a thread of its own, until the test process ends.
pub struct Collector {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub fn http(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::<Mutex<Kept>>::default();
        let keeping = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let keeping = Arc::clone(&keeping);
                // A client that goes away in the middle is no fault.
                std::thread::spawn(move || serve(stream.unwrap(), manner, &keeping).unwrap_or_default());
            }
        });
        Self { url, kept }
    }

    pub fn grpc(manner: Manner) -> Self {
        let kept = Arc::<Mutex<Kept>>::default();
        let service = Service { manner, kept: Arc::clone(&kept) };
        let (tells, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tells.send(listener.local_addr().unwrap()).unwrap();
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(service.clone()))
                    .add_service(MetricsServiceServer::new(service))
                    .serve_with_incoming(incoming)
                    .await
                    .unwrap();
            });
        });
        Self { url: format!("http://{}", told.recv().unwrap()), kept }
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Kept {
    fn take_spans(&mut self, request: ExportTraceServiceRequest) {
        self.requests.push(request.clone());
        for of_resource in request.resource_spans {
            self.resources.extend(of_resource.resource);
            for of_scope in of_resource.scope_spans {
                self.scopes.extend(of_scope.scope.map(|scope| scope.name));
                self.spans.extend(of_scope.spans);
            }
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        self.pushes += 1;
        self.metrics.clear();
        for of_resource in request.resource_metrics {
            self.resources.extend(of_resource.resource);
            for of_scope in of_resource.scope_metrics {
                self.scopes.extend(of_scope.scope.map(|scope| scope.name));
                self.metrics.extend(of_scope.metrics);
            }
        }
    }
}

/// One connection of HTTP/1.1, as far as an exporter speaks it.
fn serve(stream: TcpStream, manner: Manner, kept: &Mutex<Kept>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_lowercase());
        }
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body)?;
        match manner {
            Manner::Silent => continue,
            Manner::Refuse => {
                writer.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            Manner::Keep => {}
        }
        {
            if lines.iter().any(|line| line == "content-encoding: gzip") {
                let zipped = std::mem::take(&mut body);
                flate2::read::GzDecoder::new(&*zipped).read_to_end(&mut body).unwrap();
            }
            let mut kept = kept.lock().unwrap();
            match lines[0].as_str() {
                "post /v1/traces http/1.1" => kept.take_spans(Message::decode(&*body).unwrap()),
                "post /v1/metrics http/1.1" => kept.take_metrics(Message::decode(&*body).unwrap()),
                other => panic!("{other}"),
            }
            kept.headers.extend(lines);
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[derive(Clone)]
struct Service {
    manner: Manner,
    kept: Arc<Mutex<Kept>>,
}

impl Service {
    async fn answer(&self) -> Result<MutexGuard<'_, Kept>, tonic::Status> {
        match self.manner {
            Manner::Keep => Ok(self.kept.lock().unwrap()),
            Manner::Refuse => Err(tonic::Status::unavailable("overloaded")),
            Manner::Silent => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.answer().await?.take_spans(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.answer().await?.take_metrics(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}
