//! `[slo]`: the objectives and every threshold that pages or opens a ticket.
//!
//! Thresholds that nobody gives follow the objectives, so that a changed objective moves its alerts along.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Fallback, Reader};
use super::slo_sets::SetConfig;
use crate::protocol::slo::StaleCounts;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const WINDOWS: RangeInclusive<Duration> = SECOND..=Duration::from_secs(90 * 86_400);
pub(super) const AGES: RangeInclusive<Duration> = Duration::from_millis(1)..=HOUR;
pub(super) const SHARES: RangeInclusive<f64> = 0.000_001..=1.0;
const BURNS: RangeInclusive<f64> = 0.1..=1_000.0;

/// `[slo]`: the objectives.
#[derive(Debug, Clone, PartialEq)]
pub struct SloConfig {
    /// P95 of the staleness age of reads.
    pub age_p95: Duration,
    /// The share of reads that may be stale.
    pub stale_reads: f64,
    /// P99.9 of the convergence time of writes.
    pub convergence_p999: Duration,
    /// Over which age and stale reads are taken.
    pub window: Duration,
    /// Over which convergence is taken.
    pub convergence_window: Duration,
    /// Over which the budget of stale reads lasts.
    pub budget_window: Duration,
    /// Reads in a window below which a share of them says nothing.
    pub min_reads: u32,
    /// Which older answers count as stale.
    pub stale_counts: StaleCounts,
    /// Shrinks every window and duration alike, for tests and demonstrations.
    pub time_scale: f64,
    /// What wakes somebody up.
    pub page: PageConfig,
    /// What waits for the morning.
    pub ticket: TicketConfig,
    /// Sets of buckets with objectives of their own, by name.
    pub sets: Vec<SetConfig>,
}

impl SloConfig {
    pub(super) fn read(r: &mut Reader) -> Self {
        let age_p95 = r.duration("slo.age_p95", Duration::from_millis(500), AGES);
        let stale_reads = r.number("slo.stale_reads", 0.001, SHARES);
        let convergence_p999 = r.duration("slo.convergence_p999", 5 * SECOND, AGES);
        let objectives = Objectives { age_p95, stale_reads, convergence_p999 };
        Self {
            age_p95,
            stale_reads,
            convergence_p999,
            window: r.duration("slo.window", HOUR, WINDOWS),
            convergence_window: r.duration("slo.convergence_window", 30 * MINUTE, WINDOWS),
            budget_window: r.duration("slo.budget_window", 30 * DAY, WINDOWS),
            min_reads: r.integer("slo.min_reads", 1_000_u32, 1..=1_000_000_000),
            stale_counts: r.choice(
                "slo.stale_counts",
                StaleCounts::Committed,
                &[("committed", StaleCounts::Committed), ("any_replica", StaleCounts::AnyReplica)],
            ),
            time_scale: r.number("slo.time_scale", 1.0, 0.000_1..=1.0),
            page: PageConfig::read(r, &objectives),
            ticket: TicketConfig::read(r, &objectives),
            sets: SetConfig::read_all(r, &objectives),
        }
    }
}

/// What thresholds, and the objectives of sets, follow that nobody gives.
pub(super) struct Objectives {
    pub age_p95: Duration,
    pub stale_reads: f64,
    pub convergence_p999: Duration,
}

/// A burn rate of the budget of stale reads that counts when it is exceeded over both windows.
#[derive(Debug, Clone, PartialEq)]
pub struct BurnConfig {
    /// Times the rate that uses up the budget exactly.
    pub rate: f64,
    /// The window that shows that it matters.
    pub long: Duration,
    /// The window that shows that it still goes on.
    pub short: Duration,
}

/// The three keys of one burn rate.
struct BurnKeys {
    rate: &'static str,
    long: &'static str,
    short: &'static str,
}

