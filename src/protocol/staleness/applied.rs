//! When a home came to have a write, and how long that took all homes.

use super::bounds::{ClockBounds, Interval};
use crate::protocol::sli::Path;
use crate::protocol::time::Moment;

/// When a home came to have what it acknowledges, by its own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedAt {
    /// Which clock the moments are of: another run of the home has another.
    pub clock: u64,
    /// When the request came.
    pub arrived: Moment,
    /// When the home came to have it, or something that covers it: before the request, if it had it already.
    pub applied: Moment,
    /// Whether that is when it came, or may be later: it was there before the home remembers.
    pub exactly: bool,
    /// When the acknowledgement left: after the sync, where one was waited for.
    pub answered: Moment,
    /// By which way it came.
    pub path: Path,
}

impl AppliedAt {
    /// What the exchange in which this was said says of the home's clock.
    #[must_use]
    pub fn bounds(&self, exchange: (Moment, Moment)) -> ClockBounds {
        ClockBounds::of(self.clock, (self.arrived, self.answered), exchange)
    }
}

/// When a home came to have a write, by the coordinator's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// When.
    pub at: Interval,
    /// By which way.
    pub path: Path,
}

impl Came {
    /// No home has a write before it is written.
    #[must_use]
    pub fn not_before(self, written: Moment) -> Self {
        let Interval { from, to } = self.at;
        Self { at: Interval { from: from.max(written), to: to.max(written) }, ..self }
    }
}

/// How long it took from a write's commit to the last home having it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convergence {
    /// In microseconds; never less than it was.
    pub us: u64,
    /// By how much less it may have been, in microseconds.
    pub error_us: u64,
    /// By which way the last home came to have it.
    pub path: Path,
}

/// When `w` homes had a write, at the earliest; none if fewer are known to have it.
#[must_use]
pub fn committed_at(homes: &[Came], w: u8) -> Option<Moment> {
    let mut moments: Vec<Moment> = homes.iter().map(|came| came.at.from).collect();
    moments.sort_unstable();
    moments.get(usize::from(w).checked_sub(1)?).copied()
}

/// From the commit to the last of `homes`, which are all of the key's. None if fewer than `w` have it.
#[must_use]
pub fn converged(homes: &[Came], w: u8) -> Option<Convergence> {
    let committed = committed_at(homes, w)?;
    let last = homes.iter().max_by_key(|came| came.at.to)?;
    if usize::from(w) == homes.len() {
        return Some(Convergence { us: 0, error_us: 0, path: last.path });
    }
    let widest = homes.iter().map(|came| came.at.to.micros_since(came.at.from)).max()?;
    let us = last.at.to.micros_since(committed);
    Some(Convergence { us, error_us: widest.saturating_mul(2).min(us), path: last.path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(from: u64, to: u64) -> Came {
        Came { at: Interval { from: Moment(from), to: Moment(to) }, path: Path::Direct }
    }

    #[test]
    fn convergence_counts_from_the_commit_to_the_last_home_and_is_never_too_short() {
        let homes = [came(100, 100), came(900, 1_100), came(290, 310)];
        let of = |w| converged(&homes, w).map(|convergence| (convergence.us, convergence.error_us));
        assert_eq!(of(1), Some((1_000, 400)));
        assert_eq!(of(2), Some((810, 400)));
        assert_eq!(of(3), Some((0, 0)), "all homes had it when it was committed");
        assert_eq!(of(4), None);
    }
}
