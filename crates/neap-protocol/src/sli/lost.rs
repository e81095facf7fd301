//! Writes whose followers were lost with a coordinator's memory.

use crate::planted::{self, Bug};

/// Of how many writes of earlier runs it is no more known whether all homes have them, when a run begins. `last_word`
/// is the number that was last written down, which after anything but a clean stop is not exact: one more may have been
/// under way at the least.
#[must_use]
pub fn untracked_at_start(clean: bool, last_word: Option<u64>) -> u64 {
    if planted::has(Bug::ForgetLostTracking) {
        return 0;
    }
    let known = last_word.unwrap_or(0);
    if clean { known } else { known.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_the_tracking_of_one_write_at_the_least() {
        assert_eq!(untracked_at_start(true, None), 0);
        assert_eq!(untracked_at_start(true, Some(7)), 7);
        assert_eq!(untracked_at_start(false, None), 1);
        assert_eq!(untracked_at_start(false, Some(7)), 7);
    }
}
