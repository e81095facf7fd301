//! What is to be measured.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::cli::bench::generator::{KEYS_MAX, Operation};
use crate::cli::load::Distribution;
use crate::client::{Endpoint, parse_urls};
use crate::config::units::{parse_duration, parse_time_taken};

/// Arguments of `neap bench kv`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Reads and writes: the highest rate, and latencies at a steady one",
    long_about = "Reads and writes one key at a time over a number of connections, at the highest rate (each connection \
                  sends its next request when the last was answered: a closed loop) and at steady ones (requests are \
                  due whether or not earlier ones were answered, and latency counts from then: an open loop, free of \
                  coordinated omission).\n\n\
                  Makes a cluster of its own unless --url or NEAP_URL names one. Beside it, in the same run, a bare HTTP \
                  handler is measured under the same client: what no server here could exceed. Lists are combined: \
                  each number of keys with each --probe, each --commit, each operation and each --rate; reads, which \
                  no commit policy touches, are measured under the first of --commit only.\n\n\
                  With 100,000 keys and the other defaults it takes two minutes; --table takes fifteen.",
    after_help = "Examples:\n  \
                  neap bench kv\n  \
                  neap bench kv --table --json\n  \
                  neap bench kv --commit fsync --operations put:2 --rate 1000,50% --duration 30s\n  \
                  neap bench kv --operations mix:0.9:1:2 --dist uniform --value-bytes 4096\n  \
                  neap bench kv --url http://127.0.0.1:8101,http://127.0.0.1:8102 --keys 1000000\n  \
                  neap bench kv --rounds 3 --against benches/baseline.json"
)]
pub struct KvArgs {
    /// The nodes of a running cluster, comma-separated
    #[arg(long, env = "NEAP_URL", value_name = "URL")]
    url: Option<String>,
    /// All rows that are promised: 100,000 and 1,000,000 keys, with 5 % and all of the reads probed
    #[arg(long, conflicts_with_all = ["keys", "probe"])]
    table: bool,
    /// Connections, spread over the nodes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Keys, all of which are written before anything is measured
    #[arg(long, value_delimiter = ',', default_value = "100000",
          value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: Vec<u64>,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// How keys are chosen
    #[arg(long, value_enum, default_value_t = Distribution::Zipfian)]
    dist: Distribution,
    /// What is measured: get:R, put:W, and mix:SHARE:R:W, SHARE being that of the reads [default: get:1,get:2,put:2,
    /// as far as there are nodes for it]
    #[arg(long, value_delimiter = ',')]
    operations: Vec<Operation>,
    /// How fast: max, operations per second, or a percentage of the highest rate measured in this run
    #[arg(long, value_delimiter = ',', default_value = "max,50%")]
    rate: Vec<Rate>,
    /// How long each row is measured
    #[arg(long, default_value = "10s", value_parser = parse_time_taken)]
    duration: Duration,
    /// How long each row runs before it is measured
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// How often rows at the highest rate are measured, each time beside the bare handler; the one whose ratio to it is
    /// the median counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Nodes of the self-made cluster; N is 3, or 1 if that is all there are
    #[arg(long, default_value_t = 3, value_parser = parse_nodes)]
    nodes: u16,
    /// When the self-made cluster counts a write as durable
    #[arg(long, value_delimiter = ',', default_value = "interval,fsync",
          value_parser = ["fsync", "interval", "os"])]
    commit: Vec<String>,
    /// The share of reads whose staleness the self-made cluster finds out
    #[arg(long, value_delimiter = ',', default_value = "0.05", value_parser = parse_share)]
    probe: Vec<f64>,
    /// The share of operations whose traces the self-made cluster exports, to a receiver that forgets them; 0: none
    #[arg(long, default_value = "0.01", value_parser = parse_share)]
    sample: f64,
    /// Also show where the CPU time of the self-made cluster goes, by layer; needs perf(1), and a program that was built with
    /// frame pointers (`make layers` does both)
    #[arg(long)]
    layers: bool,
    /// Also write the JSON document to this file
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Compare with the document in this file, and fail where a ratio to the bare handler has fallen
    #[arg(long, value_name = "FILE")]
    pub(super) against: Option<PathBuf>,
    /// How far it may fall, as a share of what it was
    #[arg(long, default_value = "0.25", value_parser = parse_share)]
    pub(super) tolerance: f64,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "0 to 1 is accepted".to_owned())
}

fn parse_nodes(text: &str) -> Result<u16, String> {
    let nodes: Option<u16> = text.parse().ok();
    nodes.filter(|nodes| matches!(nodes, 1 | 3..=9)).ok_or_else(|| "1 or 3 to 9 are accepted".to_owned())
}

