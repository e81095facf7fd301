//! Gives what was gathered its types, one key after the other, and notes everything that is wrong.
//!
//! A key exists because a section reads it: name, default and range stand together, there and nowhere else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;
use toml::de::DeValue;

use super::error::{Problem, Setting, Source};
use super::source::{Gathered, Given, Raw};
use super::suggest;
use super::units::{Accepted, format_duration, format_size, parse_duration, parse_size};
use crate::protocol::admission::BucketWeight;

/// A key that was read, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    pub key: Cow<'static, str>,
    pub value: Value,
    pub source: Source,
}

/// The value of a key that nobody gave.
pub(super) enum Fallback<T> {
    Default(T),
    /// That of, or one made from, another key.
    Follows(&'static str, T),
}

impl<T> From<T> for Fallback<T> {
    fn from(value: T) -> Self {
        Self::Default(value)
    }
}

pub(super) struct Reader {
    given: BTreeMap<String, Given>,
    resolved: Vec<Resolved>,
    problems: Vec<Problem>,
    faulty: Vec<Cow<'static, str>>,
    /// Whether a source could not be read, so that keys may lack which the user gave.
    incomplete: bool,
}

/// What is wrong with a raw value, and what would be right.
struct Refused {
    fault: String,
    accepted: String,
}

impl Reader {
    pub fn new(gathered: Gathered) -> Self {
        let Gathered { given, problems } = gathered;
        let incomplete = !problems.is_empty();
        Self { given, resolved: Vec::new(), problems, faulty: Vec::new(), incomplete }
    }

    /// A value of any type made from text. `accepted` says which texts; `write` is what `parse` reads.
    pub fn parsed<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<T>>,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
        write: impl Fn(&T) -> String,
    ) -> T {
        let refused = |fault: &str| Refused { fault: fault.to_owned(), accepted: accepted.to_owned() };
        let read = |raw: &Raw| {
            let text = raw.text().ok_or_else(|| refused("not text"))?;
            parse(&text).ok_or_else(|| refused("not accepted"))
        };
        self.read(key, fallback.into(), read, |value| Value::String(write(value)))
    }

    pub fn duration(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<Duration>>,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let bounds = format!("{} to {}", format_duration(*range.start()), format_duration(*range.end()));
        let accepted = format!("{bounds}, as {}", Accepted::Duration);
        let refused = |fault: &str| Refused { fault: fault.to_owned(), accepted: accepted.clone() };
        let read = |raw: &Raw| {
            let text = raw.text().ok_or_else(|| refused("not a duration"))?;
            let duration = parse_duration(&text).map_err(|_| refused("not a duration"))?;
            if range.contains(&duration) { Ok(duration) } else { Err(refused("out of range")) }
        };
        self.read(key, fallback.into(), read, |value| Value::String(format_duration(*value)))
    }

    /// In bytes.
    pub fn size(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<u64>>,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let bounds = format!("{} to {}", format_size(*range.start()), format_size(*range.end()));
        let accepted = format!("{bounds}, as {}", Accepted::Size);
        let refused = |fault: &str| Refused { fault: fault.to_owned(), accepted: accepted.clone() };
        let read = |raw: &Raw| {
            let text = match raw {
                Raw::Integer(bytes) => bytes.to_string(),
                raw => raw.text().ok_or_else(|| refused("not a size"))?,
            };
            let bytes = parse_size(&text).map_err(|_| refused("not a size"))?;
            if range.contains(&bytes) { Ok(bytes) } else { Err(refused("out of range")) }
        };
        self.read(key, fallback.into(), read, |value| Value::String(format_size(*value)))
    }

