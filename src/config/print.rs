//! The resolved configuration, as TOML that loads again to the same, and as JSON.

use std::fmt::Write;

use super::Config;
use super::error::one_line;

impl Config {
    /// As TOML, the source of each value as a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for resolved in &self.resolved {
            let (table, key) = resolved.key.rsplit_once('.').unwrap_or(("", &*resolved.key));
            if table != section {
                let gap = if text.is_empty() { "" } else { "\n" };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{gap}[{table}]");
                section = table;
            }
            let source = one_line(&resolved.source.to_string());
            let _ = writeln!(text, "{key} = {}  # {source}", resolved.value);
        }
        text
    }

    /// As JSON: `{"section.key": {"value", "source"}}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |resolved: &super::Resolved| {
            let entry = serde_json::json!({
                "value": resolved.value,
                "source": resolved.source.to_string(),
            });
            (resolved.key.clone().into_owned(), entry)
        };
        self.resolved.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
    }
}
