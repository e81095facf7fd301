//! The pure core: every rule of the protocol, as plain values and state machines.
//!
//! Nothing here reads a clock, opens a socket, takes a lock or draws a random number: time, seeds and
//! messages come in as arguments, effects come out as values. `clippy.toml` of this crate refuses the rest, and no
//! runtime is among its dependencies.
#![cfg_attr(
    feature = "planted",
    expect(
        clippy::disallowed_macros,
        reason = "tests of the simulator run side by side, each with a bug of its own"
    )
)]

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
#[doc(hidden)]
pub mod planted;
pub mod quorum;
pub mod replica;
pub mod ring;
pub mod settings;
pub mod sli;
pub mod slo;
pub mod staleness;
pub mod time;
mod trace_context;
pub mod view;
pub mod wall_clock;
