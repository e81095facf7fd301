//! Entity tags: the same on every node, because they depend on nothing but the versions shown.

use std::fmt::Write as _;

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};
use xxhash_rust::xxh3::Xxh3;

use super::error::Problem;
use crate::protocol::causality::Version;

/// A strong entity tag, in its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of the versions shown, which are ordered by dot. Dots name versions uniquely, so equal
    /// tags mean equal replies; versions that are not shown, such as expired ones, have no part in it.
    #[must_use]
    pub fn of<'a>(shown: impl IntoIterator<Item = &'a Version>) -> Self {
        let mut hash = Xxh3::new();
        for version in shown {
            hash.update(&version.dot.actor.0.to_be_bytes());
            hash.update(&version.dot.counter.to_be_bytes());
        }
        let mut text = String::with_capacity(34);
        // Writing to a string cannot fail.
        let _ = write!(text, "\"{:032x}\"", hash.digest128());
        Self(text)
    }

    /// The tag as its header carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The entity tags that a reader knows already: its `If-None-Match`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KnownTags<'a> {
    any: bool,
    tags: Vec<&'a str>,
}

impl<'a> KnownTags<'a> {
    /// Reads the header; without one, nothing is known.
    ///
    /// # Errors
    ///
    /// The header is neither `*` nor a list of quoted tags.
    pub fn parse(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let mut known = Self::default();
        for value in headers.get_all(IF_NONE_MATCH) {
            let read = value.to_str().ok().and_then(|list| known.take(list));
            read.ok_or_else(|| {
                let given = value.as_bytes().escape_ascii().to_string();
                Problem::header(&IF_NONE_MATCH, &given, "*, or a list of quoted entity tags")
            })?;
        }
        Ok(known)
    }

    /// Whether `tag` is known, by weak comparison (RFC 9110, section 13.1.2), so that the reply is a 304.
    #[must_use]
    pub fn has(&self, tag: &EntityTag) -> bool {
        self.any || self.tags.contains(&tag.0.trim_matches('"'))
    }

    fn take(&mut self, list: &'a str) -> Option<()> {
        let mut rest = list.trim();
        if rest == "*" {
            self.any = true;
            return Some(());
        }
        loop {
            // Elements of a list may be empty (RFC 9110, section 5.6.1).
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() && !self.tags.is_empty() {
                return Some(());
            }
            let opened = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
            let (tag, after) = opened.split_once('"')?;
            self.tags.push(tag);
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_a_tag_weak_or_strong() {
        let tag = EntityTag("\"ab\"".to_owned());
        for (list, known) in [
            ("*", Some(true)),
            ("\"ab\"", Some(true)),
            ("W/\"ab\"", Some(true)),
            ("\"x,y\", \"ab\"", Some(true)),
            ("\"x\"", Some(false)),
            ("\"\"", Some(false)),
            ("\"x\",, \"ab\"", Some(true)),
            (", \"ab\" ,", Some(true)),
            (",", None),
            ("ab", None),
            ("\"ab", None),
            ("\"ab\" \"x\"", None),
            ("", None),
            ("w/\"ab\"", None),
        ] {
            let mut tags = KnownTags::default();
            let read = tags.take(list);
            assert_eq!(read.map(|()| tags.has(&tag)), known, "{list}");
        }
    }
}
