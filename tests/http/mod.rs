//! Tests of the REST edge: a real server on a loopback port, over a node that is only a table.

mod batch;
mod callers;
mod client;
mod connections;
mod contract;
mod failures;
mod fake;
mod keys;
mod listing;
mod refusals;
mod ring_and_buckets;
mod routes;
mod siblings;
mod slo;
mod slow_clients;
mod values;

pub use client::{Answer, takes_json};
