//! How things stand, looked at whenever metrics are collected.
//!
//! Each setter replaces all that was said before, so that what is gone, such as a peer, is told no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::instruments::{Sources, seconds};
use super::names::{key, metric};
use crate::protocol::ids::NodeId;
use crate::protocol::sli::UnconvergedObserved;
use crate::protocol::slo::{Objective, SloDocument};

/// Asked for (reason, count) pairs; counts only rise, and every reason is told every time.
pub type Source = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// One count that lives elsewhere.
pub type Count = Box<dyn Fn() -> u64 + Send + Sync>;
/// The same, where the names are not known before.
pub type SourceByName = Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>;

/// What is known of a peer's clock, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct ClockStanding {
    /// Whose.
    pub peer: NodeId,
    /// By how much it is ahead.
    pub offset_s: f64,
    /// By how much that may be wrong, to either side.
    pub uncertainty_s: f64,
}

/// A number of an objective over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct SloStanding {
    /// The objective.
    pub slo: String,
    /// What it is taken over.
    pub window: String,
    /// The number: a multiple of the rate that would just use up the budget, or the share of it that is left.
    pub value: f64,
}

/// A window's length, in the greatest unit that fits.
fn window(us: u64) -> String {
    let s = us / 1_000_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let fits = units.iter().find(|(unit, _)| s > 0 && s.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{}s", us as f64 / 1e6), |(unit, name)| format!("{}{name}", s / unit))
}

#[derive(Default)]
struct State {
    unconverged: BTreeMap<u16, (Instant, UnconvergedObserved)>,
    members: Vec<(&'static str, u64)>,
    clocks: Vec<ClockStanding>,
    burn_rates: Vec<SloStanding>,
    budgets: Vec<SloStanding>,
    /// Writes that earlier runs followed.
    untracked: u64,
}

/// What is gauged. Cheap to clone; any thread may set it.
#[derive(Clone, Default)]
pub struct Standing(Arc<Mutex<State>>);

impl Standing {
    pub(super) fn new(meter: &Meter, sources: Sources) -> Self {
        let standing = Self::default();
        standing.gauge_unconverged(meter);
        standing.gauge_members_and_clocks(meter);
        standing.gauge_objectives(meter);
        count_sources(meter, sources);
        standing
    }

    /// How many members the ring has in each state. All states are to be named, at 0 if no member is in one.
    pub fn set_ring_members(&self, members: Vec<(&'static str, u64)>) {
        self.state().members = members;
    }

    /// What is known of the peers' clocks.
    pub fn set_clocks(&self, clocks: Vec<ClockStanding>) {
        self.state().clocks = clocks;
    }

    /// What the recorder says of the objectives.
    pub fn show_slo(&self, document: &SloDocument) {
        let standing = |objective: &Objective, window_us, value| SloStanding {
            slo: objective.name.clone(),
            window: window(window_us),
            value,
        };
        let (mut rates, mut budgets) = (Vec::new(), Vec::new());
        for objective in &document.objectives {
            let rated = objective.burn_rates.iter();
            rates.extend(rated.filter_map(|burn| Some(standing(objective, burn.window_us, burn.rate?))));
            let left = objective.budget_remaining;
            budgets.extend(left.map(|left| standing(objective, objective.window_us, left)));
        }
        self.set_burn_rates(rates);
        self.set_budgets_remaining(budgets);
        self.state().untracked = document.convergence.untracked;
    }

    /// How fast the objectives' budgets are spent.
    pub fn set_burn_rates(&self, rates: Vec<SloStanding>) {
        self.state().burn_rates = rates;
    }

    /// What is left of the objectives' budgets.
    pub fn set_budgets_remaining(&self, budgets: Vec<SloStanding>) {
        self.state().budgets = budgets;
    }

    /// How one shard's writes stand.
    pub(super) fn unconverged(&self, observed: &UnconvergedObserved) {
        self.state().unconverged.insert(observed.shard, (Instant::now(), observed.clone()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge_unconverged(&self, meter: &Meter) {
        let sum = |state: &State, of: fn(&UnconvergedObserved) -> u64| {
            state.unconverged.values().map(|(_, observed)| of(observed)).sum()
        };
        let count = |observed: &UnconvergedObserved| observed.ages.iter().map(|(_, many)| many).sum();
        let description = "Committed writes that some home is not known to have.";
        self.gauge_u64(meter, metric::UNCONVERGED, description, move |state| sum(state, count));
        let description = "The greatest number of homes that lack one committed write.";
        self.gauge_u64(meter, metric::MAX_LAGGING, description, |state| {
            state.unconverged.values().map(|(_, observed)| u64::from(observed.max_lagging)).max().unwrap_or(0)
        });
        let description = "Writes that are followed no more though some home may lack them.";
        self.gauge_u64(meter, metric::UNTRACKED, description, move |state| {
            sum(state, |observed| observed.untracked).max(state.untracked)
        });
        let description = "How long ago the oldest write that some home lacks was committed.";
        self.gauge_f64(meter, metric::UNCONVERGED_OLDEST_AGE, "s", description, |state| {
            vec![(oldest_age(state), vec![])]
        });
    }

    fn gauge_members_and_clocks(&self, meter: &Meter) {
        let standing = self.clone();
        meter
            .u64_observable_gauge(metric::RING_MEMBERS)
            .with_description("Members of the ring, by state.")
            .with_callback(move |observer| {
                for (state, many) in &standing.state().members {
                    observer.observe(*many, &[KeyValue::new(key::STATE, *state)]);
                }
            })
            .build();
        let of_clocks = |of: fn(&ClockStanding) -> f64| {
            move |state: &State| {
                let peer = |clock: &ClockStanding| KeyValue::new(key::PEER, clock.peer.as_str().to_owned());
                state.clocks.iter().map(|clock| (of(clock), vec![peer(clock)])).collect()
            }
        };
        let description = "By how much a peer's clock is ahead of this node's.";
        let offset = of_clocks(|clock| clock.offset_s);
        self.gauge_f64(meter, metric::CLOCK_OFFSET, "s", description, offset);
        let description = "By how much the offset of a peer's clock may be wrong.";
        let uncertainty = of_clocks(|clock| clock.uncertainty_s);
        self.gauge_f64(meter, metric::CLOCK_UNCERTAINTY, "s", description, uncertainty);
    }

    fn gauge_objectives(&self, meter: &Meter) {
        let told = |objectives: &[SloStanding]| {
            let attributes = |of: &SloStanding| {
                vec![KeyValue::new(key::SLO, of.slo.clone()), KeyValue::new(key::WINDOW, of.window.clone())]
            };
            objectives.iter().map(|of| (of.value, attributes(of))).collect()
        };
        let description = "How fast a budget is spent: at 1 it would just last.";
        self.gauge_f64(meter, metric::SLO_BURN_RATE, "", description, move |state| told(&state.burn_rates));
        let description = "The share of a budget that is left; below 0 it is overspent.";
        self.gauge_f64(meter, metric::SLO_BUDGET_REMAINING, "", description, move |state| {
            told(&state.budgets)
        });
    }

    fn gauge_u64(
        &self,
        meter: &Meter,
        name: &'static str,
        description: &'static str,
        of: impl Fn(&State) -> u64 + Send + Sync + 'static,
    ) {
        let standing = self.clone();
        meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(of(&standing.state()), &[]))
            .build();
    }

    fn gauge_f64(
        &self,
        meter: &Meter,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        of: impl Fn(&State) -> Vec<(f64, Vec<KeyValue>)> + Send + Sync + 'static,
    ) {
        let standing = self.clone();
        meter
            .f64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                let told = of(&standing.state());
                told.iter().for_each(|(value, attributes)| observer.observe(*value, attributes));
            })
            .build();
    }
}

/// What was said to be unconverged grows older until something else is said: a shard that falls silent is no comfort.
fn oldest_age(state: &State) -> f64 {
    let age = |(at, observed): &(Instant, UnconvergedObserved)| {
        let oldest = observed.ages.iter().filter(|(_, many)| *many > 0).map(|(us, _)| *us).max()?;
        Some(seconds(oldest) + at.elapsed().as_secs_f64())
    };
    state.unconverged.values().filter_map(age).fold(0.0, f64::max)
}

fn count_sources(meter: &Meter, sources: Sources) {
    let description = "What was refused because a limit was reached.";
    count(meter, metric::OVERLOAD_REFUSED, description, key::REASON, sources.overload_refused);
    let description = "Client requests refused because as many were in flight, by bucket.";
    let by_bucket = move |observer: &dyn AsyncInstrument<u64>| {
        for (bucket, many) in (sources.refused_by_bucket)() {
            observer.observe(many, &[KeyValue::new(key::BUCKET, bucket)]);
        }
    };
    meter
        .u64_observable_counter(metric::OVERLOAD_REFUSED_BY_BUCKET)
        .with_description(description)
        .with_callback(by_bucket)
        .build();
    let description = "Writes that left an object beyond three quarters of what it may be.";
    count(meter, metric::OBJECTS_NEAR_BOUND, description, key::REASON, sources.objects_near_bound);
    let description = "What was refused because an object is as large as it may be, or larger.";
    count(meter, metric::OBJECTS_REFUSED, description, key::REASON, sources.objects_refused);
    let description = "What was dropped on its way to or from a peer.";
    count(meter, metric::PEER_DROPPED, description, key::REASON, sources.peer_dropped);
    let description = "Spans and metric points that reached no collector.";
    count(meter, metric::TELEMETRY_DROPPED, description, key::REASON, sources.telemetry_dropped);
    let description = "Repairs made by reads.";
    count(meter, metric::READ_REPAIRS, description, key::WHEN, sources.read_repairs);
    let (syncs, writes) = (sources.syncs, sources.durable_writes);
    let counts = [
        (metric::SYNCS, "Syncs of the disk.", syncs),
        (metric::DURABLE_WRITES, "Writes that are as durable as storage.commit wants them.", writes),
    ];
    for (name, description, count) in counts {
        let told = move |observer: &dyn AsyncInstrument<u64>| observer.observe(count(), &[]);
        meter.u64_observable_counter(name).with_description(description).with_callback(told).build();
    }
}

fn count(meter: &Meter, name: &'static str, description: &'static str, key: &'static str, source: Source) {
    let told = move |observer: &dyn AsyncInstrument<u64>| {
        for (reason, many) in source() {
            observer.observe(many, &[KeyValue::new(key, reason)]);
        }
    };
    meter.u64_observable_counter(name).with_description(description).with_callback(told).build();
}
