//! How times are kept: HDR histograms of two significant digits, so that a percentile is at most 1 % above the truth
//! and never below it; and the sparse form of a short time's worth of values.

use hdrhistogram::Histogram;

/// Times above this count as this, in microseconds: one hour, the last bound of the exported histograms.
pub const VALUE_MAX_US: u64 = 3_600_000_000;

/// Distinct values that a histogram tells apart, at the most.
pub const BUCKETS: usize = 3_328;

/// Times, each within 1 %.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    // None only if the library refused the constants above, which a test excludes.
    inner: Option<Histogram<u64>>,
}

impl Default for Times {
    fn default() -> Self {
        Self { inner: Histogram::new_with_bounds(1, VALUE_MAX_US, 2).ok() }
    }
}

impl Times {
    /// Bytes that one takes at the most.
    pub const BYTES: usize = BUCKETS * size_of::<u64>() + 256;

    /// Bytes that this one takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.distinct() * size_of::<u64>()
    }

    /// Counts a time, in microseconds.
    pub fn record(&mut self, value_us: u64) {
        self.record_many(value_us, 1);
    }

    /// Counts a time, in microseconds, `times` over.
    pub fn record_many(&mut self, value_us: u64, times: u64) {
        if let Some(inner) = &mut self.inner {
            inner.saturating_record_n(value_us.min(VALUE_MAX_US), times);
        }
    }

    /// Counts all of a sparse histogram.
    pub fn add(&mut self, sparse: &Sparse) {
        for (value_us, times) in sparse.iter() {
            self.record_many(value_us, times);
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.inner.as_ref().map_or(0, Histogram::len)
    }

    /// The value that a share `quantile` of all does not exceed, in microseconds; none of nothing.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let inner = self.inner.as_ref().filter(|inner| !inner.is_empty())?;
        Some(inner.value_at_quantile(quantile).min(VALUE_MAX_US))
    }

    /// The values that were counted and how often, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let recorded = self.inner.iter().flat_map(Histogram::iter_recorded);
        recorded.map(|step| (step.value_iterated_to().min(VALUE_MAX_US), step.count_at_value()))
    }

    fn distinct(&self) -> usize {
        self.inner.as_ref().map_or(0, Histogram::distinct_values)
    }
}

/// The same of a short time, of which most hold few distinct values: those that occur, each with its count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse(Vec<(u32, u32)>);

impl Sparse {
    /// Bytes that one takes at the most: its values double their room as they grow.
    pub const BYTES_MAX: usize = 2 * BUCKETS * size_of::<(u32, u32)>();

    /// From values, in microseconds, and their counts. Values are cut to their buckets, so any order and any number
    /// of pairs is within the bound.
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut sparse = Self::default();
        for (value_us, times) in pairs {
            sparse.record_many(u64::from(value_us), times);
        }
        sparse
    }

    /// Counts a time, in microseconds.
    pub fn record(&mut self, value_us: u64) {
        self.record_many(value_us, 1);
    }

    /// Counts a time, in microseconds, `times` over.
    pub fn record_many(&mut self, value_us: u64, times: u32) {
        let value = bucket_top(value_us);
        let place = self.0.partition_point(|(there, _)| *there < value);
        match self.0.get_mut(place) {
            Some((there, count)) if *there == value => *count = count.saturating_add(times),
            _ => self.0.insert(place, (value, times)),
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (value, times) in &other.0 {
            self.record_many(u64::from(*value), *times);
        }
    }

    /// The values, in microseconds, and their counts, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(value, times)| (u64::from(*value), u64::from(*times)))
    }

    /// Bytes that it takes now beside itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, u32)>()
    }

    /// The pairs to be stored.
    #[must_use]
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.0
    }
}

/// The greatest value of the HDR bucket that a time falls in, in microseconds. Buckets of the first 256 microseconds
/// are one wide; from there on each power of two is cut into 128.
fn bucket_top(value_us: u64) -> u32 {
    let value = value_us.min(VALUE_MAX_US);
    let bits = u64::BITS - value.leading_zeros();
    let width_bits = bits.saturating_sub(8);
    let top = value | ((1_u64 << width_bits) - 1);
    u32::try_from(top.min(VALUE_MAX_US)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_of_the_constant_bounds_can_be_built_and_keeps_within_its_bytes() {
        let inner = Times::default().inner.unwrap();
        assert_eq!(inner.sigfig(), 2);
        assert!(Times::default().distinct() <= BUCKETS, "{}", Times::default().distinct());
    }

    #[test]
    fn a_percentile_is_never_below_the_truth_and_at_most_a_hundredth_above() {
        for value in [1, 255, 256, 257, 999, 100_000, 499_999, 500_001, 5_000_000, 3_599_999_999] {
            let mut times = Times::default();
            times.record(value);
            let shown = times.quantile(0.95).unwrap();
            assert!(shown >= value && (shown - value) * 100 <= value, "{value}: {shown}");
        }
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour() {
        let mut times = Times::default();
        times.record(u64::MAX);
        assert_eq!(times.quantile(1.0), Some(VALUE_MAX_US));
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn the_sparse_form_says_what_the_dense_one_does() {
        let (mut dense, mut sparse) = (Times::default(), Sparse::default());
        let mut value = 1_u64;
        while value < VALUE_MAX_US * 2 {
            dense.record(value);
            sparse.record(value);
            value += 1 + value / 7;
        }
        let mut from_sparse = Times::default();
        from_sparse.add(&sparse);
        assert_eq!(from_sparse, dense);
        for quantile in [0.0, 0.5, 0.95, 0.999, 1.0] {
            assert_eq!(from_sparse.quantile(quantile), dense.quantile(quantile));
        }
    }

    #[test]
    fn the_sparse_form_is_bounded_whatever_comes() {
        let mut sparse = Sparse::default();
        for step in 0..400_000_u64 {
            sparse.record(step * step % (2 * VALUE_MAX_US));
            sparse.record(step);
        }
        assert!(sparse.0.len() <= BUCKETS, "{}", sparse.0.len());
        assert!(sparse.0.capacity() * size_of::<(u32, u32)>() <= Sparse::BYTES_MAX);
    }
}
