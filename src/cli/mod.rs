//! The program: one file a command.

pub mod exit;
