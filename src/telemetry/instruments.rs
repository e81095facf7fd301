//! The instruments that observations are recorded with.
//!
//! Every combination of attributes is resolved once and kept, so that an observation costs an addition or two; and it is
//! told at 0 from then on: a series that does not exist makes an alert's ratio empty, not 0.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Histogram, Meter};

use super::names::{bounds, key, metric, value};
use super::peers::Peers;
use super::reads::Reads;
use super::standing::{Count, Source, SourceByName, Standing};
use crate::protocol::admission::BucketClass;
use crate::protocol::bucket::Resolution;
use crate::protocol::ids::NodeId;
use crate::protocol::sli::{
    ConvergedObserved, DwellObserved, MergeObserved, Observation, OperationOutcome, Path, ReadObserved,
    VerdictObserved, WriteObserved,
};

/// Counts that live elsewhere and are read when metrics are collected. Each is asked for all its reasons every time.
pub struct Sources {
    /// What was refused because a limit was reached, by reason.
    pub overload_refused: Source,
    /// Of these, what clients were refused, by bucket, of a bounded number of buckets.
    pub refused_by_bucket: SourceByName,
    /// Writes that left an object beyond three quarters of a bound, by which.
    pub objects_near_bound: Source,
    /// What was refused because an object is as large as it may be, or larger, by reason.
    pub objects_refused: Source,
    /// What was dropped between peers, by reason.
    pub peer_dropped: Source,
    /// What was measured and told to nobody, by reason: [`super::Telemetry::dropped`].
    pub telemetry_dropped: Source,
    /// Repairs by reads: [`value::BLOCKING`] and [`value::ASYNC`].
    pub read_repairs: Source,
    /// Syncs of the disk.
    pub syncs: Count,
    /// Writes that are as durable as `storage.commit` wants them.
    pub durable_writes: Count,
}

