//! The published experiment of probabilistically bounded staleness, run through the real protocol code.
//!
//! Each trial writes a key, waits until its client is told of the commit, and reads the key `t` later at a node drawn
//! anew. Reads and writes go to all N replicas, every leg crosses the network (the coordinator's own too, unless it is
//! wanted local), and nothing else spreads a write: no read repair, no hedging, no probes.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkers::Violation;
use super::names::Names;
use super::network::NodeIndex;
use super::queue::{MILLIS, SECONDS, Time};
use super::random::Random;
use super::scenario::ScenarioError;
use super::settings::Settings;
use super::truth::{KeyIndex, NEVER, Truth, VersionIndex};
use super::workload::{Operation, Step};
use super::world::{Event, WORK_BEGINS, World};
use neap_protocol::bucket::ReadRepair;
use neap_protocol::coordinator::FanOut;
use neap_protocol::ids::Dot;
use neap_protocol::operation::ReadReply;
use neap_protocol::pbs::Experiment;
use neap_protocol::staleness::Sampling;
use neap_storage::Commit;

/// Trials of one world: its truth, which remembers every version, stays small.
const TRIALS_OF_A_WORLD: u32 = 50_000;
/// Time between the beginnings of two trials.
const BETWEEN: Time = MILLIS;
/// How long operations may take. The published delays have long tails.
const TIMEOUT: Time = 30 * SECONDS;
/// Clients from this one on read, with R = 1 and so on: how long does the k-th answer take?
const READS: u32 = 1_000;
/// Clients from this one on write, with W = 1 and so on.
const WRITES: u32 = 2_000;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The quorum, the delays, and whether the coordinator's own leg is local.
    pub experiment: Experiment,
    /// How long after the commit reads begin.
    pub points: Vec<Time>,
    /// Reads of each point.
    pub reads: u64,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Of each point, the reads that were answered, and those that returned the write.
    pub reads: Vec<(u64, u64)>,
    /// Of each read, how much later or earlier it could have begun to return the write, as milliseconds after the
    /// commit: as `Trial::consistent_after_ms`.
    pub consistent_after_ms: Vec<f64>,
    /// How long reads with R = 1, 2, … took, in milliseconds.
    pub read_ms: Vec<Vec<f64>>,
    /// How long writes with W = 1, 2, … took, in milliseconds.
    pub write_ms: Vec<Vec<f64>>,
    /// Operations that failed.
    pub failed: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There is no such world.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// An invariant was found broken.
    #[error("found broken: {0}")]
    Broken(Violation),
}

/// A trial between its write and its read.
#[derive(Debug)]
struct Trial {
    dot: Dot,
    /// When the read reached each node.
    fetched: Vec<Time>,
}

/// A read that was answered: which version it should have returned, and when it reached those that answered first.
#[derive(Debug)]
struct Answered {
    version: VersionIndex,
    began_after: Time,
    fetched: Vec<(usize, Time)>,
}

/// What an experiment observes of its world.
#[derive(Debug)]
pub struct Watch {
    points: Vec<Time>,
    nodes: usize,
    random: Random,
    trials: HashMap<KeyIndex, Trial>,
    answered: Vec<Answered>,
    measured: Measured,
}

impl Watch {
    fn new(measurement: &Measurement, seed: u64) -> Self {
        let n = usize::from(measurement.experiment.quorum.n);
        let measured = Measured {
            reads: vec![(0, 0); measurement.points.len()],
            read_ms: vec![Vec::new(); n],
            write_ms: vec![Vec::new(); n],
            ..Measured::default()
        };
        Self {
            points: measurement.points.clone(),
            nodes: n,
            random: Random::new(seed, "readers"),
            trials: HashMap::new(),
            answered: Vec::new(),
            measured,
        }
    }

    /// A write was committed: what is to happen because of it, and how long after.
    pub(super) fn wrote(
        &mut self,
        now: Time,
        (client, key): (u32, KeyIndex),
        took: Time,
        dot: Dot,
    ) -> Option<Step> {
        if let Some(k) = client.checked_sub(WRITES) {
            self.measured.write_ms.get_mut(k as usize)?.push(ms(took));
            return None;
        }
        let point = *self.points.get(client as usize)?;
        self.trials.insert(key, Trial { dot, fetched: vec![NEVER; self.nodes] });
        let node = u32::try_from(self.random.index(self.nodes)).unwrap_or(0);
        Some(Step { at: now + point, client, node, key, operation: Operation::Get { r: None, as_is: false } })
    }

    /// A read has reached a replica.
    pub(super) fn fetched(&mut self, now: Time, at: NodeIndex, key: KeyIndex) {
        let fetched = self.trials.get_mut(&key).and_then(|trial| trial.fetched.get_mut(at));
        if let Some(fetched) = fetched {
            *fetched = now;
        }
    }

    /// A read was answered.
    pub(super) fn read(
        &mut self,
        truth: &Truth,
        names: &Names,
        (client, key): (u32, KeyIndex),
        took: Time,
        reply: &ReadReply,
    ) {
        if let Some(k) = client.checked_sub(READS) {
            if let Some(times) = self.measured.read_ms.get_mut(k as usize) {
                times.push(ms(took));
            }
            return;
        }
        let Some(trial) = self.trials.remove(&key) else { return };
        let point = client as usize;
        let Some((answered, consistent)) = self.measured.reads.get_mut(point) else { return };
        *answered += 1;
        *consistent +=
            u64::from(reply.object.as_ref().is_some_and(|object| object.context().covers(trial.dot)));
        let Some((version, _)) = truth.named(trial.dot) else { return };
        let first = reply.participation.acked_by.iter().filter_map(|home| names.node(home));
        let first = first.filter_map(|node| Some((truth.place(key, node)?, *trial.fetched.get(node)?)));
        let began_after = self.points.get(point).copied().unwrap_or(0);
        self.answered.push(Answered { version, began_after, fetched: first.collect() });
    }

