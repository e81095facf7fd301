//! What is a flood, and for how long it is held down.
//!
//! Where more is asked for window after window than could run at once, while some bucket has nothing waiting, what waits is
//! a flood. It is held down to one operation, or to as many as leave the machine time to spare, which costs it throughput.
//!
//! A load that was too much for a moment must not be held down for longer, though it may be more than is now done of it. It is
//! told by this: requests that come whether or not others are answered become more and more, while the clients of a flood wait
//! for their answers; what has piled up wears off, if it is let; and after a short trial without restraint a flood asks for
//! as much as before.

use super::pace::{Demand, LEAST, Waits, fewer};

/// So much was asked for at once in so many windows, and operations lay in queues for longer than they may where a flood is
/// held down. Lower bounds would take a busy bucket with a pool of connections for one after each short stall.
pub(super) const FLOOD_ASKED: u32 = 64;
const FLOOD: u32 = 20;
/// How long an operation may lie there, in microseconds: so short that a quiet bucket's requests hardly meet any other.
const HELD_TARGET_US: u64 = 50;
/// After so many windows in a row in which they lay no longer, a flood gets twice as many operations.
const PATIENCE: u32 = 50;
/// After so many windows in a row in which all that was asked for could have run at once, or all buckets had something
/// waiting, it is none.
const GONE: u32 = 25;
/// After so many windows it is tried whether it still is one; each time that it is, after so many times as many, up to the
/// most.
const HELD: u32 = 250;
const HELD_GROWTH: u32 = 8;
const HELD_MOST: u32 = 2_000;
/// For so many windows it then has what it would have if it were not held down.
const TRIED: u32 = 2;
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
        if peak <= FLOOD_ASKED || !waits.are_beyond(HELD_TARGET_US) {
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
    /// What was asked for before.
    asked: u32,
    /// Windows until the trial, and what they were at first.
    left: u32,
    of: u32,
    /// Windows since the trial began, once it has.
    trial: Option<u32>,
    /// Windows in a row in which operations did not lie long.
    short: u32,
    /// Windows in a row in which there was no flood.
    gone: u32,
}

impl Hold {
    /// Of a flood that asks for so much, where `limit` may run without it.
    #[must_use]
    pub fn new(asked: u32, limit: u32) -> Self {
        Self { most: 1, limit, asked, left: HELD, of: HELD, trial: None, short: 0, gone: 0 }
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
                let windows = self.of.saturating_mul(HELD_GROWTH).min(HELD_MOST);
                return Some(Self { left: windows, of: windows, ..Self::new(self.asked, self.limit) });
            }
        }
        Some(self)
    }

    fn stays_low(&mut self, waits: Waits, demand: Demand) {
        self.short = if waits.are_beyond(HELD_TARGET_US) { 0 } else { self.short + 1 };
        if self.short == 0 {
            self.most = fewer(self.most, demand.running).max(1);
        } else if self.short.is_multiple_of(PATIENCE) {
            self.most = self.most.saturating_mul(2).min(self.limit);
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
                let waits = Waits { begun: begun.into(), total_us: u64::from(begun) * each_us };
                let demand = Demand { running, waiting, peak, quiet_beside: self.quiet_beside };
                self.pace.look(Moment(self.window * WINDOW_US), waits, demand);
                self.window += 1;
                self.held += u64::from(self.pace.holds_down() && self.pace.most() == 1);
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

    #[test]
    fn a_flood_that_is_held_down_has_more_while_the_machine_has_time_to_spare() {
        let mut world = World::new();
        world.go_on(Clients::Flood(170), SECOND, 300);
        assert_eq!(world.pace.most(), 1);
        // Its homes have become slow: what one operation at a time leaves of the machine is idle.
        for window in 0..4 * SECOND {
            let demand = Demand { running: world.pace.most(), waiting: 150, peak: 170, quiet_beside: true };
            let now = Moment((world.window + window) * WINDOW_US);
            world.pace.look(now, Waits { begun: 10, total_us: 200 }, demand);
        }
        assert!(world.pace.holds_down() && world.pace.most() >= 8, "{}", world.pace.most());
    }
}
