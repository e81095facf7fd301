//! `[slo.sets.NAME]`: objectives of their own for sets of buckets; and all of `[slo]` as the engine goes by it.
//!
//! A set's alerts follow its objectives where it has its own, else they are those of all buckets.

use std::time::Duration;

use super::reader::{Fallback, Reader};
use super::slo::{AGES, BurnConfig, Objectives, SHARES, SloConfig, three_fifths};
use crate::protocol::slo::{BucketPattern, Burn, Level, Plan, Promise};

const SECTION: &str = "slo.sets";
const NAME: &str = "[slo.sets.NAME] with a NAME of 1 to 64 characters of A-Z a-z 0-9 _ -";
const BUCKETS: &str = "a list of 1 to 64 names of buckets, or beginnings of names with * after them, such as \
                       [\"carts\", \"sess*\"]";

/// `[slo.sets.NAME]`: a set of buckets. What it leaves out is that of all buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct SetConfig {
    /// Its name, which its objectives carry in brackets.
    pub name: String,
    /// Its buckets; they may be in other sets too.
    pub buckets: Vec<BucketPattern>,
    /// P95 of the staleness age of reads.
    pub age_p95: Duration,
    /// The share of reads that may be stale.
    pub stale_reads: f64,
    /// P99.9 of the convergence time of writes.
    pub convergence_p999: Duration,
}

impl SetConfig {
    pub(super) fn read_all(r: &mut Reader, objectives: &Objectives) -> Vec<Self> {
        let mut sets = Vec::new();
        for name in r.names_under(SECTION) {
            if !is_name(&name) {
                r.refuse_table(SECTION, &name, "not the name of a set", NAME);
            } else if sets.len() == Plan::SETS_MAX {
                let accepted = format!("at most {} sets", Plan::SETS_MAX);
                r.refuse_table(SECTION, &name, "one set more than there may be", &accepted);
            } else {
                sets.push(Self::read(r, name, objectives));
            }
        }
        sets
    }

    fn read(r: &mut Reader, name: String, objectives: &Objectives) -> Self {
        let key = |key: &str| format!("{SECTION}.{name}.{key}");
        let pattern = |text: &str| {
            BucketPattern::parse(text)
                .ok_or_else(|| format!("{text:?} is no bucket, nor the beginning of one"))
        };
        let buckets = r.list(key("buckets"), BUCKETS, pattern, BucketPattern::to_string);
        if !(1..=Plan::PATTERNS_MAX).contains(&buckets.len()) {
            let fault = if buckets.is_empty() { "a set of no buckets" } else { "too many" };
            r.contradiction(&[&key("buckets")], fault.to_owned(), BUCKETS.to_owned());
        }
        let age = Fallback::Follows("slo.age_p95", objectives.age_p95);
        let stale = Fallback::Follows("slo.stale_reads", objectives.stale_reads);
        let convergence = Fallback::Follows("slo.convergence_p999", objectives.convergence_p999);
        Self {
            age_p95: r.duration(key("age_p95"), age, AGES),
            stale_reads: r.number(key("stale_reads"), stale, SHARES),
            convergence_p999: r.duration(key("convergence_p999"), convergence, AGES),
            buckets,
            name,
        }
    }
}

fn is_name(name: &str) -> bool {
    crate::protocol::ids::BucketName::new(name).is_ok()
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl SloConfig {
    /// As the engine goes by it. Windows, and how long a state must last, are shrunk by `slo.time_scale`; levels of what
    /// is measured are not.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let scaled = |duration: Duration| us(duration.mul_f64(self.time_scale)).max(1);
        let burn = |burn: &BurnConfig| Burn {
            rate: burn.rate,
            long_us: scaled(burn.long),
            short_us: scaled(burn.short),
        };
        let (page, ticket) = (&self.page, &self.ticket);
        Plan {
            window_us: scaled(self.window),
            convergence_window_us: scaled(self.convergence_window),
            budget_window_us: scaled(self.budget_window),
            min_reads: u64::from(self.min_reads),
            stale_counts: self.stale_counts,
            minute_us: scaled(Duration::from_secs(60)),
            age_page_for_us: scaled(page.age_p95_for),
            age_ticket_minutes: u64::from(ticket.age_p95_minutes),
            age_ticket_within_us: scaled(ticket.age_p95_within),
            page_burns: [burn(&page.burn_fast), burn(&page.burn_slow)],
            ticket_burns: [burn(&ticket.burn_fast), burn(&ticket.burn_slow)],
            overall: self.overall(),
            sets: self.sets.iter().map(|set| self.promise(set)).collect(),
        }
    }

    fn overall(&self) -> Promise {
        let (page, ticket) = (&self.page, &self.ticket);
        Promise {
            name: None,
            buckets: Vec::new(),
            age: Level { target: us(self.age_p95), page: us(page.age_p95), ticket: us(ticket.age_p95) },
            stale: Level { target: self.stale_reads, page: page.stale_reads, ticket: ticket.stale_reads },
            convergence: Level {
                target: us(self.convergence_p999),
                page: us(page.convergence_p999),
                ticket: us(ticket.convergence_p999),
            },
            unconverged_us: us(page.unconverged),
        }
    }

    fn promise(&self, set: &SetConfig) -> Promise {
        let mut promise = self.overall();
        (promise.name, promise.buckets) = (Some(set.name.clone()), set.buckets.clone());
        if set.age_p95 != self.age_p95 {
            let target = us(set.age_p95);
            promise.age = Level { target, page: target, ticket: target };
        }
        if set.stale_reads != self.stale_reads {
            let target = set.stale_reads;
            promise.stale = Level { target, page: target, ticket: target / 2.0 };
        }
        if set.convergence_p999 != self.convergence_p999 {
            let (target, ticket) = (us(set.convergence_p999), us(three_fifths(set.convergence_p999)));
            promise.convergence = Level { target, page: target, ticket };
            promise.unconverged_us = target;
        }
        promise
    }
}
