//! Gathers what the user gave: file, environment and flags, each over the one before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{Problem, Source};

/// The most of a configuration file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// What a configuration is made from. Later ones win: file, environment, flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those named `NEAP_SECTION__KEY` count.
    pub environment: Vec<(OsString, OsString)>,
    /// `section.key=value`, each.
    pub set: Vec<String>,
}

impl Sources {
    /// With this process's environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, set: Vec<String>) -> Self {
        Self { file, environment: std::env::vars_os().collect(), set }
    }
}

/// A value before its type is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From the environment or a flag: of whatever type the key has.
    Untyped(String),
    Text(String),
    Integer(i128),
    Number(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// A type that no key has; how it was written.
    Other(String),
    /// An empty table.
    Section,
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped(text) | Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(values) => {
                write!(f, "[{}]", values.iter().map(Self::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Other(text) => f.write_str(text),
            Self::Section => f.write_str("{}"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub raw: Raw,
    pub source: Source,
}

/// Everything that was given, by key.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub given: BTreeMap<String, Given>,
    pub problems: Vec<Problem>,
}

/// What OpenTelemetry names an exporter's destination and protocol, and what switches all of it off
/// (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OTLP_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const OTEL_DISABLED: &str = "OTEL_SDK_DISABLED";

pub(super) fn gather(sources: &Sources) -> Gathered {
    let mut gathered = Gathered::default();
    gathered.standard_variables(&sources.environment);
    if let Some(path) = &sources.file {
        gathered.file(path);
    }
    gathered.environment(&sources.environment);
    for assignment in &sources.set {
        gathered.flag(assignment);
    }
    gathered
}

impl Gathered {
    fn file(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(Problem::Unreadable { path: path.to_owned(), cause: error.to_string() });
                return;
            }
        };
        let (document, errors) = DeTable::parse_recoverable(&text);
        let broken = !errors.is_empty();
        for error in errors {
            let line = line_of(&text, error.span().map_or(0, |span| span.start));
            let cause = error.message().to_owned();
            self.problems.push(Problem::Syntax { path: path.to_owned(), line, cause });
        }
        // What the parser recovered from broken text is a guess: better no key than a wrong one.
        if !broken {
            self.table("", document.get_ref(), &Document { path, text: &text });
        }
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>, document: &Document<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", plain(name.get_ref()));
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.table(&format!("{key}."), inner, document),
                value => {
                    let line = line_of(document.text, name.span().start);
                    let source = Source::File { path: document.path.to_owned(), line };
                    self.given.insert(key, Given { raw: raw(value), source });
                }
            }
        }
    }

    /// Where spans and metrics go, if nothing of neap's own says so.
    fn standard_variables(&mut self, variables: &[(OsString, OsString)]) {
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| variable == name);
            found.and_then(|(_, value)| value.to_str()).filter(|value| !value.is_empty())
        };
        if value(OTEL_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return;
        }
        let Some(endpoint) = value(OTLP_ENDPOINT) else { return };
        let protocol = value(OTLP_PROTOCOL).map(|protocol| ("telemetry.protocol", OTLP_PROTOCOL, protocol));
        for (key, variable, text) in [("telemetry.otlp", OTLP_ENDPOINT, endpoint)].into_iter().chain(protocol)
        {
            let (raw, variable) = (Raw::Untyped(text.to_owned()), variable.to_owned());
            self.given.insert(key.to_owned(), Given { raw, source: Source::Environment { variable } });
        }
    }

    fn environment(&mut self, variables: &[(OsString, OsString)]) {
        let mut variables: Vec<_> =
            variables.iter().filter_map(|(name, value)| Some((name.to_str()?, value))).collect();
        variables.sort();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix("NEAP_").filter(|name| name.contains("__")) else {
                continue;
            };
            let variable = variable.to_owned();
            let Some(text) = value.to_str() else {
                self.problems.push(Problem::NotUnicode { variable });
                continue;
            };
            let key = name.replace("__", ".").to_ascii_lowercase();
            let raw = Raw::Untyped(text.to_owned());
            self.given.insert(key, Given { raw, source: Source::Environment { variable } });
        }
    }

    fn flag(&mut self, assignment: &str) {
        match assignment.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let raw = Raw::Untyped(value.trim().to_owned());
                self.given.insert(key.trim().to_owned(), Given { raw, source: Source::Flag });
            }
            _ => self.problems.push(Problem::NoAssignment { given: assignment.to_owned() }),
        }
    }
}

struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_MAX {
        return Err(io::Error::other("larger than 1MiB, which no configuration is"));
    }
    Ok(text)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A name with a dot in it stands in quotes, so that it is not taken for a path.
fn plain(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Raw::Other(integer.to_string()), Raw::Integer),
        DeValue::Float(float) => {
            float.as_str().parse().map_or_else(|_| Raw::Other(float.to_string()), Raw::Number)
        }
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(datetime) => Raw::Other(datetime.to_string()),
        DeValue::Array(values) => Raw::List(values.iter().map(|value| raw(value.get_ref())).collect()),
        DeValue::Table(table) if table.is_empty() => Raw::Section,
        DeValue::Table(_) => Raw::Other("a table".to_owned()),
    }
}
