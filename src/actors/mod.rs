//! The runtime: the protocol core on real sockets, disks and clocks.
//!
//! ```text
//!   HTTP workers            shard i (one thread)                     control (one thread)
//!  ┌────────────┐  client  ┌──────────────┐ Coordinate, ┌──────────────┐   ┌──────────────────┐
//!  │ front      │ ───────> │ coordinator  │ ──────────> │ replica      │   │ ring membership  │
//!  │ (permits,  │ <─────── │ (operations) │ <────────── │ store        │   │ bucket settings  │
//!  └────────────┘  oneshot └──────────────┘   answers   └──────────────┘   │ backfill, sli    │
//!                            │ lane ^                     ^ peers' requests└──────────────────┘
//!                            v      │                     │
//!                          other nodes                  group commit thread: one sync, many acknowledgements
//! ```
//!
//! A key belongs to one shard of a node, so reading, stamping and writing it back is one step of one thread.
//! Actors know each other by the `Recipient` handed to their constructor. [`placement`] alone says where an
//! actor runs.

pub mod admission;
pub mod backfill;
pub mod bucket_settings;
pub mod clock;
pub mod completeness;
pub mod coordinator;
pub mod counters;
pub mod front;
pub mod identity;
pub mod key_lister;
pub mod key_pages;
pub mod large_objects;
pub mod late_applies;
pub mod messages;
pub mod node;
pub mod observability;
pub mod peer_lane;
pub mod placement;
pub mod replica_store;
pub mod resident;
pub mod ring_membership;
pub mod service;
pub mod shard;
pub mod shell;
pub mod sli_recorder;
pub mod stalling_store;
pub mod traced_responder;
pub mod traces;
pub mod turnstile;
pub mod underway;
