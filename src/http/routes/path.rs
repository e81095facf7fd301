//! Templates of paths, and their match with a raw path.

/// A path of the contract. Clients replace the names in braces.
///
/// A template has none of these names, one, or ends with two. A name takes one segment; the last of two takes all of the
/// path that is left, as keys have slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathTemplate {
    text: &'static str,
    /// The text before the first name.
    literal: &'static str,
    tail: Tail,
    /// The head of the literal.
    head: PathHead,
    /// A one for each bit of the head that the literal has.
    mask: u64,
}

/// The number of bytes of a [`PathHead`].
const HEAD: usize = 8;

/// The first bytes of a path, filled up with zeros. By it a template that does not match is passed over at the cost of
/// comparing two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathHead(u64);

impl PathHead {
    /// The head of `path`.
    #[must_use]
    pub const fn of(path: &str) -> Self {
        if let Some(first) = path.as_bytes().first_chunk::<HEAD>() {
            return Self(u64::from_le_bytes(*first));
        }
        let (mut head, mut left) = (0, path.as_bytes());
        while let [first @ .., last] = left {
            head = head << 8 | *last as u64;
            left = first;
        }
        Self(head)
    }
}

/// The text from the first name on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// `""`
    Nothing,
    /// `{name}`
    Segment,
    /// `{name}` and this text.
    SegmentThen(&'static str),
    /// `{name}/{name}`
    SegmentAndRest,
}

/// The raw parts of a path that took the places of a template's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathParts<'a> {
    /// The first; empty if the template has none.
    pub first: &'a str,
    /// The second.
    pub rest: Option<&'a str>,
}

impl PathTemplate {
    /// The template that is written `text`. At compile time a malformed one is an error.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        let (literal, names) = text.split_at(length_before(text, b'{'));
        let (_, after) = names.split_at(length_before(names, b'}'));
        let tail = match after.as_bytes() {
            [] => Tail::Nothing,
            [b'}'] => Tail::Segment,
            [b'}', b'/', b'{', .., b'}'] => Tail::SegmentAndRest,
            _ => Tail::SegmentThen(after.split_at(1).1),
        };
        let mask = if literal.len() < HEAD { (1 << (literal.len() * 8)) - 1 } else { u64::MAX };
        Self { text, literal, tail, head: PathHead::of(literal), mask }
    }

    /// The template as it is published.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// The names that it has.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.text.split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }

    /// The parts of `path`, whose head is `head`, if it has this form.
    #[inline]
    #[must_use]
    pub fn parts<'a>(&self, path: &'a str, head: PathHead) -> Option<PathParts<'a>> {
        if head.0 & self.mask != self.head.0 {
            return None;
        }
        let after = if self.literal.len() <= HEAD {
            path.get(self.literal.len()..)?
        } else {
            path.strip_prefix(self.literal)?
        };
        let (first, rest) = match self.tail {
            Tail::Nothing => return after.is_empty().then_some(PathParts { first: "", rest: None }),
            Tail::Segment => (after, None),
            Tail::SegmentThen(end) => (after.strip_suffix(end)?, None),
            Tail::SegmentAndRest => {
                let (first, rest) = after.split_once('/')?;
                return Some(PathParts { first, rest: Some(rest) });
            }
        };
        let whole = !first.contains('/') && (!first.is_empty() || self.takes_empty());
        whole.then_some(PathParts { first, rest })
    }

    /// Tells whether the first part may be empty. A bucket's may: its refusal then says which names buckets have.
    fn takes_empty(&self) -> bool {
        self.names().next() == Some("bucket")
    }
}

/// The number of bytes before the first `wanted`, or all of them.
const fn length_before(text: &str, wanted: u8) -> usize {
    let mut left = text.as_bytes();
    while let [first, after @ ..] = left {
        if *first == wanted {
            break;
        }
        left = after;
    }
    text.len() - left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(template: &'static str, path: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let parts = PathTemplate::new(template).parts(path, PathHead::of(path));
        parts.map(|parts| (parts.first, parts.rest))
    }

    #[test]
    fn a_template_without_names_is_matched_whole() {
        assert_eq!(parts("/v1/ring", "/v1/ring"), Some(("", None)));
        assert_eq!(parts("/", "/"), Some(("", None)));
        for path in ["", "/", "/v1", "/v1/rin", "/v1/ring/", "/v1/rings", "/V1/ring", "//v1/ring"] {
            assert_eq!(parts("/v1/ring", path), None, "{path}");
        }
    }

    #[test]
    fn the_last_name_of_two_takes_all_that_is_left() {
        let template = "/v1/kv/{bucket}/{key}";
        for (path, key) in
            [("/v1/kv/b/k", "k"), ("/v1/kv/b/a/b/", "a/b/"), ("/v1/kv/b//", "/"), ("/v1/kv/b/", "")]
        {
            assert_eq!(parts(template, path), Some(("b", Some(key))), "{path}");
        }
        assert_eq!(parts(template, "/v1/kv//k"), Some(("", Some("k"))));
        assert_eq!(parts(template, "/v1/kv/b"), None);
    }

    #[test]
    fn a_name_takes_one_segment() {
        assert_eq!(parts("/v1/repair/{id}", "/v1/repair/7"), Some(("7", None)));
        assert_eq!(parts("/v1/hints/{target}/pause", "/v1/hints/n2/pause"), Some(("n2", None)));
        for path in ["/v1/repair", "/v1/repair/", "/v1/repair/7/", "/v1/repair/7/8"] {
            assert_eq!(parts("/v1/repair/{id}", path), None, "{path}");
        }
        for path in ["/v1/hints/pause", "/v1/hints//pause", "/v1/hints/a/b/pause", "/v1/hints/n2/pauses"] {
            assert_eq!(parts("/v1/hints/{target}/pause", path), None, "{path}");
        }
    }

    #[test]
    fn a_template_shorter_or_longer_than_a_head_is_matched_whole() {
        for template in ["/", "/ui", "/v1/slo", "/readyz1", "/metrics1", "/ui/events"] {
            assert_eq!(parts(template, template), Some(("", None)));
            for other in
                ["", "/u", "/ui/event", "/ui/events/", "/v1/slo1", "/v1/sl", "/readyz12", "/ui/eventz"]
            {
                assert_eq!(parts(template, other), None, "{template} {other}");
            }
        }
    }

    #[test]
    fn the_segment_of_a_bucket_alone_may_be_empty() {
        assert_eq!(parts("/v1/buckets/{bucket}", "/v1/buckets/"), Some(("", None)));
        assert_eq!(parts("/problems/{type}", "/problems/"), None);
    }
}
