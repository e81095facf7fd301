//! A bucket's share while others ask for more than can be done.

use std::fmt;

/// How much of a node's work a bucket may have beside others that also wait: with 2.0 twice as much as with 1.0. Kept in
/// hundredths, so that equal settings are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketWeight(u16);

/// A number that is no weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a weight is a number from {} to {}, with two decimals at the most",
    BucketWeight::LEAST,
    BucketWeight::MOST
)]
pub struct BucketWeightError;

impl BucketWeight {
    /// That of a bucket that nobody gave another.
    pub const ONE: Self = Self(100);
    /// The smallest.
    pub const LEAST: Self = Self(10);
    /// The greatest.
    pub const MOST: Self = Self(10_000);

    /// Of a number of hundredths: from 10 to 10,000.
    pub fn of_hundredths(hundredths: u16) -> Result<Self, BucketWeightError> {
        let weight = Self(hundredths);
        if (Self::LEAST..=Self::MOST).contains(&weight) { Ok(weight) } else { Err(BucketWeightError) }
    }

    /// Of a number as people write it: 0.1 to 100, two decimals at the most.
    pub fn of_number(number: f64) -> Result<Self, BucketWeightError> {
        let hundredths = number * 100.0;
        let whole = hundredths.round();
        // A decimal such as 0.29 is not a binary fraction: its hundredths are near a whole number.
        if !(hundredths - whole).abs().le(&1e-6) || !(0.0..=f64::from(u16::MAX)).contains(&whole) {
            return Err(BucketWeightError);
        }
        Self::of_hundredths(whole as u16)
    }

    /// In hundredths.
    #[must_use]
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for BucketWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_comes_back_from_its_number_and_nothing_else_is_one() {
        for hundredths in 10..=10_000 {
            let weight = BucketWeight::of_hundredths(hundredths).unwrap();
            assert_eq!(BucketWeight::of_number(weight.number()), Ok(weight));
            assert_eq!(BucketWeight::of_number(weight.to_string().parse().unwrap()), Ok(weight));
        }
        for number in [0.0, -1.0, 0.09, 100.01, 1.005, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(BucketWeight::of_number(number), Err(BucketWeightError), "{number}");
        }
        for hundredths in [0, 9, 10_001, u16::MAX] {
            assert_eq!(BucketWeight::of_hundredths(hundredths), Err(BucketWeightError));
        }
    }
}
