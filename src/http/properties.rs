//! The properties of a JSON object, each taken once, and refused by name where it is not what is accepted.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::dto::Word;
use super::error::Problem;
use crate::protocol::quorum::N_MAX;

/// More properties than any call knows; what has more is not looked at.
const PROPERTIES_MAX: usize = 64;

/// What a JSON object says.
pub struct Given {
    entries: Vec<(String, Value)>,
}

impl Given {
    /// Reads an object; `what` names it in the refusal.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, or has a property twice, or more than any call knows.
    pub fn parse(what: &'static str, json: &[u8]) -> Result<Self, Problem> {
        let Properties(entries) = serde_json::from_slice(json)
            .map_err(|error| Problem::invalid(what, &error.to_string(), "a JSON object of properties"))?;
        if entries.len() > PROPERTIES_MAX {
            let (given, accepted) = (entries.len(), format!("at most {PROPERTIES_MAX} properties"));
            return Err(Problem::invalid(what, &format!("an object of {given} properties"), accepted));
        }
        for (at, (name, _)) in entries.iter().enumerate() {
            if entries.iter().skip(at + 1).any(|(other, _)| other == name) {
                return Err(Problem::invalid(name.clone(), "the property twice", "the property once"));
            }
        }
        Ok(Self { entries })
    }

    /// Refuses what is not among `known`.
    ///
    /// # Errors
    ///
    /// A property is not known; the refusal lists those that are.
    pub fn check_names(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.entries.iter().find(|(name, _)| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| Err(Problem::unknown(name, known.join(", "))))
    }

    /// Takes a property, whatever it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.entries.iter().position(|(other, _)| other == name)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// Takes a text.
    ///
    /// # Errors
    ///
    /// It is there and no string.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Problem::invalid(name, &other.to_string(), "a string")),
        }
    }

    /// Takes a count of homes, which is not yet judged against a bucket's N.
    ///
    /// # Errors
    ///
    /// It is there and no whole number, or none that N could be.
    pub fn count(&mut self, name: &'static str) -> Result<Option<u8>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        whole(name, &value, &format!("1 to {N_MAX}")).map(Some)
    }

    /// Takes a whole number of a range.
    ///
    /// # Errors
    ///
    /// It is there and no whole number, or outside of the range.
    pub fn whole(&mut self, name: &'static str, range: RangeInclusive<u16>) -> Result<Option<u16>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let accepted = format!("{} to {}", range.start(), range.end());
        let number = whole(name, &value, &accepted)?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(Problem::out_of_range(name, &value.to_string(), accepted))
    }

    /// Takes one of a few words.
    ///
    /// # Errors
    ///
    /// It is there and none of them.
    pub fn word<W: Word>(&mut self, name: &'static str) -> Result<Option<W>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let choice = W::ALL.iter().copied().find(|choice| value.as_str() == Some(choice.word()));
        choice.map(Some).ok_or_else(|| {
            let words: Vec<_> = W::ALL.iter().map(|choice| format!("\"{}\"", choice.word())).collect();
            Problem::invalid(name, &value.to_string(), words.join(" or "))
        })
    }

    /// Takes a flag.
    ///
    /// # Errors
    ///
    /// It is there and neither true nor false.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| Problem::invalid(name, &value.to_string(), "true or false"))
    }
}

/// A whole number that its type can hold; `accepted` says which are.
fn whole<T: TryFrom<u64>>(name: &'static str, value: &Value, accepted: &str) -> Result<T, Problem> {
    if value.as_u64().is_none() && value.as_i64().is_none() {
        return Err(Problem::invalid(name, &value.to_string(), format!("a whole number, {accepted}")));
    }
    let number = value.as_u64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Problem::out_of_range(name, &value.to_string(), accepted.to_owned()))
}

/// A JSON object as it came: in order, and with names that came twice, which a map would lose.
struct Properties(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Properties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Properties(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
