//! What is promised, and when somebody is told: the `[slo]` section as the engine goes by it.
//!
//! Windows, and how long a state must last, are scaled already. What is measured is not: a staleness of 500 ms is
//! 500 ms at any scale.

use crate::ids::BucketName;

/// Which older answers count as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleCounts {
    /// A committed version was missed: comparable with PBS, 0 when R + W > N.
    Committed,
    /// Some replica had a newer version.
    AnyReplica,
}

/// Buckets by name: one, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketPattern {
    start: String,
    open: bool,
}

impl BucketPattern {
    /// A name, or the beginning of one with `*` after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (start, open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        let known = (start.is_empty() && open) || BucketName::new(start).is_ok();
        known.then(|| Self { start: start.to_owned(), open })
    }

    /// Whether it means this bucket.
    #[must_use]
    pub fn covers(&self, bucket: &BucketName) -> bool {
        if self.open { bucket.as_str().starts_with(&self.start) } else { bucket.as_str() == self.start }
    }
}

impl std::fmt::Display for BucketPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

/// A promise, and what is above what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level<T> {
    /// What is promised.
    pub target: T,
    /// Above this somebody is woken up,
    pub page: T,
    /// above this it waits for the morning.
    pub ticket: T,
}

/// What is promised about all buckets, or about a set of them. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// The set's name; none for all buckets.
    pub name: Option<String>,
    /// Its buckets; none for all of them.
    pub buckets: Vec<BucketPattern>,
    /// P95 of the staleness age.
    pub age: Level<u64>,
    /// The share of reads that may be stale.
    pub stale: Level<f64>,
    /// P99.9 of the convergence time.
    pub convergence: Level<u64>,
    /// A write unconverged for longer than this wakes somebody up.
    pub unconverged_us: u64,
}

impl Promise {
    /// Whether it is about this bucket.
    #[must_use]
    pub fn covers(&self, bucket: &BucketName) -> bool {
        self.name.is_none() || self.buckets.iter().any(|pattern| pattern.covers(bucket))
    }

    /// The name of one of its objectives.
    #[must_use]
    pub fn objective(&self, kind: &str) -> String {
        match &self.name {
            Some(name) => format!("{kind}[{name}]"),
            None => kind.to_owned(),
        }
    }
}

/// A burn rate that counts when it is exceeded over both windows, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Times the rate that uses up the budget exactly.
    pub rate: f64,
    /// The window that shows that it matters.
    pub long_us: u64,
    /// The window that shows that it still goes on.
    pub short_us: u64,
}

/// All that the engine goes by. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Over which age and stale reads are taken.
    pub window_us: u64,
    /// Over which convergence is taken.
    pub convergence_window_us: u64,
    /// Over which the budget of stale reads lasts.
    pub budget_window_us: u64,
    /// Below which a share of reads, or of writes, says nothing.
    pub min_reads: u64,
    /// Which older answers count as stale.
    pub stale_counts: StaleCounts,
    /// A minute.
    pub minute_us: u64,
    /// A P95 of the age above its page level for longer than this wakes somebody up.
    pub age_page_for_us: u64,
    /// In so many minutes or more,
    pub age_ticket_minutes: u64,
    /// of this, above its ticket level, it waits for the morning.
    pub age_ticket_within_us: u64,
    /// The burn rates that wake somebody up.
    pub page_burns: [Burn; 2],
    /// Those that wait for the morning.
    pub ticket_burns: [Burn; 2],
    /// The promise about all buckets.
    pub overall: Promise,
    /// Those about sets of them.
    pub sets: Vec<Promise>,
}

impl Plan {
    /// The most sets there may be.
    pub const SETS_MAX: usize = 16;
    /// The most patterns a set may have.
    pub const PATTERNS_MAX: usize = 64;

    /// All promises, that about all buckets first.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        std::iter::once(&self.overall).chain(&self.sets)
    }

    /// Every window over which reads are counted, ascending, each once.
    #[must_use]
    pub fn read_windows(&self) -> Vec<u64> {
        let burns = self.page_burns.iter().chain(&self.ticket_burns);
        let mut windows: Vec<u64> = burns.flat_map(|burn| [burn.long_us, burn.short_us]).collect();
        windows.extend([self.window_us, self.budget_window_us]);
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        let covers = |pattern: &str, bucket: &str| {
            BucketPattern::parse(pattern).unwrap().covers(&BucketName::new(bucket).unwrap())
        };
        assert!(covers("carts", "carts") && !covers("carts", "carts2"));
        assert!(covers("sess*", "sessions") && covers("sess*", "sess") && !covers("sess*", "ses"));
        assert!(covers("*", "any"));
        for wrong in ["", "a b", "*a", "a**", "a*b"] {
            assert_eq!(BucketPattern::parse(wrong), None, "{wrong}");
        }
        assert_eq!(BucketPattern::parse("sess*").unwrap().to_string(), "sess*");
    }
}
