//! Lookup in a ring and computing its layout.

fn main() {}
