//! What is wrong with a configuration: everything that was found, each naming the key, the value, where it came
//! from, and what would be accepted.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody gave it.
    Default,
    /// Nobody gave it; it follows another key.
    Follows(&'static str),
    /// The configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The flag `--set`.
    Flag,
}

impl Source {
    /// Whether the user gave it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::Default | Self::Follows(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Follows(key) => write!(f, "default, follows {key}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// A key as it was resolved: its name, its value as TOML text, and where that came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.source)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("--config {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not TOML: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        cause: String,
    },
    /// A `--set` without `=`.
    #[error("--set {given}: accepted: section.key=value, such as --set node.id=n1")]
    NoAssignment {
        /// What was given.
        given: String,
    },
    /// A variable whose value is not Unicode.
    #[error("environment {variable}: the value is not Unicode text; accepted: UTF-8")]
    NotUnicode {
        /// The variable.
        variable: String,
    },
    /// A key that does not exist.
    #[error("{setting}: there is no such key; {hint}")]
    UnknownKey {
        /// What was given.
        setting: Setting,
        /// The key that was meant, or those there are.
        hint: String,
    },
    /// A value that its key does not accept.
    #[error("{setting}: {fault}; accepted: {accepted}")]
    Value {
        /// What was given.
        setting: Setting,
        /// What is wrong with it.
        fault: String,
        /// What the key accepts.
        accepted: String,
    },
    /// Keys that do not fit each other.
    #[error("{}: {fault}; accepted: {accepted}", join(settings))]
    Contradiction {
        /// The keys, the one to blame first.
        settings: Vec<Setting>,
        /// Why they do not fit.
        fault: String,
        /// What would fit.
        accepted: String,
    },
}

fn join(settings: &[Setting]) -> String {
    settings.iter().map(Setting::to_string).collect::<Vec<_>>().join(" contradicts ")
}

/// Everything that is wrong with a configuration; at least one problem. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of sources, then of keys, then of contradictions.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(f, "the configuration has {count} {noun}:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {}", one_line(&problem.to_string())))
    }
}

impl std::error::Error for ConfigError {}

/// Text with its control characters escaped: one line, and harmless to a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}
