//! How long a peer takes to answer, lately: whom to ask first, and when to ask another as well.

/// A bound from below for hedging, in microseconds: below it, asking another costs more than it saves.
const HEDGE_MIN_US: u64 = 2_000;
/// What is assumed of a peer that was never asked, in microseconds.
const UNKNOWN_P99_US: u64 = 50_000;

/// Running estimates for one peer. The mean is exponentially weighted over about 16 answers; the p99 moves
/// up by 99 parts when an answer was slower and down by one part when it was not, which settles where one in
/// a hundred is slower (stochastic approximation; Robbins and Monro, 1951).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    mean_us: u64,
    p99_us: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { mean_us: 0, p99_us: UNKNOWN_P99_US }
    }
}

impl Latency {
    /// An answer took `micros`.
    pub fn observe(&mut self, micros: u64) {
        self.mean_us = (self.mean_us * 15 + micros) / 16;
        let part = (self.p99_us / 2_000).max(1);
        self.p99_us = if micros > self.p99_us {
            self.p99_us.saturating_add(99 * part)
        } else {
            self.p99_us.saturating_sub(part)
        };
    }

    /// The mean of recent answers, in microseconds; 0 before the first.
    #[must_use]
    pub fn mean_us(self) -> u64 {
        self.mean_us
    }

    /// How long to wait before another home is asked too, in microseconds.
    #[must_use]
    pub fn hedge_after_us(self) -> u64 {
        self.p99_us.max(HEDGE_MIN_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hedge_settles_near_the_slowest_hundredth() {
        let mut latency = Latency::default();
        let mut seed = 12_345_u64;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            latency.observe(10_000 + (seed >> 33) % 10_000);
        }
        assert!((18_000..=22_000).contains(&latency.hedge_after_us()), "{latency:?}");
        assert!((14_000..=16_000).contains(&latency.mean_us()), "{latency:?}");
    }

    #[test]
    fn a_fast_peer_is_not_hedged_within_the_floor() {
        let mut latency = Latency::default();
        for _ in 0..100_000 {
            latency.observe(100);
        }
        assert_eq!(latency.hedge_after_us(), HEDGE_MIN_US);
    }
}
