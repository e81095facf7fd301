//! What a home says of the states of a key that it was in lately.

use crate::causality::{CausalContext, Object};
use crate::ids::{Dot, TraceContext};
use crate::sli::Path;
use crate::staleness::bounds::{ClockBounds, Interval};
use crate::time::{Hlc, Moment};

/// How many states a digest holds at the most; the newest are kept.
pub const STATES_MAX: usize = 16;

/// How many states of a digest name the trace of their write at the most; the newest do.
pub const TRACES_MAX: usize = 4;

/// A version that lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenVersion {
    /// Its name.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// The W it was written with.
    pub w: u8,
}

/// The trace of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteTrace {
    /// The version that was written.
    pub dot: Dot,
    /// The trace, and the span in which the coordinator asked a replica to apply the write.
    pub context: TraceContext,
}

/// A state of a key at one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenState {
    /// When the home came to it, by its own monotonic clock; none if that was before its history begins.
    pub applied_at: Option<Moment>,
    /// By which way it came to it.
    pub path: Path,
    /// All that the home had seen of the key by then.
    pub context: CausalContext,
    /// What lived.
    pub versions: Vec<SeenVersion>,
    /// The trace of the write that led to it; none if that had none, or is not known.
    pub trace: Option<Box<WriteTrace>>,
}

impl SeenState {
    /// The state that `object` is in.
    #[must_use]
    pub fn of(object: &Object, applied_at: Option<Moment>, path: Path) -> Self {
        let versions = object.versions().iter();
        let versions = versions
            .map(|version| SeenVersion { dot: version.dot, hlc: version.hlc, w: version.w })
            .collect();
        Self { applied_at, path, context: object.context().clone(), versions, trace: None }
    }

    /// The same state, which a write of this trace led to.
    #[must_use]
    pub fn traced(self, trace: Option<WriteTrace>) -> Self {
        Self { trace: trace.map(Box::new), ..self }
    }
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Which clock the moments are of: another run of the home has another. It is the id of the run's first actor, so
    /// it tells whose versions those of that actor are.
    pub clock: u64,
    /// When the home answered.
    pub at: Moment,
    /// Since when nothing of the key's history is missing.
    pub complete_since: Moment,
    /// The states, the oldest first; never empty. The first holds since `complete_since` at the latest.
    pub states: Vec<SeenState>,
}

/// A state, by the clock of whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightedState {
    /// When the home came to it; none if that was before its history begins.
    pub applied: Option<Interval>,
    /// By which way it came to it.
    pub path: Path,
    /// All that the home had seen of the key by then.
    pub context: CausalContext,
    /// What lived.
    pub versions: Vec<SeenVersion>,
    /// The trace of the write that led to it; none if that had none, or is not known.
    pub trace: Option<Box<WriteTrace>>,
}

/// A digest, by the clock of whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Since when nothing is missing.
    pub complete_since: Interval,
    /// The states, the oldest first.
    pub states: Vec<SightedState>,
}

impl Digest {
    /// Tells one's own, which is answered at `now`.
    #[must_use]
    pub fn own(self, now: Moment) -> Sighting {
        let bounds = ClockBounds::of(self.clock, (self.at, self.at), (self.at, now));
        self.sighted(&bounds)
    }

    /// Tells it by the clock that `bounds` relates the home's to.
    #[must_use]
    pub fn sighted(self, bounds: &ClockBounds) -> Sighting {
        let local = |moment| bounds.local(moment);
        let states = self.states.into_iter().map(|state| SightedState {
            applied: state.applied_at.map(local),
            path: state.path,
            context: state.context,
            versions: state.versions,
            trace: state.trace,
        });
        Sighting { complete_since: local(self.complete_since), states: states.collect() }
    }
}