    pub fn integer<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<T>>,
        range: RangeInclusive<T>,
    ) -> T
    where
        T: Copy + Display + Into<i64> + TryFrom<i128> + PartialOrd,
    {
        let refused = |fault: &str| Refused {
            fault: fault.to_owned(),
            accepted: format!("a whole number from {} to {}", range.start(), range.end()),
        };
        let read = |raw: &Raw| {
            let value = match raw {
                Raw::Integer(value) => *value,
                Raw::Untyped(text) => text.parse().map_err(|_| refused("not a whole number"))?,
                _ => return Err(refused("not a whole number")),
            };
            let value = T::try_from(value).map_err(|_| refused("out of range"))?;
            if range.contains(&value) { Ok(value) } else { Err(refused("out of range")) }
        };
        self.read(key, fallback.into(), read, |value| Value::Integer((*value).into()))
    }

    pub fn number(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<f64>>,
        range: RangeInclusive<f64>,
    ) -> f64 {
        let refused = |fault: &str| Refused {
            fault: fault.to_owned(),
            accepted: format!("a number from {} to {}", range.start(), range.end()),
        };
        let read = |raw: &Raw| {
            let value = match raw {
                Raw::Number(value) => *value,
                // Far beyond every range where the conversion would round.
                Raw::Integer(value) => *value as f64,
                Raw::Untyped(text) => text.parse().map_err(|_| refused("not a number"))?,
                _ => return Err(refused("not a number")),
            };
            if range.contains(&value) { Ok(value) } else { Err(refused("out of range")) }
        };
        self.read(key, fallback.into(), read, |value| Value::Float(*value))
    }

    /// A bucket's weight.
    pub fn weight(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<BucketWeight>>,
    ) -> BucketWeight {
        let accepted = format!(
            "a number from {} to {} with two decimals at the most",
            BucketWeight::LEAST,
            BucketWeight::MOST
        );
        let refused = |fault: &str| Refused { fault: fault.to_owned(), accepted: accepted.clone() };
        let read = |raw: &Raw| {
            let number = match raw {
                Raw::Number(value) => *value,
                // Far beyond every weight where the conversion would round.
                Raw::Integer(value) => *value as f64,
                Raw::Untyped(text) => text.parse().map_err(|_| refused("not a number"))?,
                _ => return Err(refused("not a number")),
            };
            BucketWeight::of_number(number).map_err(|_| refused("out of range"))
        };
        self.read(key, fallback.into(), read, |weight| Value::Float(weight.number()))
    }

    pub fn boolean(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: impl Into<Fallback<bool>>,
    ) -> bool {
        let read = |raw: &Raw| match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Untyped(text) if text == "true" => Ok(true),
            Raw::Untyped(text) if text == "false" => Ok(false),
            _ => Err(Refused { fault: "not a truth value".to_owned(), accepted: "true or false".to_owned() }),
        };
        self.read(key, fallback.into(), read, |value| Value::Boolean(*value))
    }

    /// One of `choices`, which hold `default`.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        default: T,
        choices: &[(&'static str, T)],
    ) -> T {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        let parse = |text: &str| choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        let write = |value: &T| {
            let name = choices.iter().find(|(_, choice)| choice == value).map(|(name, _)| *name);
            name.unwrap_or_default().to_owned()
        };
        self.parsed(key, default, &names.join(" or "), parse, write)
    }

    /// A list of values made from text; empty by default. `parse` says what is wrong with one.
    pub fn list<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        accepted: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        write: impl Fn(&T) -> String,
    ) -> Vec<T> {
        let refused = |fault: String| Refused { fault, accepted: accepted.to_owned() };
        let read = |raw: &Raw| {
            let texts = raw.texts().ok_or_else(|| refused("not a list of texts".to_owned()))?;
            texts.iter().map(|text| parse(text)).collect::<Result<Vec<T>, String>>().map_err(refused)
        };
        let write = |values: &Vec<T>| Value::Array(values.iter().map(|v| Value::String(write(v))).collect());
        self.read(key, Fallback::Default(Vec::new()), read, write)
    }

    fn read<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        fallback: Fallback<T>,
        read: impl Fn(&Raw) -> Result<T, Refused>,
        write: impl Fn(&T) -> Value,
    ) -> T {
        let (default, absent) = match fallback {
            Fallback::Default(value) => (value, Source::Default),
            Fallback::Follows(other, value) => (value, Source::Follows(other)),
        };
        let key = key.into();
        let (value, source) = match self.given.remove(&*key) {
            None => (default, absent),
            Some(Given { raw, source }) => match read(&raw) {
                Ok(value) => (value, source),
                Err(Refused { fault, accepted }) => {
                    let setting = Setting { key: key.clone().into_owned(), value: raw.to_string(), source };
                    self.problems.push(Problem::Value { setting, fault, accepted });
                    self.faulty.push(key.clone());
                    (default, absent)
                }
            },
        };
        self.resolved.push(Resolved { key, value: write(&value), source });
        value
    }

    /// The names that the user gave below `section`: of tables whose names are the user's choice, or of keys.
    pub fn names_under(&self, section: &str) -> BTreeSet<String> {
        let below = self.given.keys().filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'));
        below.map(|rest| rest.split('.').next().unwrap_or_default().to_owned()).collect()
    }

    /// Takes a table of the user's choice out, with all its keys, and says why; `name` is one of
    /// [`Self::names_under`].
    pub fn refuse_table(&mut self, section: &str, name: &str, fault: &str, accepted: &str) {
        let table = format!("{section}.{name}");
        let whole = |key: &str| key == table || is_under(key, &table);
        let first = self.given.iter().find(|(key, _)| whole(key));
        let setting = first.map(|(key, Given { raw, source })| Setting {
            key: key.clone(),
            value: raw.to_string(),
            source: source.clone(),
        });
        let (fault, accepted) = (fault.to_owned(), accepted.to_owned());
        self.problems.extend(setting.map(|setting| Problem::Value { setting, fault, accepted }));
        self.given.retain(|key, _| !whole(key));
    }

    /// Notes that keys, which were all read, do not fit each other; the one to blame first. Says nothing when
    /// one of them is already known to be wrong, or may lack because its source could not be read.
    pub fn contradiction(&mut self, keys: &[&str], fault: String, accepted: String) {
        if self.incomplete || keys.iter().any(|key| self.faulty.iter().any(|faulty| faulty == key)) {
            return;
        }
        let named = |key: &&str| self.resolved.iter().find(|resolved| resolved.key == *key);
        let settings = keys.iter().filter_map(named).map(Resolved::setting).collect();
        self.problems.push(Problem::Contradiction { settings, fault, accepted });
    }

    /// The keys in the order they were read, or everything that is wrong. What nobody read is unknown.
    pub fn finish(mut self) -> Result<Vec<Resolved>, Vec<Problem>> {
        let keys: Vec<&str> = self.resolved.iter().map(|resolved| &*resolved.key).collect();
        for (key, Given { raw, source }) in self.given {
            let section = raw == Raw::Section && keys.iter().any(|known| is_under(known, &key));
            if !section {
                let hint = suggest::hint(&key, &keys);
                let setting = Setting { key, value: raw.to_string(), source };
                self.problems.push(Problem::UnknownKey { setting, hint });
            }
        }
        if self.problems.is_empty() { Ok(self.resolved) } else { Err(self.problems) }
    }
}

impl Resolved {
    pub fn setting(&self) -> Setting {
        Setting {
            key: self.key.clone().into_owned(),
            value: self.value.to_string(),
            source: self.source.clone(),
        }
    }
}

fn is_under(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

impl Raw {
    /// As text, if it is. Untyped text in quotes is read as TOML would read it.
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Untyped(text) if text.starts_with(['"', '\'']) => {
                match DeValue::parse(text).ok()?.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                }
            }
            Self::Untyped(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// As a list of texts, if it is. Untyped text is a TOML array, or separated by commas.
    fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::List(values) => values
                .iter()
                .map(|value| match value {
                    Self::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            Self::Untyped(text) if text.trim_start().starts_with('[') => {
                match DeValue::parse(text).ok()?.get_ref() {
                    DeValue::Array(values) => {
                        values.into_iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect()
                    }
                    _ => None,
                }
            }
            Self::Untyped(text) if text.trim().is_empty() => Some(Vec::new()),
            Self::Untyped(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            _ => None,
        }
    }
}
