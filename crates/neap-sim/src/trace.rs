//! What happened, for a person to follow.

use super::queue::{MICROS, SECONDS, Time};
use super::truth::KeyIndex;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Time,
    /// The key that it concerns; none if it may concern all.
    pub key: Option<KeyIndex>,
    /// What.
    pub text: String,
}

/// The lines of a run, if they are kept.
#[derive(Debug, Default)]
pub struct Trace {
    kept: bool,
    lines: Vec<Line>,
}

impl Trace {
    /// Keeps lines, or not.
    #[must_use]
    pub fn new(kept: bool) -> Self {
        Self { kept, lines: Vec::new() }
    }

    /// Keeps a line.
    pub fn note(&mut self, at: Time, key: Option<KeyIndex>, text: impl FnOnce() -> String) {
        if self.kept {
            self.lines.push(Line { at, key, text: text() });
        }
    }

    /// The lines that concern `key`, and those that concern all.
    pub fn about(&self, key: Option<KeyIndex>) -> impl Iterator<Item = &Line> {
        let concerns = move |line: &&Line| key.is_none() || line.key.is_none() || line.key == key;
        self.lines.iter().filter(concerns)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>4}.{:06}  {}", self.at / SECONDS, self.at % SECONDS / MICROS, self.text)
    }
}
