//! What is measured of a node, and who is told.
//!
//! ```text
//! Observation ──> Instruments ──> Metrics ──┬──> /metrics (prometheus)
//!                                           └──> push, every 10 s ──┐
//! Finished ──> SpanSink ──> batches of spans ───────────────────────┴──> outlet ──> OTLP collector
//! ```
//!
//! No SLI is ever computed from spans. What reaches no collector is counted, to the span.

mod batches;
mod body;
mod collection;
mod convert;
mod encoding;
mod instruments;
mod key;
mod ledger;
pub mod log;
pub mod names;
mod outlet;
mod peers;
pub mod prometheus;
mod push;
mod reads;
mod request;
mod sink;
mod span;
mod standing;
mod start;

pub use collection::Metrics;
pub use instruments::{Instruments, Sources};
pub use key::{KEY_TEXT_MAX, key_attributes};
pub use outlet::TelemetryError;
pub use request::{Call, RequestTrace, Tracing, span_id};
pub use sink::SpanSink;
pub use span::{Finished, Span, SpanEvent, SpanKind};
pub use standing::{ClockStanding, Count, SloStanding, Source, SourceByName, Standing};
pub use start::{Identity, ShutdownReport, Telemetry};

use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::protocol::ids::TraceContext;

/// A count that only rises. Any thread may add to it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// `many` more.
    pub fn add_many(&self, many: u64) {
        self.0.fetch_add(many, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a struct of counters that shows them by name, each name with the prefix given.
macro_rules! counters {
    ($(#[$docs:meta])* $type:ident, $prefix:literal, { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$docs])*
        #[derive(Debug, Default)]
        pub struct $type {
            $($(#[$doc])* pub $name: $crate::telemetry::Counter,)*
        }

        impl $type {
            /// Every counter by name, in the order of declaration.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((concat!($prefix, stringify!($name)), self.$name.get()),)*]
            }
        }
    };
}

pub(crate) use counters;

#[cfg(test)]
mod tests {
    counters! {
        /// Two counters.
        Two, "two_", {
            /// One.
            one,
            /// Other.
            other,
        }
    }

    #[test]
    fn a_snapshot_names_each_counter_once() {
        let two = Two::default();
        two.other.add_many(3);
        assert_eq!(two.snapshot(), [("two_one", 0), ("two_other", 3)]);
    }
}
