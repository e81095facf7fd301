//! One row of what was measured.

use serde_json::{Value, json};

use super::layers::Split;
use super::rounded;
use crate::cli::bench::generator::{Failure, Load, Operation, Pace, Tally};

/// What a row was measured of.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What was asked.
    pub operation: Operation,
    /// The bucket's N.
    pub n: u8,
    /// When a write counts as durable, if that is known.
    pub commit: Option<String>,
    /// The share of reads that are probed, if that is known.
    pub probe: Option<f64>,
}

/// What was measured.
pub struct Row {
    /// Of what.
    pub setting: Setting,
    /// How fast requests were sent.
    pub pace: Pace,
    /// What came of them.
    pub tally: Tally,
    /// Where the nodes' CPU time went, if it was found out.
    pub layers: Option<Split>,
    /// How many writes each sync made durable, while every acknowledged write was synced first.
    pub writes_per_sync: Option<f64>,
    /// The bare handler's rate, measured beside it.
    pub ceiling: Option<f64>,
}

impl Row {
    /// Its part of the ceiling.
    pub fn ratio(&self) -> Option<f64> {
        self.ceiling.map(|ceiling| self.tally.ops_per_s() / ceiling)
    }

    /// CPU time of all nodes for each answer, in microseconds.
    fn node_cpu_us(&self) -> Option<f64> {
        let spent = self.tally.spent.nodes?.as_secs_f64();
        (self.tally.answered > 0).then(|| spent * 1e6 / self.tally.answered as f64)
    }

    /// As it is promised, and more.
    pub fn json(&self, load: &Load) -> Value {
        let Self { setting, tally, .. } = self;
        let ms = |quantile| tally.latencies.quantile_ms(quantile).map(|ms| rounded(ms, 3));
        let errors: serde_json::Map<_, _> =
            tally.errors.iter().map(|(failure, many)| (name(*failure), json!(many))).collect();
        let (pace, rate) = match self.pace {
            Pace::Closed => ("closed", None),
            Pace::Open(rate) => ("open", Some(rounded(rate, 0))),
        };
        json!({
            "operation": setting.operation.name(),
            "n": setting.n, "r": setting.operation.r(), "w": setting.operation.w(),
            "read_share": setting.operation.reads(),
            "commit": setting.commit, "connections": load.connections, "value_bytes": load.value_bytes,
            "keys": load.keys, "probe": setting.probe, "nodes": load.nodes.len(),
            "loop": pace, "rate": rate,
            "ops_per_s": rounded(tally.ops_per_s(), 0),
            "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999),
            "max_ms": tally.latencies.max_ms().map(|ms| rounded(ms, 3)),
            "errors": tally.failed(), "error_kinds": errors,
            "writes_per_sync": self.writes_per_sync.map(|writes| rounded(writes, 1)),
            "node_cpu_us_per_op": self.node_cpu_us().map(|us| rounded(us, 1)),
            "cpu_us_by_layer": self.layers.as_ref().zip(self.node_cpu_us()).map(|(split, us)| split.share_out(us)),
            "generator_cpu_share": tally.spent.generator_share().map(|share| rounded(share, 3)),
            "ratio_to_ceiling": self.ratio().map(|ratio| rounded(ratio, 4)),
        })
    }
}

fn name(failure: Failure) -> String {
    match failure {
        Failure::Status(status) => format!("status_{status}"),
        Failure::Broken => "broken".to_owned(),
        Failure::TimedOut => "timed_out".to_owned(),
        Failure::NotSent => "not_sent".to_owned(),
    }
}
