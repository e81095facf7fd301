//! Invariant 6: an SLI is never better than the truth: every `stale`, `behind` and `fresh` verdict is right, and so is
//! every convergence time, within its stated error; no committed write that some home lacks is forgotten. Once writes have
//! stopped and all is repaired, no read is called worse than fresh.
//!
//! `suspect` and `unknown` claim nothing. Verdicts rest on monotonic clocks that keep their rate within
//! [`neap_protocol::staleness::DRIFT_PPM`] of each other; nothing is asked of reads among nodes whose clocks do not.

use super::causality::shown;
use super::{Invariant, Violation};
use crate::clients::Compared;
use crate::network::NodeIndex;
use crate::queue::{MICROS, Time};
use crate::truth::{KeyIndex, NEVER, Truth, Version, VersionIndex};
use neap_protocol::causality::CausalContext;
use neap_protocol::coordinator::ConvergedWrite;
use neap_protocol::ids::Dot;
use neap_protocol::slo::StaleRate;
use neap_protocol::staleness::{Convergence, DRIFT_PPM, Verdict};

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

/// This was said of how long a write took to reach all homes. Time is told by clocks that may be off by
/// [`DRIFT_PPM`].
pub fn convergence(truth: &Truth, write: &ConvergedWrite) -> Result<(), Violation> {
    let Some((_, version)) = truth.named(write.dot) else { return Ok(()) };
    if !stays_applied(version) {
        return Ok(());
    }
    let Convergence { us, error_us, exactly, .. } = write.convergence;
    let broken = |what: String| Err(Violation::at(Invariant::Sli, version.key, what));
    if version.converged_at == NEVER {
        return broken(format!("{} was called converged, and some home lacks it", shown(write.dot)));
    }
    let took = version.converged_at.saturating_sub(version.committed_at) / MICROS;
    let slack = took * DRIFT_PPM / 1_000_000 + 2;
    let least = if exactly { us.saturating_sub(error_us) } else { 0 };
    let most = if exactly { us + error_us } else { us };
    if took + slack < least || took > most + slack {
        let what =
            format!("{} was said to converge in {least} to {most} us, and took {took} us", shown(write.dot));
        return broken(what);
    }
    Ok(())
}

/// So many reads were called stale, or suspect, and so many were.
pub fn rate(compared: &Compared) -> Result<(), Violation> {
    let Compared { reads, stale, suspect, truly_stale, .. } = *compared;
    if (stale..=stale + suspect).contains(&truly_stale) {
        return Ok(());
    }
    let what = format!(
        "of {reads} reads {stale} were called stale and {suspect} suspect, and {truly_stale} were stale"
    );
    Err(Violation::of(Invariant::Sli, what))
}

/// Reads of a window, by the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrueReads {
    /// Reads.
    pub all: u64,
    /// Those of them that missed a committed version for sure.
    pub at_least: u64,
    /// The same with those of which nobody can say.
    pub at_most: u64,
}

/// This was said of the share of stale reads over a window of `sampled` reads.
pub fn interval(truly: TrueReads, sampled: u64, told: Option<StaleRate>) -> Result<(), Violation> {
    let TrueReads { all, at_least, at_most } = truly;
    let broken = |what: String| Err(Violation::of(Invariant::Sli, what));
    if all != sampled {
        return broken(format!("{all} reads were answered within a window, and {sampled} counted"));
    }
    let Some(StaleRate { low: Some(low), high: Some(high), .. }) = told else { return Ok(()) };
    let of = |reads: u64| reads as f64 / all as f64;
    // Shares of equal counts may differ by a rounding.
    if low > of(at_most) + 1e-9 || high < of(at_least) - 1e-9 {
        return broken(format!(
            "{low} to {high} of {all} reads of a window were said to be stale, and {at_least} to {at_most} were"
        ));
    }
    Ok(())
}

/// Whether one of these versions is such that nodes can know that it was missed.
#[must_use]
pub fn misses_what_can_be_known(truth: &Truth, missed: &[VersionIndex]) -> bool {
    missed.iter().filter_map(|index| truth.version(*index)).any(is_knowable)
}

/// What a read missed; where nothing is said to be missed, of what nodes can know of.
#[must_use]
pub fn missed<'a>(
    truth: &'a Truth,
    committed: &[VersionIndex],
    seen: &CausalContext,
    verdict: Verdict,
) -> Vec<&'a Version> {
    let said = matches!(verdict, Verdict::Stale | Verdict::Suspect);
    let missed = committed.iter().filter_map(|index| truth.version(*index));
    missed.filter(|version| !seen.covers(version.dot) && (said || is_knowable(version))).collect()
}

/// How long a write took from its commit to the last home; none if that cannot be said.
#[must_use]
pub fn took(truth: &Truth, dot: Dot) -> Option<Time> {
    let (_, version) = truth.named(dot)?;
    let known = stays_applied(version) && version.converged_at != NEVER;
    known.then(|| version.converged_at.saturating_sub(version.committed_at))
}

/// Nobody can know of a home that was set back unnoticed, or of what a second node of its name did.
fn is_knowable(version: &Version) -> bool {
    !version.lost && version.set_back == 0 && version.by_ghost == 0
}

/// Whether what a home once had it has still, as far as anybody can know.
#[must_use]
pub fn stays_applied(version: &Version) -> bool {
    !version.unapplied && is_knowable(version)
}

/// So many committed writes of a run are said not to have reached all homes, and of so many of earlier runs it is said
/// not to be known.
pub fn unconverged(
    truth: &Truth,
    (node, run): (NodeIndex, u64),
    reported: u64,
    untracked: u64,
) -> Result<(), Violation> {
    let counts = |version: &&Version| {
        stays_applied(version)
            && version.committed_at != NEVER
            && version.converged_at == NEVER
            && version.by.0 == node
    };
    let (own, former): (Vec<_>, Vec<_>) =
        truth.versions().iter().filter(counts).partition(|version| version.by.1 == run);
    let what = match (own.first(), former.first()) {
        (Some(version), _) if reported < own.len() as u64 => format!(
            "{reported} writes were said to be unconverged of {} that are, among them {}",
            own.len(),
            shown(version.dot)
        ),
        (_, Some(version)) if untracked == 0 => {
            format!("nobody said that the tracking of {} was lost", shown(version.dot))
        }
        _ => return Ok(()),
    };
    Err(Violation::of(Invariant::Sli, what))
}

/// This was said of a read that began after writes had stopped, and all homes had been repaired: the stale-read rate falls
/// to 0. A request that was under way for longer than its client waited may still have been carried out since the repair
/// began, at `since`: then not all homes need have what it wrote.
pub fn after_repair(truth: &Truth, key: KeyIndex, since: Time, verdict: Verdict) -> Result<(), Violation> {
    let versions = truth.key(key).into_iter().flat_map(|key| &key.written);
    if versions.filter_map(|index| truth.version(*index)).any(|version| version.written_at >= since) {
        return Ok(());
    }
    match verdict {
        Verdict::Stale | Verdict::Suspect | Verdict::Behind => {
            let what = format!("a read was called {} long after the last write", verdict.name());
            Err(Violation::at(Invariant::Sli, key, what))
        }
        Verdict::Fresh { .. } | Verdict::Unknown(_) => Ok(()),
    }
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
            let Some(version) = missed.find(|version| is_knowable(version)) else { return Ok(()) };
            format!("was called {}, and missed {}", verdict.name(), shown(version.dot))
        }
        Verdict::Stale | Verdict::Suspect | Verdict::Unknown(_) => return Ok(()),
    };
    Err(Violation::at(Invariant::Sli, key, format!("a read {what}")))
}
