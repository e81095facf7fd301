//! What is run: a world, what its clients do, and what goes wrong, drawn from a seed or written down.

use std::sync::Arc;

use super::faults::{Fault, Level, draw, draw_large_objects};
use super::queue::{SECONDS, Time};
use super::random::Random;
use super::run::{Outcome, run};
use super::settings::Settings;
use super::workload::{Load, Step, Workload, buckets, lasts};
use super::world::WORK_BEGINS;
use neap_protocol::pbs::Legs;
use neap_protocol::quorum::Quorum;
use neap_protocol::ring::{Ring, RingError};
use neap_storage::{Commit, StoreError};

/// What a seed draws a scenario of.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Nodes.
    pub nodes: usize,
    /// Zones.
    pub zones: usize,
    /// N, R and W of the defaults.
    pub quorum: Quorum,
    /// How long messages take.
    pub legs: Legs,
    /// How much goes wrong.
    pub level: Level,
    /// Steps of the workload.
    pub operations: u64,
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The world.
    pub settings: Settings,
    /// What its clients do.
    pub steps: Steps,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// What the clients do.
#[derive(Debug, Clone)]
pub enum Steps {
    /// Drawn from the seed as they come.
    Drawn(Load),
    /// Written down.
    Written(Vec<Step>),
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Its nodes make no ring.
    #[error("{0}")]
    Ring(#[from] RingError),
    /// A disk of memory failed, which is a bug of the simulator.
    #[error("the simulator's own disk failed: {0}")]
    Store(#[from] StoreError),
}

impl Scenario {
    /// What `seed` draws.
    #[must_use]
    pub fn drawn(seed: u64, wanted: &Wanted) -> Self {
        let mut random = Random::new(seed, "scenario");
        let mut settings = Settings::new(seed, wanted.nodes, wanted.quorum, wanted.legs.clone());
        let heavy = wanted.level == Level::Heavy;
        settings.zones = wanted.zones;
        settings.buckets = buckets(wanted.quorum, wanted.nodes, heavy, settings.sizes.siblings_max);
        let per_second = if heavy {
            settings.commit = match random.below(20) {
                0..12 => Commit::Fsync,
                12..17 => Commit::Interval,
                _ => Commit::Os,
            };
            settings.timeout_us = random.between(200_000, 2_000_000);
            settings.keys = random.between(2, 30) as u32;
            random.between(100, 500)
        } else {
            settings.keys = (wanted.operations / 100).clamp(10, 10_000) as u32;
            200 * wanted.nodes as u64
        };
        let until = WORK_BEGINS + lasts(wanted.operations, per_second);
        let load = Load {
            operations: wanted.operations,
            from: WORK_BEGINS,
            until,
            clients: if heavy { random.between(2, 40) as u32 } else { 64 },
            nodes: wanted.nodes as u32,
            buckets: settings.buckets.iter().map(|bucket| bucket.settings.quorum).collect(),
            keys: settings.keys,
            reads: if heavy { 0.2 + 0.5 * random.uniform() } else { 0.5 },
            everything: heavy,
        };
        // A short run must not be all faults, nor a long one none.
        let faults_until: Time = until.max(WORK_BEGINS + 2 * SECONDS);
        let mut faults = draw(seed, wanted.level, wanted.nodes as u32, WORK_BEGINS, faults_until);
        if heavy && settings.sizes.large_value_bytes.is_some() {
            faults.extend(draw_large_objects(seed, wanted.nodes as u32, WORK_BEGINS, faults_until));
            faults.sort_by_key(|fault| fault.at);
        }
        Self { settings, steps: Steps::Drawn(load), faults }
    }

    /// The steps, in order of time.
    #[must_use]
    pub fn steps(&self) -> Box<dyn Iterator<Item = Step> + '_> {
        match &self.steps {
            Steps::Drawn(load) => Box::new(Workload::new(self.settings.seed, load.clone())),
            Steps::Written(steps) => Box::new(steps.iter().copied()),
        }
    }

    /// Runs it.
    pub fn run(&self, ring: Arc<Ring>) -> Result<Outcome, ScenarioError> {
        Ok(run(Arc::new(self.settings.clone()), ring, self.steps(), self.faults.clone())?)
    }

    /// The ring of its nodes.
    pub fn ring(&self) -> Result<Arc<Ring>, ScenarioError> {
        Ok(Arc::new(self.settings.ring()?))
    }
}
