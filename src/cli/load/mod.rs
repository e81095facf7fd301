//! `neap load`, and what the benchmark and the demo drive a cluster with.
//!
//! Requests go over plain HTTP/1.1 connections of its own rather than the commands' client: the load generator
//! shares the cores with the servers it measures, and each microsecond it takes is one they lack.

mod command;
mod head;
mod keys;
mod latencies;
mod nodes;
mod raw;

pub use command::{LoadArgs, run};
pub use head::Head;
pub use keys::{Distribution, KeyChooser, key_name};
pub use latencies::Latencies;
pub use raw::{RawConnection, RawReply, request};
