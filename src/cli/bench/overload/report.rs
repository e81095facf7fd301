//! What was measured of an overload, and what it is held to.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NODES, OverloadArgs};
use crate::cli::bench::generator::Tally;
use crate::cli::bench::target::{self, Target};
use crate::cli::table::Table;

const MIB: f64 = 1024.0 * 1024.0;
/// Within what refusals are to come, in milliseconds.
const REFUSED_MS: f64 = 50.0;
/// How much longer than in an unloaded cluster accepted requests may take.
const ACCEPTED_TIMES: f64 = 10.0;
/// Within what all is to be as before, in seconds.
const RECOVERY_S: f64 = 5.0;
/// The most memory that a node may take: what it may with a million keys. In MiB.
const MOST_MIB: f64 = 400.0;
/// What was measured.
pub struct Measured {
    /// How many connections the overload had.
    pub connections: u16,
    /// What came of requests before.
    pub unloaded: Tally,
    /// What came of them in the overload.
    pub overloaded: Tally,
    /// How long it took afterwards until all was as before; none if it took too long.
    pub recovery: Option<Duration>,
    /// The memory of all nodes, in bytes, each second.
    pub resident: Vec<Vec<u64>>,
}

impl Measured {
    /// What it is held to.
    pub fn targets(&self) -> Vec<Target> {
        let p99 = |tally: &Tally| tally.latencies.quantile_ms(0.99);
        let times = p99(&self.overloaded).zip(p99(&self.unloaded)).map(|(now, before)| now / before);
        vec![
            Target::new("refused p99 ms", self.overloaded.refused.quantile_ms(0.99), REFUSED_MS),
            Target::new("accepted p99, times the unloaded", times, ACCEPTED_TIMES),
            Target::new("recovery s", self.recovery.map(|recovery| recovery.as_secs_f64()), RECOVERY_S),
            Target::new("memory of a node MiB", self.most_mib(), MOST_MIB),
        ]
    }

    fn most_mib(&self) -> Option<f64> {
        self.resident.iter().flatten().max().map(|bytes| *bytes as f64 / MIB)
    }

    /// How much more the second half of the overload took than the first, of the node that grew the most: what fills up
    /// to a bound grows in a short run, and no more in a long one.
    fn growth_mib(&self) -> Option<f64> {
        let (first, second) = self.resident.split_at(self.resident.len() / 2);
        let nodes = 0..self.resident.first()?.len();
        let most =
            |half: &[Vec<u64>], node: usize| half.iter().filter_map(|all| all.get(node)).max().copied();
        let growth =
            nodes.filter_map(|node| Some((most(second, node)? as f64 - most(first, node)? as f64) / MIB));
        growth.reduce(f64::max)
    }

    fn refused(&self) -> u64 {
        self.overloaded.refused.count()
    }

    /// Of a core. Near 1 the generator itself makes requests wait, and latencies are too high.
    fn generator_cores(&self) -> Option<f64> {
        let spent = self.overloaded.spent.generator?.as_secs_f64();
        Some((spent / self.overloaded.measured.as_secs_f64() * 100.0).round() / 100.0)
    }

    /// For programs.
    pub fn json(&self, args: &OverloadArgs, targets: &[Target]) -> Value {
        let latencies = |tally: &Tally| {
            json!({
                "per_s": tally.ops_per_s().round(), "p50_ms": tally.latencies.quantile_ms(0.5),
                "p99_ms": tally.latencies.quantile_ms(0.99), "max_ms": tally.latencies.max_ms(),
            })
        };
        let refused = &self.overloaded.refused;
        let seconds = self.overloaded.measured.as_secs_f64();
        let resident = self.resident.iter().enumerate();
        let resident: Vec<_> =
            resident.map(|(at_s, bytes)| json!({ "at_s": at_s, "bytes": bytes })).collect();
        json!({
            "operation": args.operation.to_string(), "nodes": NODES, "commit": args.commit,
            "in_flight": args.in_flight, "connections": self.connections, "duration_s": seconds,
            "unloaded": latencies(&self.unloaded), "accepted": latencies(&self.overloaded),
            "refused": {
                "per_s": (self.refused() as f64 / seconds).round(), "p50_ms": refused.quantile_ms(0.5),
                "p99_ms": refused.quantile_ms(0.99), "max_ms": refused.max_ms(),
            },
            "failed_otherwise": self.overloaded.failed().saturating_sub(self.refused()),
            "recovery_s": self.recovery.map(|recovery| recovery.as_secs_f64()),
            "generator_cores": self.generator_cores(),
            "growth_in_second_half_mib": self.growth_mib().map(|mib| (mib * 10.0).round() / 10.0),
            "resident": resident,
            "targets": targets.iter().map(Target::json).collect::<Vec<_>>(),
        })
    }

    /// For a person.
    pub fn render(&self, args: &OverloadArgs, targets: &[Target]) -> String {
        let seconds = self.overloaded.measured.as_secs_f64();
        let mut table = Table::new(["requests", "per second", "p50 ms", "p99 ms", "max ms"]);
        let rows = [
            ("unloaded", self.unloaded.ops_per_s(), &self.unloaded.latencies),
            ("accepted", self.overloaded.ops_per_s(), &self.overloaded.latencies),
            ("refused", self.refused() as f64 / seconds, &self.overloaded.refused),
        ];
        for (name, rate, latencies) in rows {
            let ms = [latencies.quantile_ms(0.5), latencies.quantile_ms(0.99), latencies.max_ms()];
            let mut cells = vec![name.to_owned(), format!("{rate:.0}")];
            cells.extend(ms.map(|ms| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"))));
            table.row(cells);
        }
        let mut memory = Table::new(["memory MiB", "first", "middle", "last", "most"]);
        for node in 0..usize::from(NODES) {
            let of: Vec<u64> = self.resident.iter().filter_map(|all| all.get(node).copied()).collect();
            let shown = [of.first(), of.get(of.len() / 2), of.last(), of.iter().max()];
            let mut cells = vec![format!("n{}", node + 1)];
            cells.extend(shown.map(|bytes| {
                bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", *bytes as f64 / MIB))
            }));
            memory.row(cells);
        }
        format!(
            "{} connections for {} permits, {seconds:.0} s of {}, commit {}; {} failed otherwise; \
             the client took {} of a core\n\n{}\n{}\n{}",
            self.connections,
            NODES * args.in_flight,
            args.operation,
            args.commit,
            self.overloaded.failed().saturating_sub(self.refused()),
            self.generator_cores().map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}")),
            table.render(),
            memory.render(),
            target::render(targets)
        )
    }
}
