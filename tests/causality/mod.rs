//! Tests of causality.

mod laws;
mod model;
mod retries;
mod schedules;
