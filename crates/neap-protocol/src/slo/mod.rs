//! Objectives on staleness: sliding windows over what is observed, what is promised about it, and when somebody is told.
//!
//! ```text
//! plan      what is promised, and every threshold
//! engine    takes in observations ──> windows (rings of slots) ──> summary, which can be stored, sent and added up
//! expected   answered reads whose verdict is to come
//! age, stale, convergence   one objective each: its value with its interval, its state, and why in a sentence
//! document  what is said of them all at one moment          gather  the summaries of all nodes, added up
//! ```
//!
//! Time comes in; nothing here reads a clock.

mod age;
mod convergence;
mod document;
mod engine;
mod expected;
mod gather;
mod plan;
mod ring;
mod stale;
mod summary;
mod verdict;
mod windows;
pub mod words;

pub use convergence::Pending;
pub use document::{
    BurnRate, ConvergenceView, Objective, SloDocument, SloScope, SloState, SloUnit, StaleRate,
};
pub use engine::Slo;
pub use expected::ExpectedVerdicts;
pub use gather::{Begun, GATHERINGS_MAX, Gathered, Gatherings};
pub use plan::{BucketPattern, Burn, Level, Plan, Promise, StaleCounts};
pub use ring::{Ring, Tally};
pub use summary::{SloSummary, Summarised};
pub use windows::{Ages, Converged, Levels, Minute, Silence, Windows};
