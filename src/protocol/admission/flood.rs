//! What is a flood, and for how long it is held down.
//!
//! Where more is asked for window after window than could run at once, while some bucket has nothing waiting, what waits is
//! a flood. It is held down to a few operations, each of whose turns rests before it is used again: so the machine has time to
//! spare, and a quiet bucket's requests seldom stand behind any other. How many there are, and for how long a single one rests,
//! goes by how long operations lie in queues. It costs a flood throughput. It should cost it no operation: where some wait until
//! their deadlines have passed, it has more.
//!
//! A load that was too much for a moment must not be held down for longer, though it may be more than is now done of it. It is
//! told by this: requests that come whether or not others are answered become more and more, while the clients of a flood wait
//! for their answers; what has piled up wears off, if it is let; and after a short trial without restraint a flood asks for
//! as much as before.

use super::pace::{Demand, LEAST, Waits, fewer};

/// So much was asked for at once in so many windows, and operations lay in queues for so long, in microseconds. Lower bounds
/// would take a busy bucket with a pool of connections for one after each short stall.
pub(super) const FLOOD_ASKED: u32 = 64;
const FLOOD: u32 = 20;
const FLOOD_LIES_US: u64 = 50;
/// How many operations it has at first where it is held down.
const HELD_TURNS: u32 = 4;
/// For how long a turn rests between two of them, in microseconds; for up to the second number where a single turn is still
/// too much, as each write of a flood may cost a sync.
const REST_US: u64 = 1_000;
const REST_MOST_US: u64 = 2_000;
/// How long an operation may then lie in queues, that for a sync among them, in microseconds, on the average over so many
/// windows: with more it has fewer by a quarter, else more by an eighth. A window alone tells too little.
const HELD_LIES_US: u64 = 60;
const ROUND: u32 = 5;
/// So many rounds it is waited after it was given more because some of it had expired: what has expired by then came before.
const RAISED: u32 = 5;
/// After so many windows in a row in which all that was asked for could have run at once, or all buckets had something
/// waiting, it is none.
const GONE: u32 = 25;
/// After so many windows it is tried whether it still is one; each time that it is, after so many times as many, up to the
/// most.
const HELD: u32 = 250;
const HELD_GROWTH: u32 = 8;
const HELD_MOST: u32 = 2_000;
/// For so many windows it then has all the turns that there are at the least while nothing is held down, without rest.
const TRIED: u32 = 1;
/// And so many later it is seen what that was good for: by then its clients have asked again.
const SEEN: u32 = 2;

/// How much speaks for a flood.
#[derive(Debug, Clone, Copy, Default)]
pub struct Suspicion {
    /// Windows that did, less those that did not.
    windows: u32,
    /// The most that was asked for in the first of them, and in all.
    first: u32,
    asked: u32,
}

impl Suspicion {
    /// What is asked for by a flood, once a window leaves no doubt that there is one.
    pub fn confirmed_by(&mut self, waits: Waits, demand: Demand) -> Option<u32> {
        let Demand { peak, quiet_beside, .. } = demand;
        if peak <= FLOOD_ASKED || !waits.are_beyond(FLOOD_LIES_US) {
            self.windows = self.windows.saturating_sub(1);
            return None;
        }
        if self.windows == 0 {
            (self.first, self.asked) = (peak, 0);
        }
        self.windows += 1;
        self.asked = self.asked.max(peak);
        if self.windows < FLOOD {
            return None;
        }
        let Self { first, asked, .. } = std::mem::take(self);
        let wears_off = peak.saturating_add(FLOOD) < first;
        (quiet_beside && !wears_off).then_some(asked)
    }
}

/// A flood that is held down.
#[derive(Debug)]
pub struct Hold {
    /// As many of its operations may run, and there are as many turns without it.
    most: u32,
    limit: u32,
    /// For how long a turn rests, in microseconds.
    rest_us: u64,
    /// It never has fewer turns, nor does one rest for longer: some waited for too long then.
    least: u32,
    rest_most_us: u64,
    /// Rounds until these may be changed again.
    raised: u32,
    /// What was asked for before.
    asked: u32,
    /// Windows until the trial, and what they were at first.
    left: u32,
    of: u32,
    /// Windows since the trial began, once it has.
    trial: Option<u32>,
    /// How long operations lay in this round, and how many of its windows are left.
    round: Waits,
    round_left: u32,
    /// Windows in a row in which there was no flood.
    gone: u32,
}

impl Hold {
    /// Of a flood that asks for so much, where `limit` may run without it.
    #[must_use]
    pub fn new(asked: u32, limit: u32) -> Self {
        Self {
            most: HELD_TURNS.min(limit),
            limit,
            rest_us: REST_US,
            least: 1,
            rest_most_us: REST_MOST_US,
            raised: 0,
            asked,
            left: HELD,
            of: HELD,
            trial: None,
            round: Waits::default(),
            round_left: ROUND,
            gone: 0,
        }
    }

