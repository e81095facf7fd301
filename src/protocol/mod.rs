//! The pure core: every rule of the protocol, as plain values and state machines.
//!
//! Nothing here reads a clock, opens a socket, takes a lock or draws a random number: time, seeds and
//! messages come in as arguments, effects come out as values. A test fails the build when a file of this
//! room imports a runtime, a clock, randomness or I/O.

pub mod admission;
pub mod bounds;
pub mod bucket;
pub mod causality;
pub mod coordinator;
pub mod ids;
pub mod latency;
pub mod listing;
pub mod membership;
pub mod message;
pub mod operation;
pub mod pbs;
pub mod quorum;
pub mod replica;
pub mod ring;
pub mod settings;
pub mod sli;
pub mod slo;
pub mod staleness;
pub mod time;
pub mod view;
pub mod wall_clock;
