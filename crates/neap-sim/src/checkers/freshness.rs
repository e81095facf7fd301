//! Invariant 5: a freshness bound that neap reports is never wrong, whatever the clocks do.
//!
//! Its checker comes with the bounds, which are not reported yet.
