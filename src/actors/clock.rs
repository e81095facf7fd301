//! The one place that reads the machine's clocks.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::time::{
    CeilingKeeper, ClockTooFarAhead, Hlc, HybridClock, Moment, WAIT_FOR_WALL_MAX_US, WallMicros,
    WallReadings, ceiling_ahead, wait_for_wall_us,
};
use crate::protocol::wall_clock::{ClockEvent, JUMP_LASTS_US, Readings, WallClock};
use crate::storage::StoreError;

/// The monotonic clock. It goes on from where the wall clock stood at the first call in this process, so that how far it
/// is from those of other nodes tells how far their wall clocks are apart.
#[must_use]
pub fn moment() -> Moment {
    static START: OnceLock<(Instant, u64)> = OnceLock::new();
    // One second in at the least, so that "earlier than now" is always a moment.
    let (start, from) = START.get_or_init(|| (Instant::now(), machine_wall().0.max(1_000_000)));
    Moment(from + u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX / 2))
}

/// The wall clock as the machine shows it.
fn machine_wall() -> WallMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

thread_local! {
    static WALL: RefCell<Option<WallClock>> = const { RefCell::new(None) };
}

/// The wall clock as far as it is to be believed: a jump ahead only once it has lasted.
#[must_use]
pub fn wall() -> WallMicros {
    wall_at(moment())
}

/// The same at a moment that was read just now.
fn wall_at(moment: Moment) -> WallMicros {
    let now = Readings { moment, wall: machine_wall() };
    let (wall, event) =
        WALL.with_borrow_mut(|clock| clock.get_or_insert_with(|| WallClock::new(now)).read(now));
    if let Some(event) = event {
        tell(event);
    }
    wall
}

/// Each thread tells what it saw of the clock.
fn tell(event: ClockEvent) {
    let s = |us: u64| us as f64 / 1e6;
    match event {
        ClockEvent::JumpedAhead(us) => tracing::warn!(
            "the wall clock jumped ahead by {:.3} s; it is not gone by unless that lasts for {} s",
            s(us),
            JUMP_LASTS_US / 1_000_000
        ),
        ClockEvent::Believed(us) => {
            tracing::warn!(
                "the wall clock is ahead by {:.3} s since {} s: it is gone by",
                s(us),
                JUMP_LASTS_US / 1_000_000
            );
        }
        ClockEvent::CameBack => tracing::info!("the wall clock is back where it was"),
        ClockEvent::SetBack(us) => {
            tracing::warn!(
                "the wall clock was set back by {:.3} s; times that are issued stand still until it is there again",
                s(us)
            );
        }
    }
}

/// The wall clock, in nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> u64 {
    wall().0.saturating_mul(1_000)
}

/// Both clocks, looked at together.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic one.
    pub moment: Moment,
    /// The wall clock.
    pub wall: WallMicros,
}

impl Now {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let moment = moment();
        Self { moment, wall: wall_at(moment) }
    }

    /// What the wall clock showed at an earlier moment, had it not been set since, in nanoseconds since 1970.
    #[must_use]
    pub fn ns(self, at: Moment) -> u64 {
        self.wall.0.saturating_sub(self.moment.micros_since(at)).saturating_mul(1_000)
    }
}

/// The wall clock as it was when this process began, and from then on by the monotonic clock: it neither jumps nor goes
/// back. It shows what [`moment`] shows.
#[must_use]
pub fn steady_wall() -> WallMicros {
    WallMicros(moment().0)
}

/// Makes a ceiling, and the highest reading of the wall clock, durable before it returns.
pub type SyncCeiling = Box<dyn Fn(Hlc, WallMicros) -> Result<(), StoreError> + Send + Sync>;

/// Waits until the wall clock has passed `ceiling`, or until it makes no sense to wait any longer. The wall clock showed
/// `highest` in an earlier run.
pub fn wait_for_wall(ceiling: Hlc, highest: WallMicros) {
    let wait_us = wait_for_wall_us(ceiling, WallReadings { now: wall(), highest });
    if wait_us >= WAIT_FOR_WALL_MAX_US {
        tracing::warn!("the wall clock is far behind the times that this node has issued before");
    }
    std::thread::sleep(Duration::from_micros(wait_us));
}

/// The synced ceiling, shared by the clocks of all shards.
pub struct Ceiling {
    synced: AtomicU64,
    /// The highest reading of the wall clock.
    highest: AtomicU64,
    sync: SyncCeiling,
}

impl std::fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ceiling({:?})", self.synced())
    }
}

impl CeilingKeeper for Ceiling {
    type Error = StoreError;

    fn synced(&self) -> Hlc {
        Hlc(self.synced.load(Ordering::Acquire))
    }

    fn raise(&self, to: Hlc) -> Result<(), StoreError> {
        (self.sync)(to, self.readings().highest)?;
        self.synced.fetch_max(to.0, Ordering::AcqRel);
        Ok(())
    }
}

impl Ceiling {
    /// With `found`, the ceiling on disk, in force, and the highest reading that was recorded with it. Nothing is issued
    /// before a higher one is synced.
    #[must_use]
    pub fn found(found: Hlc, highest: WallMicros, sync: SyncCeiling) -> Self {
        Self { synced: AtomicU64::new(found.0), highest: AtomicU64::new(highest.0), sync }
    }

    /// What the wall clock shows, and the highest that it ever showed.
    fn readings(&self) -> WallReadings {
        let now = wall();
        let highest = WallMicros(self.highest.fetch_max(now.0, Ordering::AcqRel)).max(now);
        WallReadings { now, highest }
    }

    /// Raises the ceiling ahead of the wall clock, once the run is `confirmed`. Wanted several times a second: it looks at
    /// the wall clock also where nothing else does.
    pub fn keep_ahead(&self, confirmed: bool) -> Result<(), StoreError> {
        self.readings();
        match ceiling_ahead(Hlc::from_wall(wall()), self.synced(), confirmed) {
            Some(wanted) => self.raise(wanted),
            None => Ok(()),
        }
    }
}

/// The hybrid clock of one shard, on real time.
#[derive(Debug)]
pub struct ShardClock {
    clock: HybridClock,
    ceiling: std::sync::Arc<Ceiling>,
}

impl ShardClock {
    /// Begins above `start`, the ceiling that was found on disk.
    #[must_use]
    pub fn new(start: Hlc, ceiling: std::sync::Arc<Ceiling>, max_skew_us: u64) -> Self {
        Self { clock: HybridClock::new(start, ceiling.synced(), max_skew_us), ceiling }
    }

    /// The next time. At the ceiling, which a background task keeps well ahead, a higher one is synced
    /// first.
    pub fn issue(&mut self) -> Result<Hlc, StoreError> {
        self.clock.issue_raising(wall(), &*self.ceiling)
    }

    /// What the clock shows.
    #[must_use]
    pub fn read(&self) -> Hlc {
        self.clock.read(wall())
    }

    /// Takes a frame's clock into account, or refuses it.
    pub fn observe(&mut self, frame: Hlc) -> Result<(), ClockTooFarAhead> {
        let now = wall();
        let highest = WallMicros(self.ceiling.highest.load(Ordering::Acquire));
        self.clock.observe(frame, WallReadings { now, highest })
    }
}
