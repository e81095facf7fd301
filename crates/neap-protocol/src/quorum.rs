//! N, R and W, and the rules that bind them (DeCandia et al., "Dynamo", section 4.5).

use crate::planted::{self, Bug};

/// The most homes a partition can have.
pub const N_MAX: u8 = 15;

/// How many homes a key has, and how many must answer a read and acknowledge a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quorum {
    /// Homes of each key.
    pub n: u8,
    /// Homes that must answer a read.
    pub r: u8,
    /// Homes that must acknowledge a write.
    pub w: u8,
}

/// A number that does not fit the others. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// N is outside its range.
    #[error("n = {given} is out of range: 1 to {N_MAX} are accepted")]
    N {
        /// What was given.
        given: u8,
    },
    /// R is outside 1..=N.
    #[error("r = {given} is out of range: 1 to {n} (n) are accepted")]
    R {
        /// What was given.
        given: u8,
        /// N.
        n: u8,
    },
    /// W is outside `w_min`..=N.
    #[error("w = {given} is out of range: {w_min} (w_min) to {n} (n) are accepted")]
    W {
        /// What was given.
        given: u8,
        /// The lowest W allowed.
        w_min: u8,
        /// N.
        n: u8,
    },
    /// `w_min` is outside 1..=W.
    #[error("w_min = {given} is out of range: 1 to {max} (w) are accepted")]
    WMin {
        /// What was given.
        given: u8,
        /// The bucket's W.
        max: u8,
    },
}

impl Quorum {
    /// Checks that R and W fit N.
    pub fn validate(self) -> Result<(), QuorumError> {
        if self.n == 0 || self.n > N_MAX {
            return Err(QuorumError::N { given: self.n });
        }
        self.check_r(self.r)?;
        self.check_w(self.w, 1)
    }

    /// Checks an R that a request chose.
    pub fn check_r(self, r: u8) -> Result<(), QuorumError> {
        if (1..=self.n).contains(&r) { Ok(()) } else { Err(QuorumError::R { given: r, n: self.n }) }
    }

    /// Checks a W that a request chose.
    pub fn check_w(self, w: u8, w_min: u8) -> Result<(), QuorumError> {
        let ok = (w_min.max(1)..=self.n).contains(&w);
        if ok { Ok(()) } else { Err(QuorumError::W { given: w, w_min: w_min.max(1), n: self.n }) }
    }
}

/// How many other homes a home must merge from to have every write that was acknowledged while it had
/// nothing: any `w_min` homes and these overlap, whichever they are. Never more than there are.
#[must_use]
pub fn homes_to_merge_from(n: u8, w_min: u8) -> u8 {
    let fewer = u8::from(planted::has(Bug::PullFromOneFewer));
    (n.saturating_sub(w_min).saturating_add(1)).min(n.saturating_sub(1)).saturating_sub(fewer)
}
