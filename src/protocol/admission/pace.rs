//! How many operations a shard works at.

use crate::protocol::time::Moment;

/// How often it is looked at, in microseconds.
const WINDOW_US: u64 = 20_000;
/// How long an operation may lie in queues of this node, on the average over a window, in microseconds.
const TARGET_US: u64 = 500;
/// However long it is: so many keep a shard busy while the replies of others are on their way.
const LEAST: u32 = 16;

/// The same target where a flood is held down: so short that a quiet bucket's requests hardly meet any other.
const HELD_TARGET_US: u64 = 50;
/// So much was asked for at once in so many windows, and operations lay longer than that: that is a flood. Lower bounds
/// would take a busy bucket with a pool of connections for one after each short stall, and what it is then held down to may
/// be less than what it asks for.
const FLOOD_ASKED: u32 = 64;
const FLOOD: u32 = 20;
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

/// How long operations lay in the shard's mailbox, and their answers in their worker's, in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// How many were begun.
    pub begun: u64,
    /// How long they lay, in all, in microseconds.
    pub total_us: u64,
}

impl Waits {
    fn are_beyond(self, target_us: u64) -> bool {
        self.total_us > self.begun.saturating_mul(target_us)
    }
}

/// What is asked of a shard at the end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Operations that it works at.
    pub running: u32,
    /// Operations that wait for their turn.
    pub waiting: u32,
    /// How many ran and waited at the most in the window.
    pub peak: u32,
    /// Whether some bucket has asked lately and has nothing waiting.
    pub quiet_beside: bool,
}

impl Demand {
    fn asked(self) -> u32 {
        self.running.saturating_add(self.waiting)
    }
}

/// How many operations a shard works at.
///
/// *Shared*: fewer by a quarter after each window in which they lay too long, more by a quarter after each other one. That
/// keeps the shard busy, and what a quiet bucket asks for meets a busy machine.
///
/// *Held*: where something waits window after window while some bucket has nothing waiting, what waits is a flood, and is
/// held down to one operation, or to as many as leave the machine time to spare; that costs the flood throughput. But a load
/// that was too much for a moment must not be held down for longer, though it may be more than is now done of it. It is told
/// by this: requests that come whether or not others are answered become more and more, while the clients of a flood wait
/// for their answers; and after a short trial without restraint a flood asks for as much as before.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    limit: u32,
    window_ends: Moment,
    mode: Mode,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Shared(Suspicion),
    Held(Hold),
}

/// How much speaks for a flood.
#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    /// Windows that did, less those that did not.
    windows: u32,
    /// The most that was asked for in the first of them, and in all.
    first: u32,
    asked: u32,
}

