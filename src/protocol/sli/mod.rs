//! What is observed of every operation: service level indicators, before anything is made of them.

mod observation;

pub use observation::{
    ConvergedObserved, MergeObserved, Observation, OperationOutcome, Path, ReadObserved, UnconvergedObserved,
    VerdictObserved, WriteObserved,
};
