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

mod effects;
mod host;
mod machine;
mod scan;
mod step;

pub use effects::{LargeObject, ReplicaCount, ReplicaEffect};
pub use host::{Held, LackingObject, ReplicaHost, ScanHost, ScannedRecord};
pub use machine::{PARKED_MAX, Replica, ReplicaAsk, WAITING_MAX};
pub use scan::{PageBounds, SCAN_LOOKS_AT, ScanFinding, scan_page};
pub use step::{Decision, Prospect, Written, carry_out, decide, merge};
