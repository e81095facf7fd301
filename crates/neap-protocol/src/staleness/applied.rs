//! When a home came to have a write, and how long that took all homes.

use super::bounds::{ClockBounds, Interval};
use crate::sli::Path;
use crate::time::Moment;

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
    /// Whether the home remembers when that was; else it had it by the end of the time.
    pub exactly: bool,
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

/// An error of less than this, in microseconds, is no more than clocks are off, whatever share of the time it is.
const CLOCKS_ARE_OFF_US: u64 = 20_000;

/// How long it took from a write's commit to the last home having it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convergence {
    /// In microseconds.
    pub us: u64,
    /// By how much this may be off, in microseconds.
    pub error_us: u64,
    /// Whether that is no more than clocks are off. Else it may have been shorter by all of the error, and is not longer:
    /// of some home no more is known than that it had the write by some time, or its clock was hardly known, as after a
    /// restart behind a slow link. The middle of such a time would be better than the truth as often as worse.
    pub exactly: bool,
    /// By which way the last home came to have it.
    pub path: Path,
}

/// When `w` homes had a write; none if fewer are known to have it.
#[must_use]
pub fn committed_at(homes: &[Came], w: u8) -> Option<Interval> {
    let mut times: Vec<Interval> = homes.iter().map(|came| came.at).collect();
    times.sort_unstable_by_key(|at| at.middle());
    times.get(usize::from(w).checked_sub(1)?).copied()
}

/// From the commit to the last of `homes`, which are all of the key's. None if fewer than `w` have it.
#[must_use]
pub fn converged(homes: &[Came], w: u8) -> Option<Convergence> {
    let exactly = homes.iter().all(|came| came.exactly);
    let last = homes.iter().max_by_key(|came| came.at.to)?;
    let path = last.path;
    if usize::from(w) >= homes.len() {
        return (usize::from(w) == homes.len()).then_some(Convergence {
            us: 0,
            error_us: 0,
            exactly: true,
            path,
        });
    }
    let widest = homes.iter().map(|came| came.at.half_width_us()).max()?;
    let error_us = widest.saturating_mul(2);
    let committed = committed_at(homes, w)?;
    let us = last.at.middle().micros_since(committed.middle());
    if !exactly || error_us > CLOCKS_ARE_OFF_US.max(us / 100) {
        let mut earliest: Vec<Moment> = homes.iter().map(|came| came.at.from).collect();
        earliest.sort_unstable();
        let us = last.at.to.micros_since(*earliest.get(usize::from(w).checked_sub(1)?)?);
        return Some(Convergence { us, error_us: us, exactly: false, path });
    }
    Some(Convergence { us, error_us, exactly: true, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(from: u64, to: u64) -> Came {
        Came { at: Interval { from: Moment(from), to: Moment(to) }, exactly: true, path: Path::Direct }
    }

    #[test]
    fn convergence_counts_from_the_commit_to_the_last_home() {
        let homes = [came(100, 100), came(900, 1_100), came(290, 310)];
        let of = |w| converged(&homes, w).map(|convergence| (convergence.us, convergence.error_us));
        assert_eq!(of(1), Some((900, 200)));
        assert_eq!(of(2), Some((700, 200)));
        assert_eq!(of(3), Some((0, 0)), "all homes had it when it was committed");
        assert_eq!(of(4), None);
    }

    #[test]
    fn of_what_a_home_does_not_remember_convergence_is_never_too_short() {
        let homes = [came(100, 100), Came { exactly: false, ..came(50, 1_100) }, came(290, 310)];
        let convergence = converged(&homes, 2).unwrap();
        assert_eq!((convergence.us, convergence.error_us, convergence.exactly), (1_000, 1_000, false));
    }

    #[test]
    fn where_a_clock_is_hardly_known_convergence_is_never_too_short_either() {
        // A request was 200 ms under way, or its answer was.
        let homes = [came(100, 100), came(200, 200_200), came(290, 310)];
        let convergence = converged(&homes, 1).unwrap();
        assert_eq!((convergence.us, convergence.error_us, convergence.exactly), (200_100, 200_100, false));
        // Of a time that is a hundred times as long that is no more than clocks are off.
        let homes = [came(100, 100), came(30_000_000, 30_200_000), came(290, 310)];
        let convergence = converged(&homes, 1).unwrap();
        assert_eq!((convergence.us, convergence.error_us, convergence.exactly), (30_099_900, 200_000, true));
    }
}
