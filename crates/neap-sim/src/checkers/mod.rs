//! The invariants of the house, each with a checker that can fail.
//!
//! | | invariant | checked |
//! |---|---|---|
//! | 1 | an acknowledged write is never lost while a replica that acknowledged it keeps its disk | [`durability`] |
//! | 2 | without new writes, replicas become identical | [`convergence`], which comes with hints and Merkle trees |
//! | 3 | a version is dropped only if another's context covers it; no dot is used twice | [`causality`] |
//! | 4 | with R + W > N a read returns every acknowledged write, or one that covers it | [`overlap`] |
//! | 5 | a freshness bound is never wrong | [`freshness`], which comes with bounded staleness |
//! | 6 | an SLI is never better than the truth | [`sli`]: verdicts on reads, convergence of writes |
//! | 7 | every request ends; every queue is bounded | [`endings`] |
//! | 8 | the same seed gives the same run | [`determinism`] |

pub mod causality;
pub mod convergence;
pub mod determinism;
pub mod durability;
pub mod endings;
pub mod freshness;
pub mod overlap;
pub mod sli;

use super::truth::KeyIndex;

/// One of the house's invariants, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// 1.
    Durability,
    /// 2.
    Convergence,
    /// 3.
    Causality,
    /// 4.
    Overlap,
    /// 5.
    Freshness,
    /// 6.
    Sli,
    /// 7.
    Endings,
    /// 8.
    Determinism,
}

impl Invariant {
    /// Its number in ARCHITECTURE.md.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Durability => 1,
            Self::Convergence => 2,
            Self::Causality => 3,
            Self::Overlap => 4,
            Self::Freshness => 5,
            Self::Sli => 6,
            Self::Endings => 7,
            Self::Determinism => 8,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Durability => "durability",
            Self::Convergence => "convergence",
            Self::Causality => "causality",
            Self::Overlap => "overlap",
            Self::Freshness => "freshness",
            Self::Sli => "sli",
            Self::Endings => "endings",
            Self::Determinism => "determinism",
        }
    }
}

impl std::fmt::Display for Invariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}

/// An invariant was found broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How, in a sentence.
    pub what: String,
    /// At which key, if at one.
    pub key: Option<KeyIndex>,
}

impl Violation {
    /// At a key.
    #[must_use]
    pub fn at(invariant: Invariant, key: KeyIndex, what: String) -> Self {
        Self { invariant, what, key: Some(key) }
    }

    /// At no key in particular.
    #[must_use]
    pub fn of(invariant: Invariant, what: String) -> Self {
        Self { invariant, what, key: None }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}