    /// How many operations may run.
    #[must_use]
    pub fn most(&self) -> u32 {
        match self.trial {
            Some(windows) if windows < TRIED => self.most.max(self.usual_least()),
            _ => self.most,
        }
    }

    fn usual_least(&self) -> u32 {
        LEAST.min(self.limit)
    }

    /// For how long a turn rests, in microseconds.
    #[must_use]
    pub fn rest_us(&self) -> u64 {
        if self.trial.is_some_and(|windows| windows < TRIED) { 0 } else { self.rest_us }
    }

    /// How it is held down from the end of a window on; no longer, if it shows to be none.
    #[must_use]
    pub fn after(mut self, waits: Waits, demand: Demand) -> Option<Self> {
        let asked = demand.asked();
        let is_none = asked <= self.usual_least() || !demand.quiet_beside;
        self.gone = if is_none { self.gone + 1 } else { 0 };
        let becomes_more = asked > self.asked.saturating_add(self.asked / 4).saturating_add(LEAST);
        if self.gone >= GONE || becomes_more {
            return None;
        }
        match self.trial {
            None => self.stays_low(waits, demand),
            Some(windows) if windows + 1 < TRIED + SEEN => self.trial = Some(windows + 1),
            Some(_) if asked < self.asked - self.asked / 4 => return None,
            Some(_) => {
                self.of = self.of.saturating_mul(HELD_GROWTH).min(HELD_MOST);
                (self.left, self.trial) = (self.of, None);
            }
        }
        Some(self)
    }

    fn has_too_few(&mut self) {
        self.raised = RAISED;
        if self.rest_us > REST_US {
            (self.rest_us, self.rest_most_us) = (REST_US, REST_US);
        } else {
            let more = self.most.saturating_add((self.most / 4).max(1));
            self.least = more.min(self.usual_least()).max(self.least);
            self.most = self.most.max(self.least);
        }
    }

    fn does_less(&mut self, running: u32) {
        if self.most > self.least {
            self.most = fewer(self.most, running).max(self.least);
        } else if self.most == 1 {
            self.rest_us = (self.rest_us * 4 / 3).min(self.rest_most_us);
        }
    }

    fn does_more(&mut self) {
        if self.rest_us > REST_US {
            self.rest_us = (self.rest_us * 8 / 9).max(REST_US);
        } else {
            self.most = self.most.saturating_add((self.most / 8).max(1)).min(self.limit);
        }
    }

