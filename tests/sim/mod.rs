//! The simulator, over the seeds and stories that must hold, and against what is published.

mod published;
mod regressions;
mod repair;
mod seeds;
