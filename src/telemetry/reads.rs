//! What is counted of reads.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::instruments::{seconds, seconds_histogram};
use super::names::{bounds, key, metric, value};
use crate::protocol::sli::{LateObserved, ReadObserved, VerdictObserved};
use crate::protocol::staleness::{UnknownCause, Verdict};

/// The R that are told of from the start, at 0; others from when a read first asks for them.
const USUAL_R: [u8; 3] = [1, 2, 3];

/// All that can be said of a read.
const VERDICTS: [Verdict; 9] = [
    Verdict::Stale,
    Verdict::Suspect,
    Verdict::Behind,
    Verdict::Fresh { all: true },
    Verdict::Fresh { all: false },
    Verdict::Unknown(UnknownCause::ReplicaDown),
    Verdict::Unknown(UnknownCause::Timeout),
    Verdict::Unknown(UnknownCause::Settings),
    Verdict::Unknown(UnknownCause::Forgotten),
];

/// The instruments of reads.
pub(super) struct Reads {
    reads: Counter<u64>,
    by_r: BTreeMap<u8, OfR>,
    /// By verdict.
    late: BTreeMap<&'static str, BoundCounter<u64>>,
    ages: BTreeMap<&'static str, Ages>,
    /// By verdict.
    value_ages: BTreeMap<&'static str, BoundHistogram<f64>>,
    siblings: BoundHistogram<u64>,
}

struct OfR {
    unsampled: BoundCounter<u64>,
    verdicts: BTreeMap<Verdict, BoundCounter<u64>>,
}

struct Ages {
    staleness: BoundHistogram<f64>,
    exposure: BoundHistogram<f64>,
}

impl Reads {
    pub(super) fn new(meter: &Meter) -> Self {
        let description = "Answered reads, by what is said of their answer.";
        let reads = meter.u64_counter(metric::READS).with_description(description).build();
        let siblings = meter
            .u64_histogram(metric::SIBLINGS)
            .with_description("Live versions in the answer to a read.")
            .with_boundaries(bounds::SIBLINGS.to_vec())
            .build();
        let description = "How long before a read its answer was written.";
        let histogram = seconds_histogram(meter, metric::VALUE_AGE, &bounds::AGE, description);
        let description =
            "Reads judged after their verdict had been unknown; neap.reads counts them as unknown.";
        let late = meter.u64_counter(metric::LATE_VERDICTS).with_description(description).build();
        let late = VERDICTS.map(|of| (of.name(), late.bind(&[KeyValue::new(key::VERDICT, of.name())])));
        let verdicts = VERDICTS.into_iter().map(Verdict::name).chain([value::UNSAMPLED]);
        let value_ages = verdicts.map(|name| (name, histogram.bind(&[KeyValue::new(key::VERDICT, name)])));
        let by_r = USUAL_R.into_iter().map(|r| (r, OfR::new(&reads, r))).collect();
        Self {
            reads,
            by_r,
            late: late.into_iter().collect(),
            ages: ages(meter),
            value_ages: value_ages.collect(),
            siblings: siblings.bind(&[]),
        }
    }

    /// A read was answered with what it asked for.
    pub(super) fn answered(&mut self, read: &ReadObserved) {
        if !read.sampled {
            self.of_r(read.r).unsampled.add(1);
        }
        if let (Some(us), false) = (read.value_age_us, read.sampled) {
            self.value_age(value::UNSAMPLED, us);
        }
        self.siblings.record(u64::from(read.siblings));
    }

    /// All that can be known of a read is known.
    pub(super) fn verdict(&mut self, read: &VerdictObserved) {
        if let Some(reads) = self.of_r(read.r).verdicts.get(&read.verdict) {
            reads.add(1);
        }
        if let Some(us) = read.value_age_us {
            self.value_age(read.verdict.name(), us);
        }
        self.age(read);
    }

    /// A read whose verdict was unknown has another one.
    pub(super) fn late(&mut self, late: &LateObserved) {
        if let Some(reads) = self.late.get(late.now.verdict.name()) {
            reads.add(1);
        }
        self.age(&late.now);
    }

    /// Of an unknown read no age is told: it would count as fresh.
    fn age(&self, read: &VerdictObserved) {
        if let Some(ages) = self.ages.get(read.verdict.name()) {
            ages.staleness.record(seconds(read.age_us));
            ages.exposure.record(seconds(read.exposure_us));
        }
    }

    fn value_age(&self, verdict: &str, us: u64) {
        if let Some(ages) = self.value_ages.get(verdict) {
            ages.record(seconds(us));
        }
    }

    fn of_r(&mut self, r: u8) -> &OfR {
        self.by_r.entry(r).or_insert_with(|| OfR::new(&self.reads, r))
    }
}

impl OfR {
    fn new(reads: &Counter<u64>, r: u8) -> Self {
        let r = || KeyValue::new(key::R, r.to_string());
        let of = |verdict: Verdict| {
            let mut attributes = vec![KeyValue::new(key::VERDICT, verdict.name()), r()];
            attributes.extend(detail(verdict).map(|detail| KeyValue::new(key::DETAIL, detail)));
            (verdict, reads.bind(&attributes))
        };
        Self {
            unsampled: reads.bind(&[KeyValue::new(key::VERDICT, value::UNSAMPLED), r()]),
            verdicts: VERDICTS.map(of).into_iter().collect(),
        }
    }
}

fn detail(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Stale | Verdict::Suspect | Verdict::Behind => None,
        Verdict::Fresh { all: true } => Some(value::ALL),
        Verdict::Fresh { all: false } => Some(value::OVERLAP),
        Verdict::Unknown(cause) => Some(match cause {
            UnknownCause::ReplicaDown => "replica_down",
            UnknownCause::Timeout => "timeout",
            UnknownCause::Settings => "settings",
            UnknownCause::Forgotten => "forgotten",
        }),
    }
}

fn ages(meter: &Meter) -> BTreeMap<&'static str, Ages> {
    let description = "By how much newer the newest missed write is than what a read returned.";
    let staleness = seconds_histogram(meter, metric::STALENESS_AGE, &bounds::AGE, description);
    let description = "For how long what a read returned had been superseded.";
    let exposure = seconds_histogram(meter, metric::EXPOSURE, &bounds::AGE, description);
    let bind =
        |histogram: &Histogram<f64>, name: &'static str| histogram.bind(&[KeyValue::new(key::VERDICT, name)]);
    VERDICTS
        .into_iter()
        .filter(|verdict| !matches!(verdict, Verdict::Unknown(_)))
        .map(Verdict::name)
        .map(|name| (name, Ages { staleness: bind(&staleness, name), exposure: bind(&exposure, name) }))
        .collect()
}