    fn stays_low(&mut self, waits: Waits, demand: Demand) {
        self.round.add(waits);
        self.round_left -= 1;
        if self.round_left == 0 {
            let is_settled = self.raised == 0;
            self.raised = self.raised.saturating_sub(1);
            if self.round.expired > 0 && is_settled {
                self.has_too_few();
            } else if self.round.with_syncs_are_beyond(HELD_LIES_US) {
                self.does_less(demand.running);
            } else {
                self.does_more();
            }
            (self.round, self.round_left) = (Waits::default(), ROUND);
        }
        self.left -= 1;
        if self.left == 0 {
            self.trial = Some(0);
            self.asked = demand.asked();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::{Pace, WINDOW_US};
    use super::*;
    use crate::protocol::time::Moment;

    const SECOND: u64 = 1_000_000 / WINDOW_US;
    /// In so many parts a window goes by.
    const PARTS: u32 = 10;

    /// Who asks.
    #[derive(Clone, Copy)]
    enum Clients {
        /// So many, each of which asks again when it was answered.
        Flood(u32),
        /// So many requests in a window, whatever becomes of earlier ones.
        Open(u32),
        /// So many requests in a window, as long as one of so many connections is free.
        Pool(u32, u32),
    }

    /// A shard that ends 300 operations in a window if it works at 16 or more, half as many if it works at one.
    struct World {
        pace: Pace,
        window: u64,
        asked: u32,
        quiet_beside: bool,
        held: u64,
    }

    impl World {
        fn new() -> Self {
            Self { pace: Pace::new(4_096, true), window: 1, asked: 0, quiet_beside: true, held: 0 }
        }

        fn capacity(&self) -> u32 {
            150 + 150 * self.pace.most().min(16).saturating_sub(1) / 15
        }

        /// Lets windows go by in each of which at most `capacity` operations end.
        fn go_on(&mut self, clients: Clients, windows: u64, capacity: u32) {
            for _ in 0..windows {
                let (mut begun, mut peak) = (0, 0);
                let in_a_part = capacity.min(self.capacity()) / PARTS;
                for _ in 0..PARTS {
                    self.asked = match clients {
                        Clients::Flood(many) => many,
                        Clients::Open(many) => self.asked + many / PARTS,
                        Clients::Pool(many, connections) => (self.asked + many / PARTS).min(connections),
                    };
                    peak = peak.max(self.asked);
                    let ended = self.asked.min(in_a_part);
                    begun += ended;
                    self.asked -= if matches!(clients, Clients::Flood(_)) { 0 } else { ended };
                }
                let running = self.asked.min(self.pace.most());
                let waiting = self.asked - running;
                let each_us = if self.asked > 0 && self.pace.most() > 1 { 1_000 } else { 60 };
                let waits =
                    Waits { begun: begun.into(), total_us: u64::from(begun) * each_us, ..Waits::default() };
                let demand = Demand { running, waiting, peak, quiet_beside: self.quiet_beside };
                self.pace.look(Moment(self.window * WINDOW_US), waits, demand);
                self.window += 1;
                self.held += u64::from(self.pace.holds_down() && self.pace.rest_us() > 0);
            }
        }

        fn stall(&mut self, clients: Clients, windows: u64) {
            self.go_on(clients, windows, 20);
        }
    }

    #[test]
    fn a_flood_beside_a_quiet_bucket_is_held_down_within_half_a_second_and_nearly_all_the_time() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        assert!(world.pace.holds_down());
        world.held = 0;
        world.go_on(Clients::Flood(170), 120 * SECOND, 300);
        assert!(world.held > 119 * SECOND, "held for {} of {} windows", world.held, 120 * SECOND);
    }

    #[test]
    fn a_flood_is_let_go_half_a_second_after_it_has_ended_or_the_others_have() {
        let flood = Clients::Flood(170);
        let mut world = World::new();
        world.go_on(flood, SECOND, 300);
        world.go_on(Clients::Flood(10), SECOND / 2, 300);
        assert!(!world.pace.holds_down() && world.pace.most() >= LEAST);
        world.go_on(flood, SECOND, 300);
        assert!(world.pace.holds_down());
        world.quiet_beside = false;
        world.go_on(flood, SECOND / 2, 300);
        assert!(!world.pace.holds_down());
    }

    #[test]
    fn where_nobody_is_quiet_nor_many_are_asked_for_nothing_is_held_down() {
        let mut world = World::new();
        world.quiet_beside = false;
        world.go_on(Clients::Flood(170), 60 * SECOND, 300);
        world.quiet_beside = true;
        world.go_on(Clients::Flood(FLOOD_ASKED), 60 * SECOND, 300);
        assert_eq!(world.held, 0);
    }

    #[test]
    fn where_floods_are_not_to_be_held_down_none_is() {
        let mut world = World { pace: Pace::new(4_096, false), ..World::new() };
        world.go_on(Clients::Flood(170), 60 * SECOND, 300);
        assert_eq!(world.held, 0);
    }

    #[test]
    fn what_a_stall_has_piled_up_of_open_requests_is_let_go_at_once() {
        // Four fifths of what the shard can do, and more than a flood is held down to.
        let clients = Clients::Open(240);
        let mut world = World::new();
        for _ in 0..3 {
            world.go_on(clients, 20 * SECOND, 300);
            assert_eq!(world.asked, 0);
            world.stall(clients, SECOND);
        }
        world.go_on(clients, 20 * SECOND, 300);
        assert!(world.held <= 3 * SECOND && world.asked == 0, "{} windows, {}", world.held, world.asked);
    }

    #[test]
    fn what_a_stall_has_piled_up_in_a_pool_of_clients_is_let_go_after_the_first_trial() {
        let clients = Clients::Pool(180, 200);
        let mut world = World::new();
        world.go_on(clients, 5 * SECOND, 300);
        world.stall(clients, SECOND);
        assert!(world.pace.holds_down());
        world.go_on(clients, 6 * SECOND, 300);
        assert!(!world.pace.holds_down() && world.asked == 0, "{}", world.asked);
        let held = world.held;
        world.go_on(clients, 60 * SECOND, 300);
        assert_eq!(world.held, held, "once");
    }

    /// Windows in each of which operations lie for so long, while a flood is held down.
    fn lies(world: &mut World, each_us: u64, windows: u64) -> u32 {
        for _ in 0..windows {
            let running = world.pace.most().min(170);
            let demand = Demand { running, waiting: 170 - running, peak: 170, quiet_beside: true };
            let waits = Waits { begun: 100, total_us: 100 * each_us, ..Waits::default() };
            world.pace.look(Moment(world.window * WINDOW_US), waits, demand);
            world.window += 1;
        }
        world.pace.most()
    }

    #[test]
    fn a_flood_that_is_held_down_has_more_while_the_machine_has_time_to_spare_and_less_while_it_has_none() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        assert!(lies(&mut world, HELD_LIES_US / 2, 2 * SECOND) >= 20);
        assert_eq!(lies(&mut world, 2 * HELD_LIES_US, 2 * SECOND), 1);
    }

