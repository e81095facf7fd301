//! neap: a Dynamo-style replicated key-value store whose staleness is a measured, alertable objective.
//!
//! The map of the house. An arrow points at whom a room may know:
//!
//! ```text
//! cli ──> actors ──> http ──> protocol <── sim
//!           │  └──> transport, storage (through their traits)
//!           └──> telemetry
//! ```
//!
//! * [`protocol`] decides everything and touches nothing: no clock, socket, lock, thread or randomness.
//! * [`sim`] runs it in simulated time, and knows what was true.
//! * [`actors`] drives it on real sockets, disks and clocks.
//! * [`storage`] keeps objects on disk; [`transport`] carries messages between nodes.
//! * [`http`] is the REST edge; [`cli`] the program; [`config`] what both are told.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::todo,
    clippy::dbg_macro
)]

pub mod actors;
pub mod cli;
pub mod client;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod planted;
pub mod protocol;
pub mod sim;
pub mod storage;
pub mod telemetry;
pub mod transport;
