//! How the time of a listing is shared out.

use crate::time::Moment;

/// The moment by which the nodes answer a round that begins at `now`: an eighth of what is left is for joining their
/// pages and for the way back to the client.
#[must_use]
pub fn round_ends(now: Moment, deadline: Moment) -> Moment {
    let left = deadline.micros_since(now);
    now.plus_micros(left - left / 8)
}

/// The moment at which a node ends a page that it begins at `now` with what it has. A quarter of what is left is for
/// the way back. Pages that wait for their turn have equal shares of the rest, so that all of them come to something.
#[must_use]
pub fn page_ends(now: Moment, deadline: Moment, queue: PageQueue) -> Moment {
    let left = deadline.micros_since(now);
    let turns = (queue.waiting as u64).div_ceil(queue.at_once.max(1) as u64);
    now.plus_micros((left - left / 4) / turns.saturating_add(1))
}

/// The pages that a node is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQueue {
    /// How many wait for their turn.
    pub waiting: usize,
    /// How many are made at once.
    pub at_once: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn page_us(left_us: u64, waiting: usize) -> u64 {
        page_ends(NOW, NOW.plus_micros(left_us), PageQueue { waiting, at_once: 2 }).micros_since(NOW)
    }

    #[test]
    fn a_page_leaves_time_for_its_way_back_and_shares_it_with_those_that_wait() {
        assert_eq!(round_ends(NOW, NOW.plus_micros(800)), NOW.plus_micros(700));
        assert_eq!(page_us(800, 0), 600);
        assert_eq!((page_us(800, 1), page_us(800, 2), page_us(800, 3)), (300, 300, 200));
    }

    #[test]
    fn what_is_over_has_no_time_left() {
        assert_eq!(round_ends(NOW, Moment(5)), NOW);
        assert_eq!(page_ends(NOW, Moment(5), PageQueue { waiting: 0, at_once: 2 }), NOW);
    }
}
