//! How long operations took.

use hdrhistogram::Histogram;

/// Latencies up to a minute, to three digits.
pub struct Latencies(Option<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).ok())
    }
}

impl Latencies {
    /// One more.
    pub fn record(&mut self, micros: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros);
        }
    }

    /// What a share of all operations did not exceed, in milliseconds; none if there was no operation.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    /// The longest, in milliseconds; none if there was no operation.
    #[must_use]
    pub fn max_ms(&self) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.max() as f64 / 1_000.0)
    }

    /// How many operations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }
}
