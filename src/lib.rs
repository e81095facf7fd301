//! neap: a Dynamo-style replicated key-value store whose staleness is a measured, alertable objective.
//!
//! The map of the house. An arrow points at whom a room may know:
//!
//! ```text
//! cli ──> actors ──> http ──> protocol <── storage <── sim
//!           ├──> transport, storage (through their traits)
//!           └──> telemetry
//! ```
//!
//! * [`protocol`] decides everything and touches nothing: no clock, socket, lock, thread or randomness. A crate of its own,
//!   as are [`storage`] and [`sim`].
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
pub mod telemetry;
pub mod transport;

pub use neap_protocol as protocol;
pub use neap_sim as sim;
pub use neap_storage as storage;
