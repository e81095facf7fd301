//! Which reads are probed.

/// A share of all operations, spread evenly: without randomness, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    share: f64,
}

impl Sampling {
    /// All of them.
    pub const ALL: Self = Self { share: 1.0 };
    /// None of them.
    pub const NONE: Self = Self { share: 0.0 };

    /// Of `share`, from 0 to 1.
    #[must_use]
    pub fn of(share: f64) -> Self {
        Self { share: share.clamp(0.0, 1.0) }
    }

    /// Whether the operation of this number is among them: whether the multiples of the share pass a whole number there.
    #[must_use]
    pub fn takes(self, number: u64) -> bool {
        // Numbers beyond 2^53 would lose their last digits; no node counts that far.
        let passed = |number: u64| (number as f64 * self.share).floor();
        passed(number.saturating_add(1)) > passed(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_taken_as_the_share_says() {
        for share in [0.0, 0.05, 0.5, 0.37, 1.0] {
            let taken = (0..10_000).filter(|number| Sampling::of(share).takes(*number)).count();
            assert!((taken as f64 - share * 10_000.0).abs() <= 1.0, "{share}: {taken}");
        }
    }
}
