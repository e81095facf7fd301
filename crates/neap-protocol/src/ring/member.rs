//! Who is in the ring.

use std::fmt;

use crate::ids::NodeId;

/// A node that may own partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// What fails together with it: a rack, a site. Equal text is one zone, the empty text too.
    pub zone: String,
    /// Its share of the ring, beside the others'.
    pub weight: Weight,
    /// Where its peers reach it, `host:port`. No part of the fingerprint: a node may move.
    pub address: String,
}

/// A share of the ring beside the others': 0.001 to 1,000, in thousandths, so that it is equal and hashes
/// equally on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

/// A weight outside 0.001..=1,000. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("weight = {given} is out of range: 0.001 to 1000 are accepted")]
pub struct InvalidWeight {
    /// What was given.
    pub given: String,
}

impl Weight {
    /// That of a node whose weight nobody set.
    pub const ONE: Self = Self(1_000);

    /// The greatest.
    pub const MAX: Self = Self(1_000_000);

    /// Rounds `weight` to the nearest thousandth.
    pub fn new(weight: f64) -> Result<Self, InvalidWeight> {
        let thousandths = (weight * 1_000.0).round();
        if (1.0..=f64::from(Self::MAX.0)).contains(&thousandths) {
            // In range and whole, so nothing is lost.
            Ok(Self(thousandths as u32))
        } else {
            Err(InvalidWeight { given: weight.to_string() })
        }
    }

    /// Keeps a weight given in thousandths.
    pub fn from_thousandths(thousandths: u32) -> Result<Self, InvalidWeight> {
        Self::new(f64::from(thousandths) / 1_000.0)
    }

    /// The weight in thousandths.
    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// The weight as a number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

/// A member's place in [`Ring::members`](super::Ring::members). Of one ring only: the next record's may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// A slot that no node holds, while a layout is computed. No member has it: there are at most
    /// [`MEMBERS_MAX`](super::MEMBERS_MAX).
    pub(super) const VACANT: Self = Self(u16::MAX);

    /// The place of the member at `index`, below [`MEMBERS_MAX`](super::MEMBERS_MAX).
    pub(super) fn from_usize(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// As an index.
    pub(super) fn at(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_kept_to_the_thousandth() {
        assert_eq!(Weight::new(1.0), Ok(Weight::ONE));
        assert_eq!(Weight::new(0.1 + 0.2), Weight::new(0.3));
        assert_eq!(Weight::from_thousandths(1_500).unwrap().to_string(), "1.5");
    }

    #[test]
    fn a_weight_out_of_range_is_refused_and_named() {
        for given in [0.0, -1.0, 0.000_4, 1_000.5, f64::NAN, f64::INFINITY] {
            let error = Weight::new(given).unwrap_err().to_string();
            assert!(error.contains(&given.to_string()) && error.contains("0.001 to 1000"), "{error}");
        }
        assert!(Weight::from_thousandths(0).is_err());
    }
}
