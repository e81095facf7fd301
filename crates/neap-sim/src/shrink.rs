//! Makes a failing scenario shorter, as long as it breaks the same invariant (delta debugging; Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkers::Invariant;
use super::scenario::{Scenario, Steps};
use neap_protocol::ring::Ring;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Runs at the most.
    pub runs: u32,
    /// Time at the most.
    pub time: Duration,
}

struct Shrinker {
    ring: Arc<Ring>,
    invariant: Invariant,
    left: u32,
    until: Instant,
}

impl Shrinker {
    /// Whether a scenario breaks the invariant. None once enough was tried.
    fn breaks(&mut self, scenario: &Scenario) -> Option<bool> {
        if self.left == 0 || Instant::now() >= self.until {
            return None;
        }
        self.left -= 1;
        let outcome = scenario.run(self.ring.clone()).ok()?;
        Some(outcome.violation.is_some_and(|(violation, _)| violation.invariant == self.invariant))
    }

    /// Takes away as many `items` as possible; `with` puts a scenario together from what is left. Whether any went.
    fn without<T: Clone>(&mut self, items: &mut Vec<T>, with: impl Fn(&[T]) -> Scenario) -> bool {
        let before = items.len();
        let mut chunk = items.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < items.len() {
                let mut fewer = items.clone();
                fewer.drain(at..(at + chunk).min(items.len()));
                match self.breaks(&with(&fewer)) {
                    Some(true) => *items = fewer,
                    Some(false) => at += chunk,
                    None => return items.len() < before,
                }
            }
            if chunk == 1 {
                return items.len() < before;
            }
            chunk = chunk.div_ceil(2);
        }
    }
}

/// The shortest scenario found that breaks `invariant` as `scenario` does, which did after so many steps.
#[must_use]
pub fn shrink(
    scenario: &Scenario,
    ring: Arc<Ring>,
    (invariant, steps): (Invariant, u64),
    effort: Effort,
) -> Scenario {
    let until = Instant::now() + effort.time;
    let mut shrinker = Shrinker { ring, invariant, left: effort.runs, until };
    let steps = usize::try_from(steps).unwrap_or(usize::MAX);
    let mut best = scenario.clone();
    let mut steps: Vec<_> = scenario.steps().take(steps).collect();
    let mut faults = scenario.faults.clone();
    let with = |steps: &[_], faults: &[_]| Scenario {
        settings: scenario.settings.clone(),
        steps: Steps::Written(steps.to_vec()),
        faults: faults.to_vec(),
    };
    // What comes later may matter in the end, when everything is looked at; most often it does not.
    if shrinker.breaks(&with(&steps, &faults)) != Some(true) {
        steps = scenario.steps().collect();
    }
    loop {
        let fewer_faults = shrinker.without(&mut faults, |faults| with(&steps, faults));
        let fewer_steps = shrinker.without(&mut steps, |steps| with(steps, &faults));
        best.steps = Steps::Written(steps.clone());
        best.faults = faults.clone();
        if !(fewer_faults || fewer_steps) || shrinker.left == 0 {
            return best;
        }
    }
}
