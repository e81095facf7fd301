//! What was measured, as a person reads it.

use serde_json::Value;

use super::layers::Layer;
use super::row::{Row, Setting};
use crate::cli::bench::generator::{Operation, Pace};
use crate::cli::table::Table;

/// A row, while it is measured.
pub fn setting(setting: &Setting, pace: Pace) -> String {
    let mut text = match setting.operation {
        Operation::Get { r } => format!("get R={r}"),
        Operation::Put { w } => format!("put W={w}"),
        Operation::Mix { reads, r, w } => format!("mix {:.0} % get R={r}, put W={w}", reads * 100.0),
    };
    if let Some(commit) = &setting.commit {
        text.push_str(&format!(", {commit}"));
    }
    if let Some(probe) = setting.probe {
        text.push_str(&format!(", probe {probe}"));
    }
    match pace {
        Pace::Closed => text.push_str(", highest rate"),
        Pace::Open(rate) => text.push_str(&format!(", {} a second", grouped(rate))),
    }
    text
}

/// A row, as soon as it was measured.
pub fn remark(row: &Row) -> String {
    let ms = |quantile| row.tally.latencies.quantile_ms(quantile).map_or("-".to_owned(), figure);
    let rate = grouped(row.tally.ops_per_s());
    let what = setting(&row.setting, row.pace);
    format!("{what}: {rate}/s, p50 {} ms, p99 {} ms, {} errors", ms(0.5), ms(0.99), row.tally.failed())
}

/// All rows: those of the same keys and settings under one heading.
pub fn render(document: &Value) -> String {
    let rows: &[Value] = document["rows"].as_array().map_or(&[], Vec::as_slice);
    let mut text = String::new();
    for group in rows.chunk_by(|a, b| heading(a) == heading(b)) {
        let mut table = Table::new([
            "operation",
            "loop",
            "ops/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "errors",
            "writes/sync",
            "node CPU us/op",
            "client CPU %",
            "of bare",
        ]);
        for row in group {
            table.row(cells(row));
        }
        if let Some(row) = group.first() {
            text.push_str(&heading(row));
            text.push('\n');
        }
        text.extend(table.render().lines().map(|line| format!("  {line}\n")));
        text.push('\n');
    }
    text.push_str(&layers(rows));
    let ceiling = document.pointer("/ceiling/ops_per_s").and_then(Value::as_f64).map_or_else(none, grouped);
    let best = document["ratio_to_ceiling"].as_f64().map_or_else(none, figure);
    text.push_str(&format!(
        "bare: a handler that does nothing, under the same client: {ceiling}/s; the best get R=1 is {best} of it\n"
    ));
    if let Some(half) = document.pointer("/ceiling/half").filter(|half| !half.is_null()) {
        let ms = |name: &str| half[name].as_f64().map_or_else(none, figure);
        text.push_str(&format!(
            "bare at half of that: p50 {} ms, p99 {} ms, p99.9 {} ms: what this machine and the client take themselves\n",
            ms("p50_ms"), ms("p99_ms"), ms("p999_ms"),
        ));
    }
    text.push_str(
        "loop: closed, each connection sends when it was answered; open, at a steady rate, latency from when it was due\n",
    );
    text
}

/// Where CPU time went, of the rows of which that was found out.
fn layers(rows: &[Value]) -> String {
    let names = Layer::ALL.map(Layer::name);
    let head = ["keys", "probe", "commit", "operation", "loop", "all"].into_iter().chain(names);
    let mut table = Table::new(head);
    let mut any = false;
    for row in rows.iter().filter(|row| row["cpu_us_by_layer"].is_object()) {
        any = true;
        let number = |value: &Value| value.as_f64().map_or_else(none, figure);
        let text = |value: &Value| value.as_str().map_or_else(none, ToOwned::to_owned);
        let mut line = vec![whole(&row["keys"]), number(&row["probe"]), text(&row["commit"])];
        line.extend(cells(row).into_iter().take(2));
        line.push(number(&row["node_cpu_us_per_op"]));
        let of_layer = |name: &&str| row["cpu_us_by_layer"].get(*name).map_or_else(none, number);
        line.extend(names.iter().map(of_layer));
        table.row(line);
    }
    if !any {
        return String::new();
    }
    let lines: String = table.render().lines().map(|line| format!("  {line}\n")).collect();
    format!("CPU time of all nodes for one operation, in microseconds, by layer\n{lines}\n")
}

fn heading(row: &Value) -> String {
    let mut parts = vec![format!("{} keys of {} bytes", whole(&row["keys"]), whole(&row["value_bytes"]))];
    parts.push(format!("{} nodes, N={}", whole(&row["nodes"]), whole(&row["n"])));
    parts.push(format!("{} connections", whole(&row["connections"])));
    if let Some(commit) = row["commit"].as_str() {
        parts.push(format!("commit {commit}"));
    }
    if let Some(probe) = row["probe"].as_f64() {
        parts.push(format!("probe {probe}"));
    }
    parts.join(" · ")
}

fn cells(row: &Value) -> Vec<String> {
    let count = |name: &str| row[name].as_u64().map_or_else(none, |count| count.to_string());
    let operation = match row["operation"].as_str() {
        Some("get") => format!("get R={}", count("r")),
        Some("put") => format!("put W={}", count("w")),
        _ => {
            let share = row["read_share"].as_f64().unwrap_or_default() * 100.0;
            format!("mix {share:.0} % R={} W={}", count("r"), count("w"))
        }
    };
    let pace = match row["rate"].as_f64() {
        Some(rate) => format!("open {rate:.0}/s"),
        None => "closed".to_owned(),
    };
    let number = |name: &str| row[name].as_f64().map_or_else(none, figure);
    let percent = |name: &str| row[name].as_f64().map_or_else(none, |share| format!("{:.0}", share * 100.0));
    let mut cells =
        vec![operation, pace, row["ops_per_s"].as_f64().map_or_else(none, |rate| format!("{rate:.0}"))];
    cells.extend(["p50_ms", "p99_ms", "p999_ms", "max_ms"].map(number));
    cells.push(count("errors"));
    cells.extend(["writes_per_sync", "node_cpu_us_per_op"].map(number));
    cells.push(percent("generator_cpu_share"));
    cells.push(number("ratio_to_ceiling"));
    cells
}

fn none() -> String {
    "-".to_owned()
}

fn whole(value: &Value) -> String {
    value.as_f64().map_or_else(none, grouped)
}

/// Three digits that count.
fn figure(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let first = digits.len() % 3;
    let (head, rest) = digits.split_at_checked(first).unwrap_or((&digits, ""));
    let mut groups = if head.is_empty() { Vec::new() } else { vec![head.to_owned()] };
    groups.extend(rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned()));
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_legible() {
        assert_eq!(
            [1.0, 12.0, 123.0, 1_234.0, 1_234_567.0].map(grouped),
            ["1", "12", "123", "1,234", "1,234,567"]
        );
        assert_eq!([0.123, 1.0, 12.345, 123.45].map(figure), ["0.12", "1.00", "12.3", "123"]);
    }
}
