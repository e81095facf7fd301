//! What is observed of every operation: service level indicators, before anything is made of them.

mod lost;
mod observation;

pub use lost::untracked_at_start;
pub use observation::{
    ConvergedObserved, MergeObserved, Observation, OperationOutcome, Path, ReadObserved, UnconvergedObserved,
    VerdictObserved, WriteObserved,
};