const PAGE_FAST: BurnKeys = BurnKeys {
    rate: "slo.page.burn_fast",
    long: "slo.page.burn_fast_long",
    short: "slo.page.burn_fast_short",
};
const PAGE_SLOW: BurnKeys = BurnKeys {
    rate: "slo.page.burn_slow",
    long: "slo.page.burn_slow_long",
    short: "slo.page.burn_slow_short",
};
const TICKET_FAST: BurnKeys = BurnKeys {
    rate: "slo.ticket.burn_fast",
    long: "slo.ticket.burn_fast_long",
    short: "slo.ticket.burn_fast_short",
};
const TICKET_SLOW: BurnKeys = BurnKeys {
    rate: "slo.ticket.burn_slow",
    long: "slo.ticket.burn_slow_long",
    short: "slo.ticket.burn_slow_short",
};

impl BurnConfig {
    fn read(r: &mut Reader, keys: &BurnKeys, default: Self) -> Self {
        let burn = Self {
            rate: r.number(keys.rate, default.rate, BURNS),
            long: r.duration(keys.long, default.long, WINDOWS),
            short: r.duration(keys.short, default.short, WINDOWS),
        };
        if burn.short >= burn.long {
            let fault = "the short window is not shorter than the long one";
            let accepted = format!("a short window below {}", keys.long);
            r.contradiction(&[keys.short, keys.long], fault.to_owned(), accepted);
        }
        burn
    }
}

/// `[slo.page]`: what wakes somebody up.
#[derive(Debug, Clone, PartialEq)]
pub struct PageConfig {
    /// P95 of the staleness age above this,
    pub age_p95: Duration,
    /// for longer than this.
    pub age_p95_for: Duration,
    /// The share of stale reads above this.
    pub stale_reads: f64,
    /// P99.9 of the convergence time above this.
    pub convergence_p999: Duration,
    /// A write unconverged for longer than this.
    pub unconverged: Duration,
    /// A budget that is gone within days.
    pub burn_fast: BurnConfig,
    /// A budget that is gone within a week.
    pub burn_slow: BurnConfig,
}

impl PageConfig {
    fn read(r: &mut Reader, objectives: &Objectives) -> Self {
        let convergence = || Fallback::Follows("slo.convergence_p999", objectives.convergence_p999);
        Self {
            age_p95: r.duration(
                "slo.page.age_p95",
                Fallback::Follows("slo.age_p95", objectives.age_p95),
                AGES,
            ),
            age_p95_for: r.duration("slo.page.age_p95_for", 10 * MINUTE, WINDOWS),
            stale_reads: r.number(
                "slo.page.stale_reads",
                Fallback::Follows("slo.stale_reads", objectives.stale_reads),
                SHARES,
            ),
            convergence_p999: r.duration("slo.page.convergence_p999", convergence(), AGES),
            unconverged: r.duration("slo.page.unconverged", convergence(), AGES),
            burn_fast: BurnConfig::read(
                r,
                &PAGE_FAST,
                BurnConfig { rate: 14.4, long: HOUR, short: 5 * MINUTE },
            ),
            burn_slow: BurnConfig::read(
                r,
                &PAGE_SLOW,
                BurnConfig { rate: 6.0, long: 6 * HOUR, short: 30 * MINUTE },
            ),
        }
    }
}

/// `[slo.ticket]`: what waits for the morning.
#[derive(Debug, Clone, PartialEq)]
pub struct TicketConfig {
    /// P95 of the staleness age above this,
    pub age_p95: Duration,
    /// in so many minutes or more
    pub age_p95_minutes: u32,
    /// of this.
    pub age_p95_within: Duration,
    /// The share of stale reads above this.
    pub stale_reads: f64,
    /// P99.9 of the convergence time above this.
    pub convergence_p999: Duration,
    /// A budget that is gone within its third.
    pub burn_fast: BurnConfig,
    /// A budget that will not last.
    pub burn_slow: BurnConfig,
    /// What is known to cause staleness.
    pub causes: CauseConfig,
}

