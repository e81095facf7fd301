//! Every integration test, in one binary; a folder a concern.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests say what broke by failing"
)]

mod admission;
mod causality;
mod cli;
mod cluster;
mod contract;
mod coordinator;
mod fuzzing;
mod http;
mod http_bad_input;
mod listing;
mod otel;
mod pbs;
mod replica;
mod ring;
mod sim;
mod slo;
mod storage;
mod telemetry;
mod transport;
