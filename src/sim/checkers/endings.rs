//! Invariant 7: every request ends, by reply or by its deadline, and every queue is bounded and drains.

use super::{Invariant, Violation};
use crate::sim::queue::{MILLIS, Time};

/// How much later than its deadline a client may be told, by true time: the clock of its node may run slow, and
/// deadlines are looked at now and then.
const GRACE: Time = 60 * MILLIS;

/// A request ended so long after it began, with `allowed` as its time.
pub fn ended(took: Time, allowed: Time, what: &str) -> Result<(), Violation> {
    if took > allowed + allowed / 1_000 + GRACE {
        let ms = took / MILLIS;
        let what = format!("{what} ended after {ms} ms and was to end after {} ms", allowed / MILLIS);
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// A queue holds so many entries.
pub fn within(name: &str, entries: usize, bound: usize) -> Result<(), Violation> {
    if entries > bound {
        let what = format!("{name} holds {entries} entries, and its bound is {bound}");
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// Nothing was asked of a healed cluster for a while: a queue that is not empty never will be.
pub fn drained(name: &str, entries: usize) -> Result<(), Violation> {
    if entries > 0 {
        let what = format!("{name} still holds {entries} entries long after the last request");
        return Err(Violation::of(Invariant::Endings, what));
    }
    Ok(())
}

/// A healed cluster does not serve.
#[must_use]
pub fn does_not_serve(what: &str) -> Violation {
    Violation::of(Invariant::Endings, format!("the cluster is healed and does not serve: {what}"))
}
