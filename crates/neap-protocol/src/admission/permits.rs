//! Whether one more request is let in.

/// How many requests a node may have in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permits {
    /// `limits.in_flight`: as many any bucket may have, if it is alone.
    limit: u32,
    /// So many more there are for buckets that have less than their share, so that they find one whatever others do.
    reserve: u32,
}

/// What is in flight when a request of a bucket comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests of all buckets.
    pub in_flight: u32,
    /// Requests of this bucket.
    pub mine: u32,
    /// Buckets that have any.
    pub active: u32,
}

impl Permits {
    /// `limit` permits, and an eighth in reserve.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, reserve: (limit / 8).max(1) }
    }

    /// How many requests are in flight at the most.
    #[must_use]
    pub fn most(self) -> u32 {
        self.limit.saturating_add(self.reserve)
    }

    /// Whether one more request is let in.
    #[must_use]
    pub fn admit(self, standing: Standing) -> bool {
        let Standing { in_flight, mine, active } = standing;
        in_flight < self.limit || in_flight < self.most() && mine < self.share(active + u32::from(mine == 0))
    }

    /// What each of `active` buckets may hold while all ask for more.
    fn share(self, active: u32) -> u32 {
        (self.limit / active.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each bucket holds after `rounds` in which each asks for `wants` more and gives back a share of what it has.
    fn after(permits: Permits, wants: &[u32], rounds: usize) -> Vec<u32> {
        let mut held = vec![0u32; wants.len()];
        for round in 0..rounds {
            for at in 0..held.len() {
                held[at] -= held[at].div_ceil(4);
                // The greedy come first and last.
                let at = (at + round) % held.len();
                for _ in 0..wants[at] {
                    let (in_flight, active) =
                        (held.iter().sum(), held.iter().filter(|&&held| held > 0).count() as u32);
                    let standing = Standing { in_flight, mine: held[at], active };
                    assert!(in_flight <= permits.most());
                    if held[at] < wants[at] && permits.admit(standing) {
                        held[at] += 1;
                    }
                }
            }
        }
        held
    }

    #[test]
    fn a_bucket_that_is_alone_has_all_permits_and_no_more() {
        assert_eq!(after(Permits::new(64), &[1_000], 1), [64]);
    }

    #[test]
    fn a_quiet_bucket_finds_a_permit_whatever_another_holds() {
        let permits = Permits::new(64);
        for mine in 0..8 {
            assert!(permits.admit(Standing { in_flight: 64 + mine, mine, active: 2 }));
        }
        assert!(!permits.admit(Standing { in_flight: 64, mine: 64, active: 1 }));
        assert!(!permits.admit(Standing { in_flight: 72, mine: 8, active: 2 }), "the reserve has an end");
    }

    #[test]
    fn buckets_that_all_ask_for_more_come_to_equal_shares() {
        for held in after(Permits::new(64), &[1_000, 1_000, 1_000, 1_000], 60) {
            assert!((10..=24).contains(&held), "{held}");
        }
    }

    #[test]
    fn what_one_bucket_does_not_ask_for_others_have() {
        let held = after(Permits::new(64), &[1_000, 4], 60);
        assert!(held[0] >= 56 && held[1] >= 3, "{held:?}");
    }

    #[test]
    fn a_single_permit_is_enough_to_be_fair_with() {
        let permits = Permits::new(1);
        assert!(permits.admit(Standing { in_flight: 1, mine: 0, active: 1 }));
        assert!(!permits.admit(Standing { in_flight: 1, mine: 1, active: 1 }));
    }
}
