//! The four legs of an operation, and the published fits of them.

use super::delay::Delay;

/// What a message between two sites takes on top, in milliseconds, in the `wan` preset.
pub const WAN_ONE_WAY_MS: f64 = 75.0;

/// The delays of the four legs.
#[derive(Debug, Clone, PartialEq)]
pub struct Legs {
    /// The write, out to a replica.
    pub write: Delay,
    /// Its acknowledgement, back.
    pub ack: Delay,
    /// The read, out.
    pub read: Delay,
    /// Its answer, back.
    pub answer: Delay,
    /// What each leg takes on top between two sites, in milliseconds; replicas are then in a site each.
    pub between_sites_ms: f64,
}

/// The fits of Bailis et al., table 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// LinkedIn's store on solid-state disks.
    LnkdSsd,
    /// LinkedIn's store on spinning disks.
    LnkdDisk,
    /// Yammer's Riak.
    Ymmr,
    /// `lnkd-disk` with a replica in each of three sites.
    Wan,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LnkdSsd, Self::LnkdDisk, Self::Ymmr, Self::Wan];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LnkdSsd => "lnkd-ssd",
            Self::LnkdDisk => "lnkd-disk",
            Self::Ymmr => "ymmr",
            Self::Wan => "wan",
        }
    }

    /// The preset of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Its legs.
    #[must_use]
    pub fn legs(self) -> Legs {
        let ssd = || Delay::pareto_exponential((0.9122, 0.235, 10.0), (0.0878, 1.66));
        let disk_write = || Delay::pareto_exponential((0.38, 1.05, 1.51), (0.62, 0.183));
        // The paper prints 3.35 for the exponent of the write; its results come from 3.5.
        let ymmr_write = || Delay::pareto_exponential((0.939, 3.0, 3.5), (0.061, 0.0028));
        let ymmr = || Delay::pareto_exponential((0.982, 1.5, 3.8), (0.018, 0.0217));
        let (write, others): (Delay, &dyn Fn() -> Delay) = match self {
            Self::LnkdSsd => (ssd(), &ssd),
            Self::LnkdDisk | Self::Wan => (disk_write(), &ssd),
            Self::Ymmr => (ymmr_write(), &ymmr),
        };
        let between_sites_ms = if self == Self::Wan { WAN_ONE_WAY_MS } else { 0.0 };
        Legs { write, ack: others(), read: others(), answer: others(), between_sites_ms }
    }
}
