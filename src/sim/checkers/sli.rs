//! Invariant 6: an SLI is never better than the truth: every `stale`, `behind` and `fresh` verdict is right.
//!
//! `suspect` and `unknown` claim nothing. Verdicts rest on monotonic clocks that keep their rate within
//! [`crate::protocol::staleness::DRIFT_PPM`] of each other; nothing is asked of reads among nodes whose clocks do not.

use super::causality::shown;
use super::{Invariant, Violation};
use crate::protocol::causality::CausalContext;
use crate::protocol::staleness::Verdict;
use crate::sim::truth::{KeyIndex, NEVER, Truth, VersionIndex};

/// What a read that begins now has to return in order not to be stale: what W homes have, and kept.
#[must_use]
pub fn committed_now(truth: &Truth, key: KeyIndex) -> Vec<VersionIndex> {
    let recent = truth.key(key).into_iter().flat_map(|key| key.recent.iter().copied());
    let committed = |index: &VersionIndex| {
        truth.version(*index).is_some_and(|version| {
            let homes = version.applied_at.iter().filter(|at| **at != NEVER).count();
            homes >= usize::from(version.w)
        })
    };
    recent.filter(committed).collect()
}

/// This was said of a read whose reply covers `seen`, and that began when `committed` was committed.
pub fn verdict(
    truth: &Truth,
    key: KeyIndex,
    committed: &[VersionIndex],
    seen: &CausalContext,
    verdict: Verdict,
) -> Result<(), Violation> {
    let missed = committed.iter().filter_map(|index| truth.version(*index));
    let mut missed = missed.filter(|version| !seen.covers(version.dot)).peekable();
    let what = match verdict {
        Verdict::Stale if missed.peek().is_none() => "was called stale, and missed nothing".to_owned(),
        Verdict::Behind | Verdict::Fresh { .. } => {
            // Nobody can know of a home that was set back unnoticed, or of what a second node of its name did.
            let kept = |version: &&crate::sim::truth::Version| {
                !version.lost && version.set_back == 0 && version.by_ghost == 0
            };
            let Some(version) = missed.find(kept) else { return Ok(()) };
            format!("was called {}, and missed {}", verdict.name(), shown(version.dot))
        }
        Verdict::Stale | Verdict::Suspect | Verdict::Unknown(_) => return Ok(()),
    };
    Err(Violation::at(Invariant::Sli, key, format!("a read {what}")))
}