    #[test]
    fn what_writes_lie_before_their_syncs_counts_while_a_flood_is_held_down_and_else_does_not() {
        let mut world = World::new();
        let look = |world: &mut World, for_syncs_us| {
            let demand = Demand { running: world.pace.most(), waiting: 100, peak: 170, quiet_beside: true };
            let total_us = 1_000 * HELD_LIES_US / 2;
            let waits = Waits { begun: 1_000, total_us, admitted: 100, for_syncs_us, expired: 0 };
            world.pace.look(Moment(world.window * WINDOW_US), waits, demand);
            world.window += 1;
            world.pace.most()
        };
        assert_eq!(
            (0..SECOND).map(|_| look(&mut world, 1_000_000)).last(),
            Some(4_096),
            "no flood, and no reason to do less"
        );
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        assert!((0..2 * SECOND).map(|_| look(&mut world, 100)).last() >= Some(20));
        assert_eq!((0..2 * SECOND).map(|_| look(&mut world, 100 * HELD_LIES_US)).last(), Some(1));
    }

    #[test]
    fn a_single_turn_rests_for_longer_while_that_is_too_much_and_no_longer_once_it_is_not() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        assert_eq!(world.pace.rest_us(), REST_US);
        lies(&mut world, 2 * HELD_LIES_US, 2 * SECOND);
        assert_eq!((world.pace.most(), world.pace.rest_us()), (1, REST_MOST_US));
        lies(&mut world, HELD_LIES_US / 2, 2 * u64::from(ROUND));
        assert!(world.pace.most() == 1 && (REST_US + 1..REST_MOST_US).contains(&world.pace.rest_us()));
        lies(&mut world, HELD_LIES_US / 2, SECOND);
        assert!(world.pace.most() > 1 && world.pace.rest_us() == REST_US);
    }

    #[test]
    fn a_flood_of_which_some_expires_has_more_as_many_as_there_are_without_it_at_the_most() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        lies(&mut world, 2 * HELD_LIES_US, 2 * SECOND);
        assert_eq!((world.pace.most(), world.pace.rest_us()), (1, REST_MOST_US));
        let expire = |world: &mut World, windows| {
            for _ in 0..windows {
                let demand =
                    Demand { running: world.pace.most(), waiting: 169, peak: 170, quiet_beside: true };
                let waits =
                    Waits { begun: 100, total_us: 200 * HELD_LIES_US, expired: 1, ..Waits::default() };
                world.pace.look(Moment(world.window * WINDOW_US), waits, demand);
                world.window += 1;
            }
        };
        let next = u64::from(ROUND * (1 + RAISED));
        expire(&mut world, next);
        assert_eq!((world.pace.most(), world.pace.rest_us()), (1, REST_US));
        expire(&mut world, next);
        assert_eq!((world.pace.most(), world.pace.rest_us()), (2, REST_US));
        // Nor has it fewer once nothing expires any longer, trials or not.
        lies(&mut world, 2 * HELD_LIES_US, 10 * SECOND);
        assert_eq!((world.pace.most(), world.pace.rest_us()), (2, REST_US));
        expire(&mut world, 16 * next);
        assert_eq!(world.pace.most(), LEAST);
        assert!(lies(&mut world, 10, 3 * u64::from(ROUND)) > LEAST);
        assert_eq!(lies(&mut world, 2 * HELD_LIES_US, SECOND), LEAST);
        assert!(world.pace.holds_down());
    }

    #[test]
    fn one_window_in_which_all_lay_long_says_nothing_of_a_round() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        let before = lies(&mut world, 10, 4 * u64::from(ROUND));
        lies(&mut world, 3 * HELD_LIES_US, 1);
        assert!(lies(&mut world, 10, 2 * u64::from(ROUND)) > before);
    }

    #[test]
    fn a_trial_is_without_rest_and_what_was_found_before_it_goes_on_after_it() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND / 2, 300);
        let mut before = lies(&mut world, 10, u64::from(HELD) / 2);
        assert!(before > LEAST);
        while world.pace.rest_us() > 0 {
            before = world.pace.most();
            lies(&mut world, 10, 1);
        }
        lies(&mut world, 10, u64::from(TRIED));
        assert!(world.pace.rest_us() > 0);
        assert!(lies(&mut world, 10, u64::from(SEEN)) >= before);
        assert!(world.pace.holds_down());
    }
}
