//! What the published fits come to, for N = 3.

use super::legs::Preset;
use crate::quorum::Quorum;

/// The values of one preset and quorum, each leg crossing the network.
///
/// The paper (figure 6, table 4) prints curves, and times that are the first points of a noisy sweep. These are the
/// limits that its fits come to, from 10^8 trials and confirmed by quadrature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The probability that a read returns the write, so many milliseconds after the commit.
    pub consistent: &'static [(f64, f64)],
    /// After how many milliseconds it is 99.9 %.
    pub t999_ms: f64,
}

impl Published {
    /// The values for `preset` and `quorum`, if there are any.
    #[must_use]
    pub fn of(preset: Preset, quorum: Quorum) -> Option<Self> {
        let Quorum { n: 3, r, w } = quorum else { return None };
        let (consistent, t999_ms): (&[_], _) = match (preset, r, w) {
            (Preset::LnkdSsd, 1, 1) => (&[(0.0, 0.97361), (1.0, 0.99501), (5.0, 0.999_993_3)], 1.97),
            (Preset::LnkdSsd, 1, 2) => (&[(0.0, 0.97829), (1.0, 0.99587), (5.0, 0.999_994_7)], 1.855),
            (Preset::LnkdSsd, 2, 1) => (&[(0.0, 0.999_415), (1.0, 0.999_979)], 0.0),
            (Preset::LnkdDisk, 1, 1) => {
                (&[(0.0, 0.43670), (1.0, 0.58346), (5.0, 0.81813), (10.0, 0.92624)], 52.1)
            }
            (Preset::LnkdDisk, 1, 2) => {
                (&[(0.0, 0.71287), (1.0, 0.77244), (5.0, 0.89428), (10.0, 0.95618)], 48.2)
            }
            (Preset::LnkdDisk, 2, 1) => {
                (&[(0.0, 0.76271), (1.0, 0.86976), (5.0, 0.97493), (10.0, 0.99586)], 14.14)
            }
            _ => return None,
        };
        Some(Self { consistent, t999_ms })
    }

    /// The probability at `t_ms`, where it is known.
    #[must_use]
    pub fn consistent_at(&self, t_ms: f64) -> Option<f64> {
        let found = self.consistent.iter().find(|(t, _)| (t - t_ms).abs() < 1e-9);
        found.map(|(_, p)| *p)
    }
}
