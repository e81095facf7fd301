//! Tests of cli.

mod client_commands;
mod client_connections;
mod scripted_node;
