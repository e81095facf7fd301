//! Time as the protocol knows it: monotonic moments for deadlines, hybrid logical clocks for versions.
//!
//! The HLC is Kulkarni et al., "Logical Physical Clocks" (2014): it follows the wall clock, never goes back,
//! and never issues a value twice. Here it also never issues a value above a *ceiling* that was synced
//! before, so that a restart, which begins above the ceiling, cannot repeat a value it does not remember.

use crate::planted::{self, Bug};
use std::fmt;

/// A moment of one node's monotonic clock, in microseconds. Two nodes' moments are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `micros` microseconds later.
    #[must_use]
    pub fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds since `earlier`; 0 if it is not earlier.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Microseconds since the Unix epoch, as a wall clock shows them: may jump, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMicros(pub u64);

/// A hybrid logical time: microseconds since the Unix epoch in the high 52 bits, a counter in the low 12.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

const COUNTER_BITS: u32 = 12;

impl Hlc {
    /// Before every time that is ever issued.
    pub const ZERO: Self = Self(0);

    /// The first HLC of the microsecond `wall`. 52 bits last until the year 2112; a later wall clock counts as
    /// the last microsecond that they hold, so that no time ever wraps round to an early one.
    #[must_use]
    pub fn from_wall(wall: WallMicros) -> Self {
        Self(shifted(wall.0))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn wall(self) -> WallMicros {
        WallMicros(self.0 >> COUNTER_BITS)
    }

    /// The next HLC; a full counter carries into the microseconds.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This time moved back by `micros` microseconds, not below zero.
    #[must_use]
    pub fn minus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(shifted(micros)))
    }

    /// This time moved forward by `micros` microseconds.
    #[must_use]
    pub fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(shifted(micros)))
    }
}

fn shifted(micros: u64) -> u64 {
    micros.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us+{}", self.wall().0, self.0 & ((1 << COUNTER_BITS) - 1))
    }
}

/// Why a frame's clock was refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer's clock is {ahead_us} us ahead, more than the {max_skew_us} us of clock.max_skew")]
pub struct ClockTooFarAhead {
    /// How far the peer's clock is ahead of ours, in microseconds.
    pub ahead_us: u64,
    /// The limit, in microseconds.
    pub max_skew_us: u64,
}

/// The clock stands at its synced ceiling: a higher one must be synced before the next HLC is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock's ceiling {ceiling:?} is reached and no higher one is synced yet")]
pub struct CeilingReached {
    /// The ceiling in force.
    pub ceiling: Hlc,
}

/// What the own wall clock shows, and the highest that it ever showed: peers are judged by the latter, so that clocks that
/// were all set back do not stop a cluster. Never by a hybrid clock, which a fast peer could drag on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallReadings {
    /// Now.
    pub now: WallMicros,
    /// Of all readings, also of earlier runs: it is synced with the ceiling.
    pub highest: WallMicros,
}

/// One sequence of HLCs. It never issues a value twice, nor one above the ceiling.
#[derive(Debug, Clone)]
pub struct HybridClock {
    last: Hlc,
    ceiling: Hlc,
    max_skew_us: u64,
}

/// How far above the clock a new ceiling is put, in microseconds: one sync buys this much time. A restart
/// waits until the wall clock has passed the ceiling it found, since peers judge its frames' clocks by theirs.
pub const CEILING_STEP_US: u64 = 1_000_000;

/// The ceiling to sync next, once less than half a step is left between what a clock shows and the one in force.
///
/// None while the run is not `confirmed`: by the ceiling that it finds, peers know a restored backup. Were it raised
/// before they have judged it, the next run would find a higher one, and pass.
#[must_use]
pub fn ceiling_ahead(shown: Hlc, synced: Hlc, confirmed: bool) -> Option<Hlc> {
    let low = shown.plus_micros(CEILING_STEP_US / 2) > synced;
    let confirmed = confirmed || planted::has(Bug::ForgetRefusal);
    (low && confirmed).then(|| shown.plus_micros(CEILING_STEP_US))
}

/// How long a start waits until the wall clock has passed the ceiling that it found, in microseconds, so that its
/// frames do not seem to come from the future. A wall clock that was set back is not waited for: it showed `highest`
/// before, and so did those of the peers.
#[must_use]
pub fn wait_for_wall_us(found: Hlc, own: WallReadings) -> u64 {
    found.wall().0.saturating_sub(own.now.max(own.highest).0).min(WAIT_FOR_WALL_MAX_US)
}

/// The longest that a start waits for the wall clock, in microseconds.
pub const WAIT_FOR_WALL_MAX_US: u64 = 5_000_000;

/// Where the synced ceiling of a node's clocks is kept.
pub trait CeilingKeeper {
    /// Why a ceiling was not synced.
    type Error: From<CeilingReached>;

    /// The ceiling in force.
    fn synced(&self) -> Hlc;

    /// Makes a higher one durable before it returns, with the highest reading of the wall clock; it is then in force.
    fn raise(&self, to: Hlc) -> Result<(), Self::Error>;
}

impl HybridClock {
    /// A clock that begins above `start`, the ceiling found on disk, and may issue up to `ceiling`, which
    /// must be synced. `max_skew_us` bounds what it takes from peers.
    #[must_use]
    pub fn new(start: Hlc, ceiling: Hlc, max_skew_us: u64) -> Self {
        let start = if planted::has(Bug::ForgetCeiling) { Hlc::ZERO } else { start };
        Self { last: start, ceiling, max_skew_us }
    }

    /// The next HLC, above all issued and observed before it.
    pub fn issue(&mut self, now: WallMicros) -> Result<Hlc, CeilingReached> {
        let next = self.last.next().max(Hlc::from_wall(now));
        // At the very end of its range `next` saturates, and would be issued twice.
        if next > self.ceiling || next == self.last {
            return Err(CeilingReached { ceiling: self.ceiling });
        }
        self.last = next;
        Ok(next)
    }

    /// What the clock shows, without issuing it. The next HLC issued is not below it, yet may equal it, and it
    /// may lie above the ceiling: it dates a frame, and is no promise about what will be issued.
    #[must_use]
    pub fn read(&self, now: WallMicros) -> Hlc {
        self.last.max(Hlc::from_wall(now))
    }

    /// Takes the clock of a frame into account. Only frames' clocks are judged and merged; the stored times
    /// of versions never are.
    pub fn observe(&mut self, frame: Hlc, own: WallReadings) -> Result<(), ClockTooFarAhead> {
        let highest = own.now.max(own.highest);
        let ahead_us = frame.wall().0.saturating_sub(highest.0);
        if ahead_us > self.max_skew_us {
            return Err(ClockTooFarAhead { ahead_us, max_skew_us: self.max_skew_us });
        }
        self.last = self.last.max(frame);
        Ok(())
    }

    /// The next HLC, with a higher ceiling synced first where the one in force is reached: only a clock that
    /// jumped, or one whose ceiling was not kept ahead, gets there.
    pub fn issue_raising<K: CeilingKeeper>(&mut self, now: WallMicros, keeper: &K) -> Result<Hlc, K::Error> {
        if let Ok(hlc) = self.issue(now) {
            return Ok(hlc);
        }
        let next = self.read(now).next();
        if next >= keeper.synced() {
            keeper.raise(next.plus_micros(CEILING_STEP_US))?;
        }
        self.raise_ceiling(keeper.synced());
        self.issue(now).map_err(K::Error::from)
    }

    /// A higher ceiling has been synced.
    pub fn raise_ceiling(&mut self, synced: Hlc) {
        self.ceiling = self.ceiling.max(synced);
    }
}
