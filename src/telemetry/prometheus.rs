//! Metrics as text that Prometheus reads: exposition format 0.0.4, by OpenTelemetry's rules of naming.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, HistogramDataPoint, Metric, MetricData, ResourceMetrics,
};

/// What the text is, for `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all metrics, in the order of their names.
#[must_use]
pub fn render(metrics: &ResourceMetrics) -> String {
    let mut families = BTreeMap::new();
    for scope in metrics.scope_metrics() {
        for metric in scope.metrics() {
            let family = Family::of(metric);
            let known = families.entry(family.name.clone()).or_insert(family);
            known.take(scope.scope(), metric);
        }
    }
    let mut text = target_info(metrics);
    for family in families.into_values() {
        family.render(&mut text);
    }
    text
}

/// The resource has no place of its own in the format, so it is a metric.
fn target_info(metrics: &ResourceMetrics) -> String {
    let resource = metrics.resource().iter().map(|(key, value)| (key.as_str(), value.as_str().into_owned()));
    let labels = Labels::of(resource.map(|(key, value)| (key.to_owned(), value)));
    let mut text = String::new();
    header(&mut text, "target_info", "What is measured.", "gauge");
    sample(&mut text, "target_info", &labels, None, "1");
    text
}

/// What shares a name.
struct Family {
    name: String,
    help: String,
    kind: &'static str,
    samples: BTreeMap<Labels, Sample>,
}

enum Sample {
    Number(String),
    Histogram { buckets: Vec<(String, u64)>, sum: String, count: u64 },
}

impl Family {
    fn of(metric: &Metric) -> Self {
        let kind = match metric.data() {
            AggregatedMetrics::F64(data) => kind(data),
            AggregatedMetrics::U64(data) => kind(data),
            AggregatedMetrics::I64(data) => kind(data),
        };
        let name = full_name(metric.name(), metric.unit(), kind);
        Self { name, help: metric.description().to_owned(), kind, samples: BTreeMap::new() }
    }

    fn take(&mut self, scope: &InstrumentationScope, metric: &Metric) {
        match metric.data() {
            AggregatedMetrics::F64(data) => self.points(scope, data),
            AggregatedMetrics::U64(data) => self.points(scope, data),
            AggregatedMetrics::I64(data) => self.points(scope, data),
        }
    }

    fn points<T: Number>(&mut self, scope: &InstrumentationScope, data: &MetricData<T>) {
        let samples = &mut self.samples;
        let mut number = |attributes: Labels, value: T| {
            samples.insert(attributes, Sample::Number(value.text()));
        };
        match data {
            MetricData::Gauge(gauge) => {
                gauge
                    .data_points()
                    .for_each(|point| number(labels(scope, point.attributes()), point.value()));
            }
            MetricData::Sum(sum) => {
                sum.data_points().for_each(|point| number(labels(scope, point.attributes()), point.value()));
            }
            MetricData::Histogram(histogram) => {
                for point in histogram.data_points() {
                    samples.insert(labels(scope, point.attributes()), histogram_sample(point));
                }
            }
            // No instrument here makes one, and the format has no word for it.
            MetricData::ExponentialHistogram(_) => {}
        }
    }

    fn render(&self, text: &mut String) {
        header(text, &self.name, &self.help, self.kind);
        for (labels, of) in &self.samples {
            match of {
                Sample::Number(value) => sample(text, &self.name, labels, None, value),
                Sample::Histogram { buckets, sum, count } => {
                    let bucket = format!("{}_bucket", self.name);
                    for (le, below) in buckets {
                        sample(text, &bucket, labels, Some(le), &below.to_string());
                    }
                    sample(text, &format!("{}_sum", self.name), labels, None, sum);
                    sample(text, &format!("{}_count", self.name), labels, None, &count.to_string());
                }
            }
        }
    }
}

fn kind<T>(data: &MetricData<T>) -> &'static str {
    match data {
        MetricData::Sum(sum) if sum.is_monotonic() => "counter",
        MetricData::Sum(_) | MetricData::Gauge(_) => "gauge",
        MetricData::Histogram(_) | MetricData::ExponentialHistogram(_) => "histogram",
    }
}

