//! The text that Prometheus reads.

use std::io::Write as _;
use std::process::{Command, Stdio};

use neap::protocol::sli::{Observation, OperationOutcome};
use neap::telemetry::{Metrics, Telemetry};
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::{config, identity, instruments, read, write};
use neap::config::OtlpProtocol;

const GOLDEN: &str = r##"# HELP target_info What is measured.
# TYPE target_info gauge
target_info{neap_zone="a \"quoted\" zone",service_name="neap"} 1
# HELP tide_depth_bytes A gauge: \\ and \n are escaped.
# TYPE tide_depth_bytes gauge
tide_depth_bytes{otel_scope_name="neap",otel_scope_version="VERSION",place="C:\\sea\n\"low\""} -1.5
# HELP tide_turns_total A counter.
# TYPE tide_turns_total counter
tide_turns_total{moon="full",otel_scope_name="neap",otel_scope_version="VERSION"} 7
tide_turns_total{otel_scope_name="neap",otel_scope_version="VERSION"} 2
# HELP tide_wait_seconds A histogram.
# TYPE tide_wait_seconds histogram
tide_wait_seconds_bucket{otel_scope_name="neap",otel_scope_version="VERSION",le="0"} 1
tide_wait_seconds_bucket{otel_scope_name="neap",otel_scope_version="VERSION",le="0.5"} 3
tide_wait_seconds_bucket{otel_scope_name="neap",otel_scope_version="VERSION",le="+Inf"} 4
tide_wait_seconds_sum{otel_scope_name="neap",otel_scope_version="VERSION"} 8.75
tide_wait_seconds_count{otel_scope_name="neap",otel_scope_version="VERSION"} 4
"##;

#[test]
fn metrics_are_rendered_to_the_letter() {
    let resource = [("service.name", "neap"), ("neap.zone", "a \"quoted\" zone")]
        .map(|(key, value)| KeyValue::new(key, value));
    let metrics = Metrics::new(Resource::builder_empty().with_attributes(resource).build());
    let meter = metrics.meter();
    let turns = meter.u64_counter("tide.turns").with_unit("{turn}").with_description("A counter.").build();
    turns.add(2, &[]);
    turns.add(7, &[KeyValue::new("moon", "full")]);
    let wait = meter.f64_histogram("tide.wait").with_unit("s").with_description("A histogram.");
    let wait = wait.with_boundaries(vec![0.0, 0.5]).build();
    [0.0, 0.25, 0.5, 8.0].into_iter().for_each(|seconds| wait.record(seconds, &[]));
    let depth = meter.f64_gauge("tide.depth").with_unit("By");
    let depth = depth.with_description("A gauge: \\ and \n are escaped.").build();
    depth.record(-1.5, &[KeyValue::new("place", "C:\\sea\n\"low\"")]);

    let expected = GOLDEN.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(metrics.prometheus(), expected);
    assert_eq!(metrics.prometheus(), expected, "a second look differs");
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let telemetry = Telemetry::start(&config(None, OtlpProtocol::HttpProtobuf), &identity()).unwrap();
    let mut instruments = instruments(&telemetry);
    instruments.take(&read(2, false));
    instruments.take(&Observation::Write(write(OperationOutcome::Ok, &["n2"])));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        println!("skipped: no promtool in PATH");
        return;
    };
    promtool.stdin.take().unwrap().write_all(telemetry.metrics().prometheus().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
