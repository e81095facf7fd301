//! The fixed hash that stands in for chance: equal on every node.

/// The finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators"): every
/// bit of `value` reaches every bit of the result.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The stride of splitmix64.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A fixed sequence of numbers, made by its seed.
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(STRIDE)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        mix(self.0)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // The high half of the product; its bias is below bound / 2^64.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Each partition once, in an order made by `seed`. `partitions` is a power of two.
pub(super) fn scattered(partitions: u32, seed: u64) -> impl Iterator<Item = u32> {
    let mut sequence = Sequence::new(seed);
    // An odd factor and any offset permute the numbers below a power of two.
    let (factor, offset) = (sequence.next() as u32 | 1, sequence.next() as u32);
    (0..partitions).map(move |at| at.wrapping_mul(factor).wrapping_add(offset) & partitions.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_partitions_are_each_there_once() {
        for partitions in [1, 2, 1024, 65_536] {
            for seed in 0..20 {
                let mut seen: Vec<u32> = scattered(partitions, seed).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..partitions).collect::<Vec<_>>());
            }
        }
    }
}
