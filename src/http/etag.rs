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
            hash.update(&version.dot.actor.directory.0.to_be_bytes());
            hash.update(&version.dot.actor.start.0.to_be_bytes());
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

    /// Whether the request's `If-None-Match` names this tag (by weak comparison, RFC 9110, section
    /// 13.1.2), so that the reply is a 304.
    ///
    /// # Errors
    ///
    /// The header is neither `*` nor a list of quoted tags.
    pub fn is_known(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        let mut known = false;
        for value in headers.get_all(IF_NONE_MATCH) {
            let found = value.to_str().ok().and_then(|list| self.is_in(list));
            known |= found.ok_or_else(|| {
                let given = value.as_bytes().escape_ascii().to_string();
                Problem::header(&IF_NONE_MATCH, &given, "*, or a list of quoted entity tags")
            })?;
        }
        Ok(known)
    }

    fn is_in(&self, list: &str) -> Option<bool> {
        let mut rest = list.trim();
        if rest == "*" {
            return Some(true);
        }
        let mut known = false;
        loop {
            let opened = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
            let (tag, after) = opened.split_once('"')?;
            known |= self.0.trim_matches('"') == tag;
            rest = after.trim_start();
            if rest.is_empty() {
                return Some(known);
            }
            rest = rest.strip_prefix(',')?.trim_start();
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
            ("ab", None),
            ("\"ab", None),
            ("\"ab\" \"x\"", None),
            ("", None),
            ("w/\"ab\"", None),
        ] {
            assert_eq!(tag.is_in(list), known, "{list}");
        }
    }
}
