//! The model itself: one write, one read, 4 N delays.

use super::legs::Legs;
use crate::quorum::Quorum;

/// What is drawn, how often and for which quorum.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// N, R and W.
    pub quorum: Quorum,
    /// The delays.
    pub legs: Legs,
    /// Whether the coordinator's own replica is a local leg that takes no time, as it is in production. The model
    /// as published has none: each of the N legs crosses the network.
    pub local_leg: bool,
}

/// What came of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The read is consistent if it starts no earlier than so long after the commit, in milliseconds; often negative.
    pub consistent_after_ms: f64,
    /// How long the read took until its k-th answer, for k = 1..=N, in milliseconds.
    pub read_ms: Vec<f64>,
    /// How long the write took until its k-th acknowledgement, for k = 1..=N, in milliseconds.
    pub write_ms: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Delays {
    write: f64,
    ack: f64,
    read: f64,
    answer: f64,
}

impl Experiment {
    /// Draws one trial. `uniform` draws from [0, 1). Writer and reader are each at one of the N replicas, chosen
    /// independently: in its site, and with `local_leg` at itself.
    pub fn trial(&self, uniform: &mut impl FnMut() -> f64) -> Trial {
        let n = usize::from(self.quorum.n);
        let pick =
            |uniform: &mut dyn FnMut() -> f64| ((uniform() * n as f64) as usize).min(n.saturating_sub(1));
        let (writer, reader) = (pick(uniform), pick(uniform));
        let delays: Vec<Delays> = (0..n)
            .map(|replica| Delays {
                write: self.leg(&self.legs.write, replica, writer, uniform),
                ack: self.leg(&self.legs.ack, replica, writer, uniform),
                read: self.leg(&self.legs.read, replica, reader, uniform),
                answer: self.leg(&self.legs.answer, replica, reader, uniform),
            })
            .collect();
        self.judge(&delays)
    }

    fn leg(
        &self,
        delay: &super::Delay,
        replica: usize,
        coordinator: usize,
        uniform: &mut impl FnMut() -> f64,
    ) -> f64 {
        if replica != coordinator {
            delay.draw_ms(uniform) + self.legs.between_sites_ms
        } else if self.local_leg {
            0.0
        } else {
            delay.draw_ms(uniform)
        }
    }

    fn judge(&self, delays: &[Delays]) -> Trial {
        let mut write_ms: Vec<f64> = delays.iter().map(|d| d.write + d.ack).collect();
        write_ms.sort_by(f64::total_cmp);
        let committed = write_ms.get(usize::from(self.quorum.w).saturating_sub(1)).copied().unwrap_or(0.0);
        let mut answers: Vec<(f64, f64)> =
            delays.iter().map(|d| (d.read + d.answer, d.write - d.read)).collect();
        answers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let responders = answers.iter().take(usize::from(self.quorum.r));
        // Replica i has the write when the read reaches it if committed + t + R_i >= W_i.
        let consistent_after_ms = responders.map(|(_, late)| late - committed).fold(f64::INFINITY, f64::min);
        Trial { consistent_after_ms, read_ms: answers.iter().map(|(took, _)| *took).collect(), write_ms }
    }
}

/// The probability that a read of R replicas at random misses a write that is on W of N, when it spreads no further
/// (Bailis et al., section 3.1).
#[must_use]
pub fn one_replica_set(quorum: Quorum) -> f64 {
    let Quorum { n, r, w } = quorum;
    (0..r).map(|taken| f64::from(n.saturating_sub(w).saturating_sub(taken)) / f64::from(n - taken)).product()
}

/// The probability that a read returns none of the last `k` versions (section 3.2).
#[must_use]
pub fn k_staleness(quorum: Quorum, k: i32) -> f64 {
    one_replica_set(quorum).powi(k)
}

/// The probability that a client reads something older than it read before, with so many writes to the key for each
/// of its reads (section 3.2).
#[must_use]
pub fn monotonic_reads(quorum: Quorum, writes_per_read: f64) -> f64 {
    one_replica_set(quorum).powf(1.0 + writes_per_read)
}
