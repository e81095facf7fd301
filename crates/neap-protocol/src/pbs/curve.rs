//! What many trials say.

use super::wars::Trial;

/// The curve of consistency over time, and the latencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    consistent_after_ms: Vec<f64>,
    read_ms: Vec<Vec<f64>>,
    write_ms: Vec<Vec<f64>>,
}

impl Curve {
    /// Of these trials, all of one experiment.
    #[must_use]
    pub fn of(trials: impl IntoIterator<Item = Trial>) -> Self {
        let mut curve = Self { consistent_after_ms: Vec::new(), read_ms: Vec::new(), write_ms: Vec::new() };
        for trial in trials {
            curve.consistent_after_ms.push(trial.consistent_after_ms);
            gather(&mut curve.read_ms, &trial.read_ms);
            gather(&mut curve.write_ms, &trial.write_ms);
        }
        let Self { consistent_after_ms, read_ms, write_ms } = &mut curve;
        for values in [consistent_after_ms].into_iter().chain(read_ms).chain(write_ms) {
            values.sort_by(f64::total_cmp);
        }
        curve
    }

    /// The probability that a read that starts `t_ms` milliseconds after the commit returns the write.
    #[must_use]
    pub fn consistent_at(&self, t_ms: f64) -> f64 {
        let so_far = self.consistent_after_ms.partition_point(|after| *after <= t_ms);
        so_far as f64 / self.consistent_after_ms.len().max(1) as f64
    }

    /// How long after the commit a read returns the write with probability `p`, in milliseconds.
    #[must_use]
    pub fn time_to_ms(&self, p: f64) -> f64 {
        percentile(&self.consistent_after_ms, p).max(0.0)
    }

    /// How long a read takes until its `k`-th answer, with probability `p`, in milliseconds.
    #[must_use]
    pub fn read_ms(&self, k: u8, p: f64) -> f64 {
        self.read_ms.get(usize::from(k).saturating_sub(1)).map_or(0.0, |sorted| percentile(sorted, p))
    }

    /// How long a write takes until its `k`-th acknowledgement, with probability `p`, in milliseconds.
    #[must_use]
    pub fn write_ms(&self, k: u8, p: f64) -> f64 {
        self.write_ms.get(usize::from(k).saturating_sub(1)).map_or(0.0, |sorted| percentile(sorted, p))
    }
}

fn gather(into: &mut Vec<Vec<f64>>, values: &[f64]) {
    if into.len() < values.len() {
        into.resize(values.len(), Vec::new());
    }
    into.iter_mut().zip(values).for_each(|(into, value)| into.push(*value));
}

/// The value below which a share `p` of `sorted` lies; 0 if there are none.
#[must_use]
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let place = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
