//! The REST edge.
pub mod backend;
