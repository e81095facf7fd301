//! The program: one file a command.

pub mod bucket;
mod duration;
pub mod exit;
pub mod kv;
mod remote;
pub mod ring;
mod table;