impl TicketConfig {
    fn read(r: &mut Reader, objectives: &Objectives) -> Self {
        Self {
            age_p95: r.duration(
                "slo.ticket.age_p95",
                Fallback::Follows("slo.age_p95", objectives.age_p95),
                AGES,
            ),
            age_p95_minutes: r.integer("slo.ticket.age_p95_minutes", 5_u32, 1..=1_440),
            age_p95_within: r.duration("slo.ticket.age_p95_within", HOUR, MINUTE..=DAY),
            stale_reads: r.number(
                "slo.ticket.stale_reads",
                Fallback::Follows("slo.stale_reads", objectives.stale_reads / 2.0),
                0.0..=1.0,
            ),
            convergence_p999: r.duration(
                "slo.ticket.convergence_p999",
                Fallback::Follows("slo.convergence_p999", three_fifths(objectives.convergence_p999)),
                AGES,
            ),
            burn_fast: BurnConfig::read(
                r,
                &TICKET_FAST,
                BurnConfig { rate: 3.0, long: DAY, short: 2 * HOUR },
            ),
            burn_slow: BurnConfig::read(
                r,
                &TICKET_SLOW,
                BurnConfig { rate: 1.0, long: 3 * DAY, short: 6 * HOUR },
            ),
            causes: CauseConfig::read(r, objectives),
        }
    }
}

/// In whole milliseconds, as durations are written, and never none.
pub(super) fn three_fifths(duration: Duration) -> Duration {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis((ms / 5 * 3 + ms % 5 * 3 / 5).max(1))
}

/// `[slo.ticket]`, the causes: what is known to lead to staleness, whether or not anybody saw it yet.
#[derive(Debug, Clone, PartialEq)]
pub struct CauseConfig {
    /// A hint queue growing for longer than this.
    pub hints_growing_for: Duration,
    /// The oldest hint past this share of `hints.window`.
    pub hint_age: f64,
    /// Repair debt growing faster than it is paid for longer than this.
    pub debt_growing_for: Duration,
    /// The estimated time to clear the debt past this.
    pub repair_eta: Duration,
    /// The share of writes and merges that left siblings.
    pub conflicts: f64,
    /// The share of operations that reached no quorum.
    pub quorum_failures: f64,
    /// A node down for longer than this.
    pub node_down_for: Duration,
    /// Clock uncertainty past this share of `clock.max_skew`.
    pub clock_uncertainty: f64,
    /// The share of reads whose verdict is unknown.
    pub unknown_reads: f64,
    /// No telemetry of a node for longer than this.
    pub telemetry_missing_for: Duration,
}

impl CauseConfig {
    fn read(r: &mut Reader, objectives: &Objectives) -> Self {
        let eta = Fallback::Follows("slo.convergence_p999", objectives.convergence_p999);
        Self {
            hints_growing_for: r.duration("slo.ticket.hints_growing_for", 10 * MINUTE, WINDOWS),
            hint_age: r.number("slo.ticket.hint_age", 0.5, SHARES),
            debt_growing_for: r.duration("slo.ticket.debt_growing_for", 10 * MINUTE, WINDOWS),
            repair_eta: r.duration("slo.ticket.repair_eta", eta, AGES),
            conflicts: r.number("slo.ticket.conflicts", 0.01, SHARES),
            quorum_failures: r.number("slo.ticket.quorum_failures", 0.001, SHARES),
            node_down_for: r.duration("slo.ticket.node_down_for", 5 * MINUTE, WINDOWS),
            clock_uncertainty: r.number("slo.ticket.clock_uncertainty", 0.5, SHARES),
            unknown_reads: r.number("slo.ticket.unknown_reads", 0.05, SHARES),
            telemetry_missing_for: r.duration("slo.ticket.telemetry_missing_for", 5 * MINUTE, WINDOWS),
        }
    }
}
