//! The one place that reads the machine's clocks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::time::{
    CeilingKeeper, ClockTooFarAhead, Hlc, HybridClock, Moment, WAIT_FOR_WALL_MAX_US, WallMicros,
    ceiling_ahead, wait_for_wall_us,
};
use crate::storage::StoreError;

/// The monotonic clock. It goes on from where the wall clock stood at the first call in this process, so that how far it
/// is from those of other nodes tells how far their wall clocks are apart.
#[must_use]
pub fn moment() -> Moment {
    static START: OnceLock<(Instant, u64)> = OnceLock::new();
    // One second in at the least, so that "earlier than now" is always a moment.
    let (start, from) = START.get_or_init(|| (Instant::now(), wall().0.max(1_000_000)));
    Moment(from + u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX / 2))
}

/// The wall clock.
#[must_use]
pub fn wall() -> WallMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
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
        Self { moment: moment(), wall: wall() }
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

/// Makes a ceiling durable before it returns.
pub type SyncCeiling = Box<dyn Fn(Hlc) -> Result<(), StoreError> + Send + Sync>;

/// Waits until the wall clock has passed `ceiling`, or until it makes no sense to wait any longer.
pub fn wait_for_wall(ceiling: Hlc) {
    let wait_us = wait_for_wall_us(ceiling, wall());
    if wait_us >= WAIT_FOR_WALL_MAX_US {
        tracing::warn!("the wall clock is far behind the times that this node has issued before");
    }
    std::thread::sleep(Duration::from_micros(wait_us));
}

/// The synced ceiling, shared by the clocks of all shards.
pub struct Ceiling {
    synced: AtomicU64,
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
        (self.sync)(to)?;
        self.synced.fetch_max(to.0, Ordering::AcqRel);
        Ok(())
    }
}

impl Ceiling {
    /// With `found`, the ceiling on disk, in force. Nothing is issued before a higher one is synced.
    #[must_use]
    pub fn found(found: Hlc, sync: SyncCeiling) -> Self {
        Self { synced: AtomicU64::new(found.0), sync }
    }

    /// Raises the ceiling ahead of the wall clock, once the run is `confirmed`.
    pub fn keep_ahead(&self, confirmed: bool) -> Result<(), StoreError> {
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
        self.clock.observe(frame, wall())
    }
}
