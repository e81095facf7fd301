//! Which key comes next.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

/// The exponent of the zipfian choice, as YCSB has it (Cooper et al., 2010, section 4.1).
const EXPONENT: f64 = 0.99;

/// Where the search begins for what spreads the ranks over the keys: 2^64 by the golden ratio.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// A few keys get most of the requests.
    Zipfian,
    /// All keys get as many.
    Uniform,
}

/// Chooses keys, the same ones for the same seed.
pub struct KeyChooser {
    random: StdRng,
    keys: u64,
    /// Has no divisor in common with `keys`, so that each rank has a key and no two share one.
    stride: u64,
    zipf: Option<Zipf<f64>>,
}

impl KeyChooser {
    /// Chooses among `keys`.
    #[must_use]
    pub fn new(seed: u64, keys: u64, distribution: Distribution) -> Self {
        let zipf = match distribution {
            Distribution::Zipfian => Zipf::new(keys as f64, EXPONENT).ok(),
            Distribution::Uniform => None,
        };
        let keys = keys.max(1);
        let stride = (STRIDE..).find(|stride| greatest_common_divisor(*stride, keys) == 1).unwrap_or(1);
        Self { random: StdRng::seed_from_u64(seed), keys, stride, zipf }
    }

    /// The next key's number. Popular numbers are scattered, so that the popular keys are not neighbours.
    pub fn next_key(&mut self) -> u64 {
        match &self.zipf {
            Some(zipf) => {
                let rank = zipf.sample(&mut self.random) as u64;
                // The remainder is below `keys`, so it fits.
                (u128::from(rank) * u128::from(self.stride) % u128::from(self.keys)) as u64
            }
            None => self.random.random_range(0..self.keys),
        }
    }

    /// True in `share` of all calls.
    pub fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share.clamp(0.0, 1.0))
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The name of a key's number.
#[must_use]
pub fn key_name(number: u64) -> String {
    format!("key-{number:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zipfian_choice_prefers_few_keys_and_a_uniform_one_none() {
        let share = |distribution| {
            let mut chooser = KeyChooser::new(1, 1_000, distribution);
            let mut counts = vec![0u32; 1_000];
            (0..100_000).for_each(|_| counts[chooser.next_key() as usize] += 1);
            counts.sort_unstable();
            counts[990..].iter().sum::<u32>()
        };
        assert!(share(Distribution::Zipfian) > 30_000);
        assert!(share(Distribution::Uniform) < 2_000);
    }

    #[test]
    fn every_key_has_a_rank_of_its_own() {
        for keys in [1, 2, 16, 999, 1_000] {
            let chooser = KeyChooser::new(1, keys, Distribution::Zipfian);
            let stride = u128::from(chooser.stride);
            let mut reached: Vec<_> =
                (1..=keys).map(|rank| u128::from(rank) * stride % u128::from(keys)).collect();
            reached.sort_unstable();
            assert!(reached.into_iter().eq(0..u128::from(keys)), "{keys} keys");
        }
    }

    #[test]
    fn the_same_seed_chooses_the_same_keys() {
        let choose = || {
            let mut chooser = KeyChooser::new(7, 100, Distribution::Zipfian);
            (0..50).map(|_| chooser.next_key()).collect::<Vec<_>>()
        };
        assert_eq!(choose(), choose());
    }
}