    /// All that was observed; every replica has every write by now.
    fn measured(mut self, truth: &Truth) -> Measured {
        let after = self.answered.iter().filter_map(|read| {
            let version = truth.version(read.version)?;
            let late = read.fetched.iter().map(|(place, fetched)| match version.applied_at.get(*place) {
                Some(applied) if *applied != NEVER => ms(*applied) - ms(*fetched),
                _ => f64::INFINITY,
            });
            Some(ms(read.began_after) + late.fold(f64::INFINITY, f64::min))
        });
        self.measured.consistent_after_ms = after.collect();
        self.measured
    }
}

fn ms(time: Time) -> f64 {
    time as f64 / MILLIS as f64
}

impl Measurement {
    /// Into how many worlds its trials are dealt, which may run at once.
    #[must_use]
    pub fn worlds(&self) -> u64 {
        self.trials().div_ceil(u64::from(TRIALS_OF_A_WORLD))
    }

    fn trials(&self) -> u64 {
        self.reads.saturating_mul(self.points.len() as u64)
    }

    fn settings(&self, seed: u64) -> Settings {
        let Experiment { quorum, legs, local_leg } = &self.experiment;
        let n = usize::from(quorum.n);
        let mut settings = Settings::new(seed, n, *quorum, legs.clone());
        // Each replica is at a site of its own; that matters only where the legs say so.
        settings.zones = n;
        settings.keys = (2 + u32::from(quorum.n)) * TRIALS_OF_A_WORLD;
        settings.commit = Commit::Os;
        settings.timeout_us = TIMEOUT / super::queue::MICROS;
        settings.fan_out = FanOut::All;
        settings.probe = Sampling::NONE;
        settings.own_leg_crosses = !local_leg;
        for bucket in &mut settings.buckets {
            bucket.settings.w_min = 1;
            bucket.settings.read_repair = ReadRepair::Off;
        }
        settings
    }

    /// Runs one of its worlds.
    pub fn run(&self, world: u64) -> Result<Measured, MeasureError> {
        let before = world.saturating_mul(u64::from(TRIALS_OF_A_WORLD));
        let trials = self.trials().saturating_sub(before).min(u64::from(TRIALS_OF_A_WORLD));
        let trials = u32::try_from(trials).unwrap_or(TRIALS_OF_A_WORLD);
        let seed = self.seed.wrapping_add(world);
        let settings = Arc::new(self.settings(seed));
        let ring = Arc::new(settings.ring().map_err(ScenarioError::from)?);
        let mut world = World::new(settings, ring, Vec::new()).map_err(ScenarioError::from)?;
        world.watch = Some(Box::new(Watch::new(self, seed)));
        world.begin();
        let mut random = Random::new(seed, "writers");
        for trial in 0..trials {
            let at = WORK_BEGINS + Time::from(trial) * BETWEEN;
            world.run_until(at);
            for step in self.steps(at, trial, &mut random) {
                world.queue.push(at, Event::Step(Box::new(step)));
            }
        }
        let longest = self.points.iter().max().copied().unwrap_or(0);
        world.run_until(world.now + longest + 2 * TIMEOUT);
        let World { watch, truth, clients, violation, .. } = world;
        if let Some(violation) = violation {
            return Err(MeasureError::Broken(violation));
        }
        let mut measured = watch.map(|watch| watch.measured(&truth)).unwrap_or_default();
        measured.failed = clients.tally.failed.values().sum();
        Ok(measured)
    }

    /// What clients do at the beginning of a trial: they write its key, and in one trial of each round others, which
    /// are no part of it: how long does an operation take that waits for so many replicas?
    ///
    /// No key is written twice. Where even the own leg crosses the network, a coordinator would go by what its replica
    /// held before the last write to the key.
    fn steps(&self, at: Time, trial: u32, random: &mut Random) -> Vec<Step> {
        let n = self.experiment.quorum.n;
        let points = u32::try_from(self.points.len()).unwrap_or(1).max(1);
        let mut step = |client: u32, range: u32, operation| {
            let node = u32::try_from(random.index(usize::from(n))).unwrap_or(0);
            Step { at, client, node, key: range * TRIALS_OF_A_WORLD + trial, operation }
        };
        let put = |w| Operation::Put { context: false, named: false, absent: false, w };
        let mut steps = vec![step(trial % points, 0, put(None))];
        if trial.is_multiple_of(points) {
            for k in 1..=n {
                let rank = u32::from(k) - 1;
                steps.push(step(READS + rank, 1, Operation::Get { r: Some(k), as_is: false }));
                steps.push(step(WRITES + rank, 2 + rank, put(Some(k))));
            }
        }
        steps
    }
}

impl Measured {
    /// Adds what another world came to.
    pub fn add(&mut self, other: Self) {
        if self.reads.is_empty() {
            *self = other;
            return;
        }
        for ((answered, consistent), more) in self.reads.iter_mut().zip(&other.reads) {
            *answered += more.0;
            *consistent += more.1;
        }
        self.consistent_after_ms.extend(other.consistent_after_ms);
        let (reads, writes) = (self.read_ms.iter_mut(), self.write_ms.iter_mut());
        reads.zip(other.read_ms).for_each(|(times, more)| times.extend(more));
        writes.zip(other.write_ms).for_each(|(times, more)| times.extend(more));
        self.failed += other.failed;
    }
}
