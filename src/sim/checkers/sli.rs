//! Invariant 6: an SLI is never better than the truth.
//!
//! Its checker comes with the verdicts on reads and the convergence times of writes. The truth that it will hold them
//! against is in [`crate::sim::truth`] already, and `neap sim` shows it.
