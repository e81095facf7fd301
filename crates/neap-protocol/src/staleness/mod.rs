//! Whether a read was stale, and by how much: what homes say of their recent states, when that was by the
//! coordinator's clock, and the verdict.
//!
//! ```text
//! replica: History ── Digest ──> coordinator: PeerClocks ── Sighting ──> judge ──> Judgement
//! ```
//!
//! A verdict is never better than the truth: what was not observed is unknown, what cannot be ordered is suspect, and
//! neither counts as fresh.

mod applied;
mod bounds;
mod clocks;
mod digest;
mod explain;
mod history;
mod sample;
mod unjudged;
mod verdict;

pub use applied::{AppliedAt, Came, Convergence, committed_at, converged};
pub use bounds::{ClockBounds, DRIFT_PPM, Interval};
pub use clocks::PeerClocks;
pub use digest::{
    Digest, STATES_MAX, SeenState, SeenVersion, SightedState, Sighting, TRACES_MAX, WriteTrace,
};
pub use explain::{Evidence, Explanation, MissedWrite, ReplicaState, VersusReply, explain};
pub use history::{Change, EVENTS_MAX, History, Since};
pub use sample::Sampling;
pub use unjudged::{
    KEPT_FOR_US, LateVerdict, Place, UNJUDGED_BYTES_MAX, UNJUDGED_READS_MAX, UnjudgedLimits, UnjudgedReads,
};
pub use verdict::{BehindReply, HomeView, Judgement, Lacked, Missed, Question, UnknownCause, Verdict, judge};