/// How fast requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as they are answered.
    Max,
    /// So many a second.
    PerSecond(f64),
    /// This part of the highest rate, in percent.
    Percent(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, up_to: f64| {
            text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= up_to)
        };
        let rate = match text.strip_suffix('%') {
            _ if text == "max" => Some(Self::Max),
            Some(percent) => number(percent, 200.0).map(Self::Percent),
            None => number(text, 10_000_000.0).map(Self::PerSecond),
        };
        rate.ok_or_else(|| {
            format!("{text:?} is not max, a number of operations per second, or a percentage to 200%")
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What is to be measured, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub target: Target,
    /// How many keys, fewest first.
    pub keys: Vec<u64>,
    /// What.
    pub operations: Vec<Operation>,
    /// How fast; the highest rate first where it is needed.
    pub rates: Vec<Rate>,
    /// How often at the highest rate.
    pub rounds: u8,
    /// Connections.
    pub connections: u16,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// How keys are chosen.
    pub dist: Distribution,
    /// How long each row is measured.
    pub duration: Duration,
    /// How long each row runs before that.
    pub warmup: Duration,
    /// Whether it is found out where CPU time goes.
    pub layers: bool,
}

/// Where it is measured.
#[derive(Debug, Clone)]
pub enum Target {
    /// A cluster that runs.
    Running(Vec<Endpoint>),
    /// One that is made for it.
    Own(Own),
}

/// A cluster that is made for it.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its nodes.
    pub nodes: u16,
    /// Its N.
    pub n: u8,
    /// Its commit policies, one after the other.
    pub commits: Vec<String>,
    /// Its shares of reads that are probed, one after the other.
    pub probes: Vec<f64>,
    /// Its share of operations that are traced.
    pub sample: f64,
}

impl KvArgs {
    /// Checks what was asked for; an error says what is wrong with it.
    pub fn plan(&self) -> Result<Plan, String> {
        let target = match self.url.as_ref().filter(|url| !url.is_empty()) {
            Some(urls) => Target::Running(parse_urls(urls).map_err(|error| error.to_string())?),
            None => Target::Own(self.own()),
        };
        if self.layers && matches!(target, Target::Running(_)) {
            return Err("--layers is for a self-made cluster: it needs --url and NEAP_URL unset".to_owned());
        }
        let mut keys = if self.table { vec![100_000, 1_000_000] } else { self.keys.clone() };
        keys.sort_unstable();
        keys.dedup();
        Ok(Plan {
            keys,
            operations: self.operations(&target)?,
            rates: self.rates(),
            target,
            rounds: self.rounds,
            connections: self.connections,
            value_bytes: self.value_bytes,
            dist: self.dist,
            duration: self.duration,
            warmup: self.warmup,
            layers: self.layers,
        })
    }

    fn own(&self) -> Own {
        Own {
            nodes: self.nodes,
            n: if self.nodes < 3 { 1 } else { 3 },
            commits: self.commit.clone(),
            probes: if self.table { vec![0.05, 1.0] } else { self.probe.clone() },
            sample: self.sample,
        }
    }

    fn operations(&self, target: &Target) -> Result<Vec<Operation>, String> {
        let n = match target {
            Target::Own(own) => own.n,
            // The cluster will refuse what is too much for it.
            Target::Running(_) => u8::MAX,
        };
        let fits = |operation: &Operation| {
            [operation.r(), operation.w()].into_iter().flatten().all(|count| (1..=n).contains(&count))
        };
        if self.operations.is_empty() {
            let all = [Operation::Get { r: 1 }, Operation::Get { r: 2 }, Operation::Put { w: n.min(2) }];
            return Ok(all.into_iter().filter(fits).collect());
        }
        match self.operations.iter().find(|operation| !fits(operation)) {
            Some(wrong) => Err(format!("--operations {wrong}: R and W from 1 to N = {n} are accepted")),
            None => Ok(self.operations.clone()),
        }
    }

    fn rates(&self) -> Vec<Rate> {
        let mut rates: Vec<_> = self.rate.iter().copied().filter(|rate| *rate != Rate::Max).collect();
        if rates.len() < self.rate.len() || rates.iter().any(|rate| matches!(rate, Rate::Percent(_))) {
            rates.insert(0, Rate::Max);
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: KvArgs,
    }

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let line = ["neap"].iter().chain(arguments);
        Line::try_parse_from(line).map_err(|error| error.to_string())?.args.plan()
    }

    #[test]
    fn a_share_of_the_highest_rate_needs_the_highest_rate() {
        let rates = |rates| plan(&["--rate", rates]).unwrap().rates;
        assert_eq!(rates("50%"), [Rate::Max, Rate::Percent(50.0)]);
        assert_eq!(rates("100,max"), [Rate::Max, Rate::PerSecond(100.0)]);
        assert_eq!(rates("100"), [Rate::PerSecond(100.0)]);
    }

    #[test]
    fn a_single_node_is_asked_for_no_more_than_one_answer() {
        assert_eq!(
            plan(&["--nodes", "1"]).unwrap().operations,
            [Operation::Get { r: 1 }, Operation::Put { w: 1 }]
        );
        let refused = plan(&["--nodes", "1", "--operations", "put:2"]).unwrap_err();
        assert!(refused.contains("put:2") && refused.contains("N = 1"), "{refused}");
    }

    #[test]
    fn what_cannot_be_measured_is_refused_by_name() {
        for (flag, value) in [
            ("--rate", "fast"),
            ("--rate", "0%"),
            ("--operations", "scan:1"),
            ("--probe", "2"),
            ("--nodes", "2"),
            ("--keys", "0"),
            ("--connections", "0"),
            ("--url", "https://h"),
        ] {
            let refused = plan(&[flag, value]).unwrap_err();
            assert!(refused.contains(value), "{flag} {value}: {refused}");
        }
    }
}
