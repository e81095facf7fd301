//! A replica: what one node does with the objects that it holds.
//!
//! ```text
//!  own coordinator ──Coordinate──> read, decide, dot + HLC, write ──> stamped, then (durable) acknowledged
//!  any coordinator ──Apply───────> read, merge, write             ──> (durable) acknowledged
//!                  ──Fetch───────> read                           ──> what is held
//! ```
//!
//! Reading an object, changing it and writing it back is one step, which nothing comes between. The machine asks
//! its [`ReplicaHost`] for everything that is not a rule: the disk, the clock, the next dot.

mod host;
mod machine;
mod scan;
mod step;

pub use host::{Held, ReplicaHost, ScanHost, ScannedRecord};
pub use machine::{PARKED_MAX, Replica, ReplicaAsk, ReplicaCount, ReplicaEffect, WAITING_MAX};
pub use scan::{SCAN_LOOKS_AT, scan_page};
pub use step::{Decision, Written, carry_out, decide, merge};