/// All instruments of a node. Made once: a second set of the same meter would count into the same series.
pub struct Instruments {
    reads: Reads,
    peers: Peers,
    durations: BTreeMap<(&'static str, OperationOutcome), BoundHistogram<f64>>,
    writes: BTreeMap<(OperationOutcome, usize), BoundCounter<u64>>,
    lagging_replicas: BoundHistogram<u64>,
    convergence: BTreeMap<Path, BoundHistogram<f64>>,
    conflicts: BTreeMap<(&'static str, Resolution), BoundCounter<u64>>,
    merges: BTreeMap<Resolution, BoundCounter<u64>>,
    dwell: BTreeMap<BucketClass, BoundHistogram<f64>>,
    standing: Standing,
}

impl Instruments {
    /// Of a meter, for the peers in `zones`, which are each in the zone named.
    #[must_use]
    pub fn new(meter: &Meter, zones: &BTreeMap<NodeId, String>, sources: Sources) -> Self {
        let lagging_replicas = meter
            .u64_histogram(metric::LAGGING_REPLICAS)
            .with_description("Homes that had not applied a write when its client was answered.")
            .with_boundaries(bounds::HOMES.to_vec())
            .build();
        Self {
            reads: Reads::new(meter),
            peers: Peers::new(meter, zones),
            durations: durations(meter),
            writes: writes(meter),
            lagging_replicas: lagging_replicas.bind(&[]),
            convergence: convergence(meter),
            conflicts: conflicts(meter),
            merges: merges(meter),
            dwell: dwell(meter),
            standing: Standing::new(meter, sources),
        }
    }

    /// Records what was seen.
    pub fn take(&mut self, observation: &Observation) {
        match observation {
            Observation::Read(read) => self.read(read),
            Observation::Verdict(verdict) => self.verdict(verdict),
            Observation::LateVerdict(late) => {
                self.reads.late(late);
                late.now.missed_by.iter().for_each(|peer| self.peers.missed(peer));
            }
            // They are counted where they were dropped.
            Observation::ReadsLost(_) => {}
            Observation::Write(write) => self.write(write),
            Observation::Converged(converged) => self.converged(converged),
            Observation::Merged(merged) => self.merged(merged),
            Observation::Unconverged(unconverged) => self.standing.unconverged(unconverged),
            // `GET /v1/slo` shows them; no alert is about them.
            Observation::Legs(_) => {}
            Observation::Dwell(dwell) => self.dwelt(dwell),
            Observation::Clocks(clocks) => {
                let clocks = clocks.iter().map(|clock| super::ClockStanding {
                    peer: clock.peer.clone(),
                    offset_s: clock.offset_us as f64 / 1e6,
                    uncertainty_s: seconds(clock.uncertainty_us),
                });
                self.standing.set_clocks(clocks.collect());
            }
        }
    }

    /// Which peers there are now, and in which zones. What was counted of others stays.
    pub fn set_peers(&mut self, zones: &BTreeMap<NodeId, String>) {
        self.peers.set(zones);
    }

    /// What is gauged rather than counted.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    fn read(&mut self, read: &ReadObserved) {
        if let Some(duration) = self.durations.get(&(value::READ, read.outcome)) {
            duration.record(seconds(read.duration_us));
        }
        if read.outcome == OperationOutcome::Ok {
            self.reads.answered(read);
        }
    }

    fn verdict(&mut self, verdict: &VerdictObserved) {
        self.reads.verdict(verdict);
        for peer in &verdict.missed_by {
            self.peers.missed(peer);
        }
    }

    fn dwelt(&mut self, dwell: &DwellObserved) {
        for (class, times) in &self.dwell {
            for (us, many) in dwell.of(*class) {
                (0..many).for_each(|_| times.record(seconds(us)));
            }
        }
    }

    fn write(&mut self, write: &WriteObserved) {
        let duration =
            write.duration_us.and_then(|us| Some((us, self.durations.get(&(value::WRITE, write.outcome))?)));
        if let Some((us, duration)) = duration {
            duration.record(seconds(us));
        }
        if write.counted {
            let lagging = write.lagging.len();
            if let Some(writes) = self.writes.get(&(write.outcome, lagging.min(value::LAGGING.len() - 1))) {
                writes.add(1);
            }
            // Of a write that failed and names nobody it is not known that nobody lacks it.
            if write.outcome == OperationOutcome::Ok || lagging > 0 {
                self.lagging_replicas.record(lagging as u64);
            }
        }
        for peer in &write.lagging {
            self.peers.lagged(peer);
        }
        if write.conflict {
            self.conflict(value::WRITE, write.resolution);
        }
    }

    fn converged(&mut self, converged: &ConvergedObserved) {
        if let Some(convergence) = self.convergence.get(&converged.path) {
            (0..converged.writes).for_each(|_| convergence.record(seconds(converged.convergence_us)));
        }
    }

    fn merged(&mut self, merged: &MergeObserved) {
        if let Some(merges) = self.merges.get(&merged.resolution) {
            merges.add(1);
        }
        if merged.conflict {
            self.conflict(value::MERGE, merged.resolution);
        }
    }

    fn conflict(&self, at: &'static str, resolution: Resolution) {
        if let Some(conflicts) = self.conflicts.get(&(at, resolution)) {
            conflicts.add(1);
        }
    }
}

/// In the unit that all durations are told in.
#[expect(clippy::cast_precision_loss, reason = "exact below 285 years")]
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// A histogram of seconds.
pub(super) fn seconds_histogram(
    meter: &Meter,
    name: &'static str,
    bounds: &[f64],
    description: &'static str,
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(bounds.to_vec())
        .build()
}

const RESOLUTIONS: [(Resolution, &str); 2] = [(Resolution::Siblings, "siblings"), (Resolution::Lww, "lww")];

fn durations(meter: &Meter) -> BTreeMap<(&'static str, OperationOutcome), BoundHistogram<f64>> {
    let description = "From when a node took an operation to its answer.";
    let durations = seconds_histogram(meter, metric::OPERATION_DURATION, &bounds::DURATION, description);
    let bind = |operation, outcome: OperationOutcome| {
        let attributes =
            [KeyValue::new(key::OPERATION, operation), KeyValue::new(key::OUTCOME, outcome.name())];
        ((operation, outcome), durations.bind(&attributes))
    };
    [value::READ, value::WRITE]
        .into_iter()
        .flat_map(|operation| OperationOutcome::ALL.map(|outcome| bind(operation, outcome)))
        .collect()
}

fn writes(meter: &Meter) -> BTreeMap<(OperationOutcome, usize), BoundCounter<u64>> {
    let description = "Answered writes, by how they ended and how many homes had not acknowledged them.";
    let writes = meter.u64_counter(metric::WRITES).with_description(description).build();
    let bind = |outcome: OperationOutcome, (at, lagging): (usize, &'static str)| {
        let attributes = [KeyValue::new(key::OUTCOME, outcome.name()), KeyValue::new(key::LAGGING, lagging)];
        ((outcome, at), writes.bind(&attributes))
    };
    OperationOutcome::ALL
        .into_iter()
        .flat_map(|outcome| value::LAGGING.into_iter().enumerate().map(move |lagging| (outcome, lagging)))
        .map(|(outcome, lagging)| bind(outcome, lagging))
        .collect()
}

fn dwell(meter: &Meter) -> BTreeMap<BucketClass, BoundHistogram<f64>> {
    let description = "How long operations waited until a shard was handed them.";
    let times = seconds_histogram(meter, metric::DWELL_TIME, &bounds::DURATION, description);
    let bind = |class: BucketClass| (class, times.bind(&[KeyValue::new(key::CLASS, class.name())]));
    BucketClass::ALL.into_iter().map(bind).collect()
}

fn convergence(meter: &Meter) -> BTreeMap<Path, BoundHistogram<f64>> {
    let description = "From a write's commit to the last home having it or something that covers it.";
    let times = seconds_histogram(meter, metric::CONVERGENCE_TIME, &bounds::CONVERGENCE, description);
    Path::ALL.into_iter().map(|path| (path, times.bind(&[KeyValue::new(key::PATH, path.name())]))).collect()
}

fn conflicts(meter: &Meter) -> BTreeMap<(&'static str, Resolution), BoundCounter<u64>> {
    let description = "Writes and merges that left more than one live version.";
    let conflicts = meter.u64_counter(metric::CONFLICTS).with_description(description).build();
    let bind = |at, (resolution, name): (Resolution, &'static str)| {
        let attributes = [KeyValue::new(key::WHERE, at), KeyValue::new(key::RESOLUTION, name)];
        ((at, resolution), conflicts.bind(&attributes))
    };
    [value::WRITE, value::MERGE]
        .into_iter()
        .flat_map(|at| RESOLUTIONS.map(|resolution| bind(at, resolution)))
        .collect()
}

fn merges(meter: &Meter) -> BTreeMap<Resolution, BoundCounter<u64>> {
    let description = "States that replicas merged into what they held.";
    let merges = meter.u64_counter(metric::MERGES).with_description(description).build();
    RESOLUTIONS
        .into_iter()
        .map(|(resolution, name)| (resolution, merges.bind(&[KeyValue::new(key::RESOLUTION, name)])))
        .collect()
}
