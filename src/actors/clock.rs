//! The one place that reads the machine's clocks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::time::{CEILING_STEP_US, ClockTooFarAhead, Hlc, HybridClock, Moment, WallMicros};
use crate::storage::StoreError;

/// The monotonic clock, from the first call in this process.
#[must_use]
pub fn moment() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    // One second in, so that "earlier than now" is always a moment.
    Moment(1_000_000 + u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// The wall clock.
#[must_use]
pub fn wall() -> WallMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Where the synced ceiling of a node's clocks is kept.
pub trait CeilingKeeper: Send + Sync {
    /// Makes `ceiling` durable before it returns.
    fn sync_ceiling(&self, ceiling: Hlc) -> Result<(), StoreError>;
}

/// The longest that a start waits for the wall clock to pass the ceiling that it found.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits until the wall clock has passed `ceiling`, so that this node's frames do not seem to come from the
/// future. Gives up after a while: a wall clock that was set back far may need hours, and the peers will say.
pub fn wait_for_wall(ceiling: Hlc) {
    let ahead_us = ceiling.wall().0.saturating_sub(wall().0);
    let wait = Duration::from_micros(ahead_us);
    if wait > WAIT_MAX {
        tracing::warn!("the wall clock is {wait:?} behind the times that this node has issued before");
    }
    std::thread::sleep(wait.min(WAIT_MAX));
}

/// The synced ceiling, shared by the clocks of all shards.
pub struct Ceiling {
    synced: AtomicU64,
    keeper: Box<dyn CeilingKeeper>,
}

impl std::fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ceiling({:?})", self.synced())
    }
}

impl Ceiling {
    /// Syncs a first ceiling above both `found`, the one on disk, and the wall clock.
    pub fn start(found: Hlc, keeper: Box<dyn CeilingKeeper>) -> Result<Self, StoreError> {
        let first = found.max(Hlc::from_wall(wall())).plus_micros(CEILING_STEP_US);
        keeper.sync_ceiling(first)?;
        Ok(Self { synced: AtomicU64::new(first.0), keeper })
    }

    /// The ceiling in force.
    #[must_use]
    pub fn synced(&self) -> Hlc {
        Hlc(self.synced.load(Ordering::Acquire))
    }

    /// Syncs a higher one. Blocks.
    pub fn raise(&self, to: Hlc) -> Result<(), StoreError> {
        self.keeper.sync_ceiling(to)?;
        self.synced.fetch_max(to.0, Ordering::AcqRel);
        Ok(())
    }

    /// Raises the ceiling ahead of the wall clock, as long as less than half a step is left under it.
    pub fn keep_ahead(&self) -> Result<(), StoreError> {
        let now = Hlc::from_wall(wall());
        if now.plus_micros(CEILING_STEP_US / 2) > self.synced() {
            self.raise(now.plus_micros(CEILING_STEP_US))?;
        }
        Ok(())
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
    /// first: only a clock that jumped gets there.
    pub fn issue(&mut self) -> Result<Hlc, StoreError> {
        if let Ok(hlc) = self.clock.issue(wall()) {
            return Ok(hlc);
        }
        if self.clock.read(wall()).next() >= self.ceiling.synced() {
            self.ceiling.raise(self.clock.read(wall()).plus_micros(CEILING_STEP_US))?;
        }
        self.clock.raise_ceiling(self.ceiling.synced());
        self.clock.issue(wall()).map_err(|reached| StoreError::Failed(reached.to_string()))
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
