//! The document of `GET /v1/slo`, as a person reads it at a glance.

use std::fmt::Write;

use serde_json::Value;

use super::table::Table;
use crate::protocol::slo::words::{between, count, seconds, share, span};

/// Whether states have colours: on a terminal only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) on: bool,
}

impl Colour {
    /// Paints the name of a state (ECMA-48, SGR): red, yellow, green, dim.
    fn state(self, state: &str, text: &str) -> String {
        let code = match state {
            "page" => "1;31",
            "ticket" => "33",
            "ok" => "32",
            "unknown" => "35",
            _ => "2",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The document as text.
pub(super) fn for_people(document: &Value, colour: Colour) -> String {
    let objectives: Vec<&Value> = list(document, "objectives").collect();
    let mut text = head(document);
    text.push_str(&objectives_table(&objectives));
    text.push('\n');
    for objective in &objectives {
        let (name, state) = (word(objective, "name"), word(objective, "state"));
        // Padded before it is painted: what paints has no width.
        let state = colour.state(state, &format!("{state:<7}"));
        let _ = writeln!(text, "{state}  {name}: {}", word(objective, "why"));
    }
    text.push('\n');
    text.push_str(&reads(document));
    text.push_str(&convergence(document));
    text
}

fn head(document: &Value) -> String {
    let scope = match word(document, "scope") {
        "cluster" => "all nodes together",
        _ => "this node",
    };
    let window = number(document, "window_s").map(|s| span((s * 1e6) as u64)).unwrap_or_default();
    let mut head = format!("{scope}, reads of the last {window}\n");
    let away: Vec<&str> = list(document, "unreachable").filter_map(Value::as_str).collect();
    if !away.is_empty() {
        let _ =
            writeln!(head, "did not answer, and nothing is known of what they served: {}", away.join(", "));
    }
    head.push('\n');
    head
}

fn objectives_table(objectives: &[&Value]) -> String {
    let mut table = Table::new(["objective", "value", "target", "budget left", "burn", "state"]);
    for objective in objectives {
        let unit = match word(objective, "unit") {
            "s" => seconds,
            _ => share,
        };
        let value = match (number(objective, "low"), number(objective, "high")) {
            (Some(low), Some(high)) => between(&unit(low), &unit(high)),
            (None, Some(high)) => format!("up to {}", unit(high)),
            (Some(low), None) => format!("{} or more", unit(low)),
            (None, None) => "-".to_owned(),
        };
        let target = number(objective, "target").map_or_else(dash, |target| format!("<= {}", unit(target)));
        let budget = number(objective, "budget_remaining").map_or_else(dash, signed_share);
        table.row(vec![
            word(objective, "name").to_owned(),
            value,
            target,
            budget,
            burn(objective),
            word(objective, "state").to_owned(),
        ]);
    }
    table.render()
}

/// The burn rate of the shortest window that has one.
fn burn(objective: &Value) -> String {
    let known = list(objective, "burn_rates")
        .find_map(|burn| Some((number(burn, "window_s")?, number(burn, "rate")?)));
    known.map_or_else(dash, |(window_s, rate)| format!("{rate:.1}x in {}", span((window_s * 1e6) as u64)))
}

fn signed_share(of: f64) -> String {
    if of < 0.0 { format!("-{}", share(-of)) } else { share(of) }
}

fn reads(document: &Value) -> String {
    let Some(reads) = document.get("reads") else { return String::new() };
    let of = |name: &str| count(reads.get(name).and_then(Value::as_u64).unwrap_or_default());
    let mut text = format!(
        "reads: {} fresh, {} stale, {} suspect, {} behind, {} unknown",
        of("fresh"),
        of("stale"),
        of("suspect"),
        of("behind"),
        of("unknown")
    );
    let causes = document.get("unknown_causes").and_then(Value::as_object).into_iter().flatten();
    let causes = causes.filter_map(|(name, times)| Some((name, times.as_u64().filter(|times| *times > 0)?)));
    let causes: Vec<_> = causes.map(|(name, times)| format!("{name} {}", count(times))).collect();
    if !causes.is_empty() {
        let _ = write!(text, " ({})", causes.join(", "));
    }
    if reads.get("unsampled").and_then(Value::as_u64).is_some_and(|unsampled| unsampled > 0) {
        let _ = write!(text, "; {} not sampled", of("unsampled"));
    }
    text.push_str(&rate(document));
    if let Some(age) = number(document, "stale_age_p95_s") {
        let _ = write!(text, "\nstale ones: P95 of the age {}", seconds(age));
        let exposure = number(document, "stale_exposure_p95_s");
        let _ = exposure.map(|exposure| write!(text, ", superseded for {} (P95)", seconds(exposure)));
    }
    text + "\n"
}

/// The share of stale reads, in a sentence.
fn rate(document: &Value) -> String {
    let Some(rate) = document.get("stale_read_rate") else { return String::new() };
    let judged = number(rate, "judged").map(|judged| format!("{} of the judged reads", share(judged)));
    let all = number(rate, "low").zip(number(rate, "high"));
    let all = all.map(|(low, high)| format!("{} of all", between(&share(low), &share(high))));
    let known: Vec<String> = judged.into_iter().chain(all).collect();
    if known.is_empty() { String::new() } else { format!("\nstale: {}", known.join(", ")) }
}

fn convergence(document: &Value) -> String {
    let Some(convergence) = document.get("convergence") else { return String::new() };
    let of = |name: &str| convergence.get(name).and_then(Value::as_u64).unwrap_or_default();
    let time = |name: &str| number(convergence, name).map_or_else(dash, seconds);
    let mut text = format!("writes: P50 {}, P99.9 {}", time("p50_s"), time("p999_s"));
    let _ = write!(text, "; {} unconverged", count(of("unconverged")));
    if let Some(oldest) = number(convergence, "oldest_s") {
        let _ = write!(text, ", the oldest for {}", seconds(oldest));
    }
    if of("untracked") > 0 {
        let _ = write!(text, "; {} untracked", count(of("untracked")));
    }
    text + "\n"
}

fn dash() -> String {
    "-".to_owned()
}

fn word<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn number(of: &Value, name: &str) -> Option<f64> {
    of.get(name).and_then(Value::as_f64)
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_have_colours_only_on_a_terminal() {
        let objective = json!({ "name": "stale_reads", "unit": "ratio", "target": 0.001, "low": 0.0, "high": 0.0042,
            "budget_remaining": -0.5, "burn_rates": [], "state": "page", "why": "because" });
        let document = json!({ "scope": "node", "window_s": 3600.0, "objectives": [objective] });
        let plain = for_people(&document, Colour { on: false });
        assert!(!plain.contains('\x1b') && plain.contains("page     stale_reads: because"), "{plain}");
        let painted = for_people(&document, Colour { on: true });
        assert!(painted.contains("\x1b[1;31mpage   \x1b[0m  stale_reads: because"), "{painted}");
    }
}
