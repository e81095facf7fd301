//! The standard variables, in processes of their own: variables of this one are every test's.

use std::process::Command;
use std::time::{Duration, Instant};

use neap::config::OtlpProtocol;
use neap::telemetry::Telemetry;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::collector::{Collector, Manner};
use super::{BOTH, collector, config, identity, instruments, spans};

const URL: &str = "NEAP_TEST_COLLECTOR";
const GRPC: &str = "NEAP_TEST_GRPC";

/// Not a test of its own: what the others run with variables set.
#[test]
fn a_node_in_a_process_of_its_own() {
    let Ok(url) = std::env::var(URL) else { return };
    let protocol = BOTH[usize::from(std::env::var(GRPC).is_ok())];
    let mut config = config(Some(&url), protocol);
    if let Ok(name) = std::env::var("NEAP_TEST_SERVICE") {
        config.service_name = name;
    }
    let telemetry = Telemetry::start(&config, &identity()).unwrap();
    let _instruments = instruments(&telemetry);
    telemetry.spans().take(Box::new(spans(5)));
    std::thread::sleep(Duration::from_millis(300));
    if std::env::var("NEAP_TEST_EARLY").is_ok() {
        let began = Instant::now();
        while telemetry.spans().counts().0 < 5 {
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", telemetry.spans().counts());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let report = telemetry.shutdown(Duration::from_secs(20));
    assert_eq!((report.spans_delivered, report.metrics_delivered), (5, true));
}

fn run(collector: &Collector, protocol: OtlpProtocol, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "telemetry::environment::a_node_in_a_process_of_its_own"]);
    command.env(URL, &collector.url).envs(variables.iter().copied());
    if protocol == OtlpProtocol::Grpc {
        command.env(GRPC, "yes");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn resource(collector: &Collector, key: &str) -> Option<String> {
    let kept = collector.kept();
    let found = kept.resources.first()?.attributes.iter().find(|of| of.key == key)?.clone();
    match found.value?.value? {
        Value::StringValue(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn standard_variables_add_to_the_resource_and_the_configuration_wins() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        let given = "deployment.environment.name=test,service.instance.id=other,service.name=by-list";
        run(&collector, protocol, &[("OTEL_RESOURCE_ATTRIBUTES", given)]);
        assert_eq!(resource(&collector, "deployment.environment.name").as_deref(), Some("test"));
        assert_eq!(resource(&collector, "service.instance.id").as_deref(), Some("n1"));
        assert_eq!(resource(&collector, "service.name").as_deref(), Some("by-list"));
    }
    let collector = Collector::http(Manner::Keep);
    let given = [("OTEL_SERVICE_NAME", "by-variable"), ("NEAP_TEST_SERVICE", "by-configuration")];
    run(&collector, OtlpProtocol::HttpProtobuf, &given[..1]);
    assert_eq!(resource(&collector, "service.name").as_deref(), Some("by-variable"));
    collector.kept().resources.clear();
    run(&collector, OtlpProtocol::HttpProtobuf, &given);
    assert_eq!(resource(&collector, "service.name").as_deref(), Some("by-configuration"));
}

#[test]
fn standard_variables_set_headers_compression_and_the_interval() {
    let collector = Collector::http(Manner::Keep);
    let interval = ("OTEL_METRIC_EXPORT_INTERVAL", "50");
    run(&collector, OtlpProtocol::HttpProtobuf, &[interval]);
    assert!(collector.kept().pushes > 2, "{} pushes in 300 ms", collector.kept().pushes);
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven");
    let gzip = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    collector.kept().spans.clear();
    run(&collector, OtlpProtocol::HttpProtobuf, &[headers, gzip]);
    assert_eq!(collector.kept().spans.len(), 5);
    for expected in ["x-tenant: seven", "content-encoding: gzip"] {
        assert!(collector.kept().headers.iter().any(|line| line == expected), "{expected}");
    }
}

#[test]
fn standard_variables_set_how_large_batches_of_spans_are_and_how_long_they_wait() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        run(&collector, protocol, &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")]);
        let of_request = |request: &ExportTraceServiceRequest| {
            request
                .resource_spans
                .iter()
                .flat_map(|of| &of.scope_spans)
                .map(|of| of.spans.len())
                .sum::<usize>()
        };
        let sizes: Vec<usize> = collector.kept().requests.iter().map(of_request).collect();
        assert_eq!(sizes, [2, 2, 1], "{protocol:?}");
    }
    // Else they would wait for five seconds, longer than the node gives them.
    let collector = Collector::http(Manner::Keep);
    let early = [("OTEL_BSP_SCHEDULE_DELAY", "20"), ("NEAP_TEST_EARLY", "yes")];
    run(&collector, OtlpProtocol::HttpProtobuf, &early);
}

#[test]
fn a_collector_elsewhere_in_a_standard_variable_is_not_the_one_that_is_told() {
    let (collector, other) = (Collector::http(Manner::Keep), Collector::http(Manner::Keep));
    run(&collector, OtlpProtocol::HttpProtobuf, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &other.url)]);
    assert_eq!((collector.kept().spans.len(), other.kept().spans.len()), (5, 0));
}
