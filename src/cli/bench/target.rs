//! What a figure is held to.

use serde_json::{Value, json};

use crate::cli::table::Table;

/// A figure and the most it may be.
#[derive(Debug, Clone)]
pub struct Target {
    /// What was measured, with its unit last.
    pub name: String,
    /// What it is; none if it could not be measured.
    pub value: Option<f64>,
    /// The most it may be.
    pub bound: f64,
}

impl Target {
    /// Of a figure.
    pub fn new(name: impl Into<String>, value: Option<f64>, bound: f64) -> Self {
        Self { name: name.into(), value, bound }
    }

    /// Whether it is within its bound. What could not be measured is not.
    pub fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.bound)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let value = self.value.map(|value| (value * 1_000.0).round() / 1_000.0);
        json!({ "name": self.name, "value": value, "bound": self.bound, "met": self.is_met() })
    }
}

/// As a table.
pub fn render(targets: &[Target]) -> String {
    let mut table = Table::new(["target", "value", "at most", ""]);
    for target in targets {
        table.row(vec![
            target.name.clone(),
            target.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}")),
            format!("{:.2}", target.bound),
            if target.is_met() { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    table.render()
}