/// Buckets of this format count everything up to their bound; those of OpenTelemetry only what is in them.
fn histogram_sample<T: Number>(point: &HistogramDataPoint<T>) -> Sample {
    let mut below = 0;
    let bounds = point.bounds().chain([f64::INFINITY]);
    let buckets = bounds
        .zip(point.bucket_counts())
        .map(|(bound, many)| {
            below += many;
            (bound.text(), below)
        })
        .collect();
    Sample::Histogram { buckets, sum: point.sum().text(), count: point.count() }
}

/// A metric's name with its unit, and `_total` if it only rises.
fn full_name(name: &str, unit: &str, kind: &str) -> String {
    let mut full = sanitized(name, true);
    let unit = match unit {
        "s" => "seconds",
        "ms" => "milliseconds",
        "By" => "bytes",
        "By/s" => "bytes_per_second",
        "1" if kind == "gauge" => "ratio",
        // Annotations in braces are no units.
        _ => "",
    };
    let counter = if kind == "counter" { "total" } else { "" };
    for suffix in [unit, counter] {
        let has = full.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('_'));
        if !suffix.is_empty() && !has {
            full.push('_');
            full.push_str(suffix);
        }
    }
    full
}

/// With everything that a name may not hold replaced; only names of metrics may hold colons.
fn sanitized(name: &str, colons: bool) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let mut clean: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) || clean.is_empty() {
        clean.insert(0, '_');
    }
    clean
}

/// Labels by name, with their values.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Keys that become the same name share a label, their values joined in the order of the keys.
    fn of(attributes: impl Iterator<Item = (String, String)>) -> Self {
        let sorted: BTreeMap<String, String> = attributes.collect();
        let mut labels = BTreeMap::<String, String>::new();
        for (key, value) in sorted {
            labels
                .entry(sanitized(&key, false))
                .and_modify(|joined| {
                    joined.push(';');
                    joined.push_str(&value);
                })
                .or_insert(value);
        }
        Self(labels)
    }
}

fn labels<'a>(scope: &InstrumentationScope, attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let scope = [("otel_scope_name", Some(scope.name())), ("otel_scope_version", scope.version())];
    let scope = scope.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    let own = attributes.map(|of| (of.key.as_str().to_owned(), of.value.as_str().into_owned()));
    Labels::of(scope.chain(own))
}

fn header(text: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &Labels, le: Option<&str>, value: &str) {
    text.push_str(name);
    let le = le.map(|le| ("le", le));
    let all = labels.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(le);
    let mut separator = '{';
    for (key, value) in all {
        let _ = write!(text, "{separator}{key}=\"{}\"", escaped(value));
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

trait Number: Copy {
    fn text(self) -> String;
}

impl Number for f64 {
    fn text(self) -> String {
        if self == Self::INFINITY {
            "+Inf".to_owned()
        } else if self == Self::NEG_INFINITY {
            "-Inf".to_owned()
        } else {
            self.to_string()
        }
    }
}

impl Number for u64 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Number for i64 {
    fn text(self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_its_unit_and_total_once() {
        assert_eq!(full_name("neap.reads", "", "counter"), "neap_reads_total");
        assert_eq!(full_name("neap.read.exposure", "s", "histogram"), "neap_read_exposure_seconds");
        assert_eq!(full_name("neap.repair.bytes", "By", "counter"), "neap_repair_bytes_total");
        assert_eq!(full_name("up.total", "{read}", "counter"), "up_total");
        assert_eq!(full_name("share", "1", "gauge"), "share_ratio");
        assert_eq!(full_name("0day/x", "", "gauge"), "_0day_x");
        assert_eq!(full_name("seconds", "s", "gauge"), "seconds_seconds");
    }

    #[test]
    fn keys_that_become_one_label_join_their_values() {
        let labels = Labels::of([("a.b", "2"), ("a-b", "1")].map(|(k, v)| (k.into(), v.into())).into_iter());
        assert_eq!(labels.0, BTreeMap::from([("a_b".to_owned(), "1;2".to_owned())]));
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }

    #[test]
    fn numbers_are_written_as_the_format_wants_them() {
        let texts = [0.0, 0.001, 3_600.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(Number::text);
        assert_eq!(texts, ["0", "0.001", "3600", "+Inf", "-Inf", "NaN"]);
    }
}
