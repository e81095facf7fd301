//! Tests of causality.

mod clock;
mod laws;
mod model;
mod retries;
mod schedules;
mod token;
mod vectors;
