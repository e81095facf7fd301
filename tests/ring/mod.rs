//! Tests of the ring.

mod balance;
mod changes;
mod history;
mod identity;
mod moves;
mod optimum;
mod rules;