impl Suspicion {
    fn after(self, flooded: bool, asked: u32) -> Self {
        match (flooded, self.windows) {
            (true, 0) => Self { windows: 1, first: asked, asked },
            (true, windows) => Self { windows: windows + 1, asked: self.asked.max(asked), ..self },
            (false, windows) => Self { windows: windows.saturating_sub(1), ..self },
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Hold {
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
    fn new(asked: u32, windows: u32) -> Self {
        Self { asked, left: windows, of: windows, trial: None, short: 0, gone: 0 }
    }
}

impl Pace {
    /// `limit` at first, and at the most.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self { most: limit, limit, window_ends: Moment(0), mode: Mode::Shared(Suspicion::default()) }
    }

    /// How many it is to work at now.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Whether a flood is held down.
    #[must_use]
    pub fn holds_down(&self) -> bool {
        matches!(self.mode, Mode::Held(_))
    }

    /// Whether a window has ended, so that [`Pace::look`] is wanted.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        now >= self.window_ends
    }

    /// Ends a window, in which operations lay in queues for `waits`.
    pub fn look(&mut self, now: Moment, waits: Waits, demand: Demand) {
        self.window_ends = now.plus_micros(WINDOW_US);
        self.mode = match self.mode {
            Mode::Shared(suspicion) => self.share(suspicion, waits, demand),
            Mode::Held(hold) => self.hold_down(hold, waits, demand),
        };
    }

    fn usual_least(&self) -> u32 {
        LEAST.min(self.limit)
    }

    fn share(&mut self, suspicion: Suspicion, waits: Waits, demand: Demand) -> Mode {
        self.most = if waits.are_beyond(TARGET_US) {
            self.fewer(demand).max(self.usual_least())
        } else {
            self.more((self.most / 4).max(1))
        };
        let flooded = demand.peak > FLOOD_ASKED && waits.are_beyond(HELD_TARGET_US);
        let suspicion = suspicion.after(flooded, demand.peak);
        if suspicion.windows < FLOOD {
            return Mode::Shared(suspicion);
        }
        let wears_off = demand.peak.saturating_add(FLOOD) < suspicion.first;
        if wears_off || !demand.quiet_beside {
            return Mode::Shared(Suspicion::default());
        }
        self.begin_to_hold(suspicion.asked, HELD)
    }

    fn begin_to_hold(&mut self, asked: u32, windows: u32) -> Mode {
        self.most = 1;
        Mode::Held(Hold::new(asked, windows))
    }

    fn let_go(&mut self) -> Mode {
        self.most = self.most.max(self.usual_least());
        Mode::Shared(Suspicion::default())
    }

    fn hold_down(&mut self, mut hold: Hold, waits: Waits, demand: Demand) -> Mode {
        let asked = demand.asked();
        let is_none = asked <= self.usual_least() || !demand.quiet_beside;
        hold.gone = if is_none { hold.gone + 1 } else { 0 };
        let becomes_more = asked > hold.asked.saturating_add(hold.asked / 4).saturating_add(LEAST);
        if hold.gone >= GONE || becomes_more {
            return self.let_go();
        }
        if let Some(windows) = hold.trial {
            return self.try_out(hold, windows + 1, asked);
        }
        hold.short = if waits.are_beyond(HELD_TARGET_US) { 0 } else { hold.short + 1 };
        if hold.short == 0 {
            self.most = self.fewer(demand).max(1);
        } else if hold.short.is_multiple_of(PATIENCE) {
            self.most = self.more(self.most);
        }
        hold.left -= 1;
        if hold.left == 0 {
            self.most = self.most.max(self.usual_least());
            hold.trial = Some(0);
            hold.asked = asked;
        }
        Mode::Held(hold)
    }

    fn try_out(&mut self, mut hold: Hold, windows: u32, asked: u32) -> Mode {
        hold.trial = Some(windows);
        if windows == TRIED {
            self.most = 1;
        } else if windows == TRIED + SEEN {
            if asked < hold.asked - hold.asked / 4 {
                return self.let_go();
            }
            return self.begin_to_hold(hold.asked, hold.of.saturating_mul(HELD_GROWTH).min(HELD_MOST));
        }
        Mode::Held(hold)
    }

    fn fewer(&self, demand: Demand) -> u32 {
        self.most.min(demand.running) * 3 / 4
    }

    fn more(&self, by: u32) -> u32 {
        self.most.saturating_add(by).min(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000 / WINDOW_US;
    /// In so many parts a window goes by.
    const PARTS: u32 = 10;

    /// A shard that takes `cost_us` for each operation: with `most` in its mailbox each lies there for all others.
    fn settled(cost_us: u64, asked_for: u32) -> u32 {
        let mut pace = Pace::new(4_096);
        let mut now = Moment(1);
        for _ in 0..200 {
            let running = pace.most().min(asked_for);
            let begun = WINDOW_US / cost_us;
            let waits = Waits { begun, total_us: begun * cost_us * u64::from(running) };
            pace.look(now, waits, Demand { running, ..Demand::default() });
            now = now.plus_micros(WINDOW_US);
        }
        pace.most()
    }

    #[test]
    fn a_shard_that_is_busy_works_at_so_many_as_are_begun_in_time() {
        assert!((16..=24).contains(&settled(25, 512)), "{}", settled(25, 512));
        assert!((50..=130).contains(&settled(5, 4_096)), "{}", settled(5, 4_096));
    }

    #[test]
    fn a_shard_that_waits_for_others_works_at_all_that_is_asked_for() {
        let mut pace = Pace::new(4_096);
        // Slow homes: much is in flight, and the mailbox is empty.
        let demand = Demand { running: 4_000, waiting: 96, peak: 4_096, quiet_beside: true };
        for window in 1..200 {
            pace.look(Moment(window * WINDOW_US), Waits { begun: 100, total_us: 3_000 }, demand);
        }
        assert_eq!((pace.most(), pace.holds_down()), (4_096, false));
    }

    #[test]
    fn after_a_rush_it_is_back_within_two_seconds() {
        let mut pace = Pace::new(4_096);
        let mut now = Moment(1);
        let mut look = |waits| {
            pace.look(now, waits, Demand { running: 512, ..Demand::default() });
            now = now.plus_micros(WINDOW_US);
            pace.most()
        };
        while look(Waits { begun: 10, total_us: 1_000_000 }) > LEAST {}
        let windows = (1..).find(|_| look(Waits::default()) == 4_096).unwrap();
        assert!(windows * WINDOW_US < 2_000_000, "{windows} windows");
    }

    #[test]
    fn it_never_falls_below_what_keeps_a_shard_busy_nor_above_the_limit() {
        for limit in [1, 5, 100] {
            let mut pace = Pace::new(limit);
            for _ in 0..100 {
                let demand = Demand { running: limit, ..Demand::default() };
                pace.look(Moment(1), Waits { begun: 1, total_us: 1_000_000 }, demand);
                assert!((LEAST.min(limit)..=limit).contains(&pace.most()));
            }
        }
    }

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
            Self { pace: Pace::new(4_096), window: 1, asked: 0, quiet_beside: true, held: 0 }
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
