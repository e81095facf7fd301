//! Which versions of an object a reader is shown.

use super::object::Object;
use super::version::{Body, Value, Version};
use crate::bucket::Resolution;
use crate::time::WallMicros;

/// What a reader is shown of an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// No value: every version is a tombstone or has expired.
    Nothing,
    /// One value.
    One(&'a Version, &'a Value),
    /// Concurrent versions, at least one of them a value, ordered by dot.
    Several(Vec<&'a Version>),
}

impl<'a> Shown<'a> {
    /// The versions shown.
    #[must_use]
    pub fn versions(&self) -> Vec<&'a Version> {
        match self {
            Self::Nothing => Vec::new(),
            Self::One(version, _) => vec![version],
            Self::Several(versions) => versions.clone(),
        }
    }
}

/// Resolves an object for a reader at the wall-clock time `now`.
///
/// What expired is hidden after resolution: the expiry of the version that `lww` shows must not bring a
/// version back that it had won over.
#[must_use]
pub fn shown(object: &Object, resolution: Resolution, now: WallMicros) -> Shown<'_> {
    let visible: Vec<&Version> = match (resolution, object.versions()) {
        // Nearly all reads: no list is needed.
        (_, [version]) => return alone(version, now),
        (Resolution::Lww, _) => return object.lww().map_or(Shown::Nothing, |version| alone(version, now)),
        (Resolution::Siblings, _) => {
            object.siblings().into_iter().filter(|version| !has_expired(version, now)).collect()
        }
    };
    match visible.as_slice() {
        [version] => alone(version, now),
        _ if visible.iter().all(|version| version.is_tombstone()) => Shown::Nothing,
        _ => Shown::Several(visible),
    }
}

/// Whether a reader is shown any value.
#[must_use]
pub fn shows_a_value(object: &Object, resolution: Resolution, now: WallMicros) -> bool {
    !matches!(shown(object, resolution, now), Shown::Nothing)
}

/// Whether some version is a value that has not expired at `now`. Where this is false of several states it is false of
/// what they join to, and a reader is shown no value, however the bucket resolves: joining adds no version.
#[must_use]
pub fn has_live_value(object: &Object, now: WallMicros) -> bool {
    object.versions().iter().any(|version| !version.is_tombstone() && !has_expired(version, now))
}

fn alone(version: &Version, now: WallMicros) -> Shown<'_> {
    match &version.body {
        Body::Value(value) if !has_expired(version, now) => Shown::One(version, value),
        Body::Value(_) | Body::Tombstone => Shown::Nothing,
    }
}

fn has_expired(version: &Version, now: WallMicros) -> bool {
    matches!(&version.body, Body::Value(value) if value.expires_at.is_some_and(|at| at <= now))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::causality::CausalContext;
    use crate::ids::{ActorId, Dot, WriteId};
    use crate::time::Hlc;

    fn version(counter: u64, body: Body) -> Version {
        let actor = ActorId(1);
        Version {
            dot: Dot { actor, counter },
            hlc: Hlc::from_wall(WallMicros(counter)),
            w: 1,
            write_id: WriteId(u128::from(counter)),
            named: false,
            past: CausalContext::new(),
            gapless: true,
            created: false,
            body,
        }
    }

    fn value(bytes: &[u8], expires_at: Option<u64>) -> Body {
        let expires_at = expires_at.map(WallMicros);
        Body::Value(Value { content_type: None, bytes: Bytes::copy_from_slice(bytes), expires_at })
    }

    fn object(versions: Vec<Version>) -> Object {
        Object::from_parts(CausalContext::new(), versions, Vec::new())
    }

    fn counters(shown: Shown<'_>) -> Vec<u64> {
        shown.versions().iter().map(|version| version.dot.counter).collect()
    }

    #[test]
    fn expired_values_are_hidden_and_deletes_beside_values_are_not() {
        let now = WallMicros(10);
        let show = |versions| counters(shown(&object(versions), Resolution::Siblings, now));
        assert_eq!(show(vec![version(1, value(b"a", None)), version(2, value(b"b", None))]), [1, 2]);
        assert_eq!(show(vec![version(1, value(b"a", Some(10))), version(2, value(b"b", Some(11)))]), [2]);
        assert_eq!(show(vec![version(1, value(b"a", None)), version(2, Body::Tombstone)]), [1, 2]);
        assert!(show(vec![version(1, value(b"a", Some(3))), version(2, Body::Tombstone)]).is_empty());
        assert!(show(vec![version(1, Body::Tombstone), version(2, Body::Tombstone)]).is_empty());
        assert!(show(vec![]).is_empty());
    }

    #[test]
    fn a_state_without_a_live_value_shows_none_however_it_is_resolved() {
        let now = WallMicros(10);
        for (live, versions) in [
            (false, vec![]),
            (false, vec![version(1, Body::Tombstone), version(2, value(b"b", Some(10)))]),
            (true, vec![version(1, value(b"a", None)), version(2, Body::Tombstone)]),
            (true, vec![version(1, value(b"a", Some(11)))]),
        ] {
            let object = object(versions);
            assert_eq!(has_live_value(&object, now), live, "{object:?}");
            let shows = |resolution| shows_a_value(&object, resolution, now);
            assert!(live || !shows(Resolution::Siblings) && !shows(Resolution::Lww), "{object:?}");
        }
    }

    #[test]
    fn lww_shows_the_newest_and_its_expiry_brings_nothing_back() {
        let now = WallMicros(10);
        let show = |versions| counters(shown(&object(versions), Resolution::Lww, now));
        assert_eq!(show(vec![version(1, value(b"a", None)), version(2, value(b"b", None))]), [2]);
        assert!(show(vec![version(1, value(b"a", None)), version(2, value(b"b", Some(9)))]).is_empty());
        assert!(show(vec![version(1, value(b"a", None)), version(2, Body::Tombstone)]).is_empty());
    }
}
