//! What a person sees of the demo.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::Event;
use super::ledger::{Ledger, Window};
use super::staleness::Staleness;
use super::verdict::Verdict;
use super::workload::BUCKET;
use crate::cli::processes::LocalCluster;

/// Rows between two headers.
const ROWS_A_HEADER: u32 = 15;

/// The live table. With `--json` it goes to standard error, so that standard output holds the document alone.
pub struct Show {
    json: bool,
    silent: bool,
    colour: bool,
    rows: u32,
}

impl Show {
    /// Nothing was shown yet.
    pub fn new(json: bool) -> Self {
        let watched = if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        Self { json, silent: json && !watched, colour: watched, rows: 0 }
    }

    /// Says one line.
    pub fn say(&mut self, line: &str) {
        if self.silent {
            return;
        }
        // A reader that went away misses the rest; the verdict still counts.
        let _ = if self.json {
            writeln!(std::io::stderr(), "{line}")
        } else {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush())
        };
    }

    fn bold(&self, line: &str) -> String {
        if self.colour { format!("\x1b[1m{line}\x1b[0m") } else { line.to_owned() }
    }

    /// Where everything is, and what to try meanwhile.
    pub fn introduce(&mut self, cluster: &LocalCluster, keep: Option<&Path>) {
        self.say("");
        for node in cluster.nodes() {
            self.say(&format!("  {}  http://127.0.0.1:{}", node.name, node.http_port));
        }
        if let Some(keep) = keep {
            self.say(&format!("  data, configurations and logs are kept in {}", keep.display()));
        }
        if let Some(node) = cluster.nodes().first() {
            self.say("\nmeanwhile, in another terminal:");
            self.say(&format!("  curl -i http://127.0.0.1:{}/v1/kv/{BUCKET}/key-00000007", node.http_port));
            self.say(&format!("  NEAP_URL=http://127.0.0.1:{} neap ring", node.http_port));
        }
        self.say("\nlagging: replicas that had not yet acknowledged a write when its client was answered, on average;");
        self.say("every write is on 2 of its 3 replicas by then.\n");
    }

    /// A row of the table.
    pub fn row(&mut self, at: Duration, phase: &str, ledger: &Ledger, cluster: &LocalCluster) {
        if self.rows.is_multiple_of(ROWS_A_HEADER) {
            let header = format!(
                "{:>6}  {:>11}  {:>8}  {:>8}  {:>8}  {:>7}  {:>7}  {:>5}",
                "time", "read/write", "ops/s", "p50 ms", "p99 ms", "lagging", "errors", "up"
            );
            let header = self.bold(&header);
            self.say(&header);
        }
        self.rows += 1;
        let (Window { operations, errors, lagging, acked }, p50, p99) = ledger.take_window();
        let lagging = if acked == 0 { 0.0 } else { lagging as f64 / acked as f64 };
        let all = cluster.nodes().len();
        let up = (0..all).filter(|at| cluster.runs(*at)).count();
        self.say(&format!(
            "{:>5}s  {phase:>11}  {operations:>8}  {p50:>8.2}  {p99:>8.2}  {lagging:>7.2}  {errors:>7}  {:>5}",
            at.as_secs(),
            format!("{up}/{all}")
        ));
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        let node = event.node.as_ref().map_or_else(String::new, |node| format!("{node} "));
        let line = self.bold(&format!("{:>5}s  ==> {node}{}", event.at.as_secs(), event.what));
        self.say(&line);
    }
}

/// The end of the story.
pub fn summary(ledger: &Ledger, verdict: &Verdict, staleness: &Staleness, took: Duration) -> String {
    let (reads, writes, acked, errors) = ledger.totals();
    let rate = (reads + writes) as f64 / took.as_secs_f64();
    let ms = |quantile| ledger.quantile_ms(quantile).unwrap_or_default();
    let mut text = format!(
        "\n{reads} reads and {writes} writes in {:.0} s ({rate:.0}/s), p50 {:.2} ms, p99 {:.2} ms, {errors} errors\n",
        took.as_secs_f64(),
        ms(0.5),
        ms(0.99)
    );
    text.push_str(&format!(
        "{acked} writes of {} keys were acknowledged; lost: {}\n",
        verdict.keys, verdict.lost
    ));
    if let Some((low, high)) = staleness.stale_read_rate {
        text.push_str(&format!(
            "stale reads, as the nodes tell: {:.3} % to {:.3} %\n",
            low * 100.0,
            high * 100.0
        ));
    }
    if let Some(p999) = staleness.convergence_p999_s {
        text.push_str(&format!(
            "convergence of writes: P99.9 {p999:.3} s; {} writes are not known to have reached every home\n",
            staleness.unconverged
        ));
    }
    text.push_str(
        "replicas that lacked the last acknowledged write of a key, before the check repaired them:\n",
    );
    for (node, replica) in &verdict.replicas {
        let share = format!("{} of {} keys", replica.lacking, replica.keys);
        text.push_str(&format!("  {node}  {share}\n"));
    }
    let lacking = verdict.replicas.values().any(|replica| replica.lacking > 0);
    if lacking {
        text.push_str(
            "(a node that was down missed writes; until hinted handoff and Merkle repair are built, reads repair the \
             keys they touch)\n",
        );
    }
    text
}
