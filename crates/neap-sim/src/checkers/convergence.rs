//! Invariant 2: with no new writes and a healed network, all N replicas of every key become identical, and every
//! queue drains to zero.
//!
//! Its checker comes with what makes it true: hinted handoff and Merkle repair. Today replicas that missed a write get
//! it when somebody reads it.
