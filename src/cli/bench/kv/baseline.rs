//! Whether rows have become slower than they once were.
//!
//! Rates depend on the machine and on what else it does; their ratio to that of a bare handler, measured beside each
//! under the same client, much less. So ratios are compared, and none may fall by more than a tolerance.

use std::path::Path;

use serde_json::Value;

use crate::cli::table::Table;

/// What tells a row from the others.
const NAMES: [&str; 11] = [
    "operation",
    "n",
    "r",
    "w",
    "read_share",
    "commit",
    "probe",
    "keys",
    "value_bytes",
    "connections",
    "nodes",
];

/// Reads what was measured once.
pub fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let document: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if document.get("rows").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(format!("{}: there are no rows; what --save writes is accepted", path.display()));
    }
    Ok(document)
}

/// What was measured, beside what was measured once.
pub struct Comparison {
    rows: Vec<Compared>,
    /// How far a ratio may fall.
    tolerance: f64,
    /// Cores of this machine and of the one then, if they differ.
    cores: Option<(u64, u64)>,
}

struct Compared {
    name: String,
    before: f64,
    /// None if it was not measured now.
    now: Option<f64>,
}

impl Comparison {
    /// Of two documents.
    pub fn of(document: &Value, baseline: &Value, tolerance: f64) -> Self {
        let fresh: Vec<_> = ratios(document).collect();
        let rows = ratios(baseline).map(|(name, before)| {
            let now = fresh.iter().find(|(fresh, _)| *fresh == name).map(|(_, now)| *now);
            Compared { name, before, now }
        });
        let cores = |document: &Value| document["cores"].as_u64();
        let cores = cores(document).zip(cores(baseline)).filter(|(now, before)| now != before);
        Self { rows: rows.collect(), tolerance, cores }
    }

    /// Whether no row fell too far, and none is missing.
    pub fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| !self.fell(row))
    }

    fn fell(&self, row: &Compared) -> bool {
        row.now.is_none_or(|now| now < row.before * (1.0 - self.tolerance))
    }

    /// What a person is to be told of.
    pub fn complaints(&self) -> Vec<String> {
        let percent = self.tolerance * 100.0;
        let fallen = self.rows.iter().filter(|row| self.fell(row)).map(|row| match row.now {
            Some(now) => format!(
                "{}: {now:.4} of the bare handler's rate; it was {:.4}, and may fall by {percent:.0} %",
                row.name, row.before
            ),
            None => format!("{}: the baseline has this row, and it was not measured", row.name),
        });
        let mut all: Vec<_> = fallen.collect();
        if self.rows.is_empty() {
            all.push("the baseline has no row with a ratio to the bare handler".to_owned());
        }
        if let Some((now, before)) = self.cores {
            all.push(format!(
                "the baseline is of a machine with {before} cores, this one has {now}: record it anew here"
            ));
        }
        all
    }

    /// As a table.
    pub fn render(&self) -> String {
        let mut table = Table::new(["row", "ratio then", "ratio now", "change %", ""]);
        for row in &self.rows {
            let change = |now: f64| format!("{:+.1}", (now / row.before - 1.0) * 100.0);
            let verdict = if self.fell(row) { "SLOWER" } else { "ok" };
            table.row(vec![
                row.name.clone(),
                format!("{:.4}", row.before),
                row.now.map_or_else(|| "-".to_owned(), |now| format!("{now:.4}")),
                row.now.map_or_else(|| "-".to_owned(), change),
                verdict.to_owned(),
            ]);
        }
        format!("\n{}", table.render())
    }
}

/// The name of each row that has a ratio, and that.
fn ratios(document: &Value) -> impl Iterator<Item = (String, f64)> {
    document["rows"].as_array().into_iter().flatten().filter_map(|row| {
        let ratio = row["ratio_to_ceiling"].as_f64().filter(|ratio| *ratio > 0.0)?;
        // Of what does not mix them, the operation says the share of reads.
        let mixed = row["operation"] == "mix";
        let said = NAMES.iter().filter(|name| !row[**name].is_null() && (mixed || **name != "read_share"));
        let named = said.map(|name| match &row[*name] {
            Value::String(text) if *name == "operation" => text.clone(),
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        Some((named.collect::<Vec<_>>().join(" "), ratio))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(rows: &[(&str, f64)]) -> Value {
        let rows: Vec<_> = rows
            .iter()
            .map(|(operation, ratio)| json!({ "operation": operation, "r": 1, "ratio_to_ceiling": ratio }))
            .collect();
        json!({ "rows": rows, "cores": 2 })
    }

    #[test]
    fn a_row_that_fell_by_more_than_the_tolerance_is_named() {
        let baseline = document(&[("get", 0.4), ("put", 0.2)]);
        let against = |rows| Comparison::of(&document(rows), &baseline, 0.25);
        assert!(against(&[("get", 0.301), ("put", 0.9)]).holds());
        let fallen = against(&[("get", 0.299), ("put", 0.2)]);
        assert!(!fallen.holds());
        let complaints = fallen.complaints();
        assert!(complaints.len() == 1 && complaints[0].starts_with("get r=1: 0.2990"), "{complaints:?}");
    }

    #[test]
    fn a_row_that_is_missing_does_not_pass_and_a_new_one_does() {
        let baseline = document(&[("get", 0.4)]);
        assert!(!Comparison::of(&document(&[("put", 0.4)]), &baseline, 0.25).holds());
        assert!(Comparison::of(&document(&[("put", 0.4), ("get", 0.4)]), &baseline, 0.25).holds());
        assert!(!Comparison::of(&baseline, &document(&[]), 0.25).holds());
    }

    #[test]
    fn another_machine_is_told_of() {
        let mut baseline = document(&[("get", 0.4)]);
        baseline["cores"] = json!(8);
        let comparison = Comparison::of(&document(&[("get", 0.4)]), &baseline, 0.25);
        assert!(comparison.holds() && comparison.complaints()[0].contains("8 cores"));
    }
}
