//! Why a ring cannot be made.

use super::{MEMBERS_MAX, PARTITIONS_MAX};
use crate::ids::NodeId;

/// A ring that cannot be made. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The circle cannot be cut so.
    #[error("partitions = {given} is not accepted: a power of two from 1 to {PARTITIONS_MAX} is")]
    Partitions {
        /// What was given.
        given: u32,
    },
    /// Nobody would own anything.
    #[error("no members were given: 1 to {MEMBERS_MAX} are accepted")]
    NoMembers,
    /// More members than a ring can count.
    #[error("{given} members were given: 1 to {MEMBERS_MAX} are accepted")]
    TooManyMembers {
        /// How many were given.
        given: usize,
    },
    /// Two members of one name.
    #[error("member {id} was given more than once: each id is accepted once")]
    DuplicateId {
        /// The name.
        id: NodeId,
    },
}
