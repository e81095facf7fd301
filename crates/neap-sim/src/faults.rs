//! What goes wrong: drawn from the seed, or written down in a scenario.

use serde::{Deserialize, Serialize};

use super::queue::{MICROS, MILLIS, SECONDS, Time};
use super::random::Random;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The process is killed and started again after a while.
    Crash,
    /// The machine loses power: what was not synced is lost.
    PowerLoss,
    /// The power fails on several nodes at once.
    PowerLossTogether,
    /// The process stops cleanly and is started again after a while.
    CleanRestart,
    /// The disk is lost; the node comes back under its name with an empty one.
    DiskLoss,
    /// A backup is taken, and put back in the place of the disk a while later.
    RestoredBackup,
    /// The directory is copied while the node is stopped, and both run.
    ClonedDirectory,
    /// The process stands still for a while.
    Pause,
    /// The nodes are cut into two groups.
    Partition,
    /// One node hears others that do not hear it, or the other way round.
    OneWayPartition,
    /// The ways from and to a node are slow.
    SlowLinks,
    /// The ways from and to a node lose messages.
    LossyLinks,
    /// Messages come twice, and overtake each other.
    Repetition,
    /// The ways from and to a node are narrow.
    NarrowLinks,
    /// A wall clock jumps within `clock.max_skew`, and back.
    ClockStep,
    /// A wall clock jumps far beyond `clock.max_skew`, and back.
    ClockJump,
    /// A node's clocks run fast or slow.
    ClockDrift,
    /// The disk is full.
    DiskFull,
    /// Each sync takes long.
    DiskSlow,
    /// A stored record is damaged.
    DamagedRecord,
    /// A sync fails, which ends the process.
    SyncError,
    /// The node runs an earlier version for a while, which bounds no objects, and clients make one too large to be sent.
    LargeObject,
}

impl Kind {
    /// All of them. The last comes only where messages are small ([`draw_large_objects`]).
    pub const ALL: [Self; 22] = [
        Self::Crash,
        Self::PowerLoss,
        Self::PowerLossTogether,
        Self::CleanRestart,
        Self::DiskLoss,
        Self::RestoredBackup,
        Self::ClonedDirectory,
        Self::Pause,
        Self::Partition,
        Self::OneWayPartition,
        Self::SlowLinks,
        Self::LossyLinks,
        Self::Repetition,
        Self::NarrowLinks,
        Self::ClockStep,
        Self::ClockJump,
        Self::ClockDrift,
        Self::DiskFull,
        Self::DiskSlow,
        Self::DamagedRecord,
        Self::SyncError,
        Self::LargeObject,
    ];

    /// Its name, as scenarios have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::PowerLossTogether => "power-loss-together",
            Self::CleanRestart => "clean-restart",
            Self::DiskLoss => "disk-loss",
            Self::RestoredBackup => "restored-backup",
            Self::ClonedDirectory => "cloned-directory",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::OneWayPartition => "one-way-partition",
            Self::SlowLinks => "slow-links",
            Self::LossyLinks => "lossy-links",
            Self::Repetition => "repetition",
            Self::NarrowLinks => "narrow-links",
            Self::ClockStep => "clock-step",
            Self::ClockJump => "clock-jump",
            Self::ClockDrift => "clock-drift",
            Self::DiskFull => "disk-full",
            Self::DiskSlow => "disk-slow",
            Self::DamagedRecord => "damaged-record",
            Self::SyncError => "sync-error",
            Self::LargeObject => "large-object",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it comes.
    pub at: Time,
    /// What.
    pub kind: Kind,
    /// Which node; the next one that it can come to, if not this one.
    pub node: u32,
    /// How long it lasts.
    pub lasts: Time,
    /// Whatever else the kind needs to know: which group, how far, how much.
    pub detail: u64,
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing.
    None,
    /// A few faults, of the kinds that every cluster meets.
    Light,
    /// At least 20 faults, of every kind.
    Heavy,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Light, Self::Heavy];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Heavy => "heavy",
        }
    }
}

/// Kinds that every cluster meets.
const LIGHT: [Kind; 6] =
    [Kind::Crash, Kind::CleanRestart, Kind::Pause, Kind::Partition, Kind::SlowLinks, Kind::ClockStep];

/// Draws the faults of a run between `from` and `until`.
#[must_use]
pub fn draw(seed: u64, level: Level, nodes: u32, from: Time, until: Time) -> Vec<Fault> {
    let mut random = Random::new(seed, "faults");
    let (count, kinds): (u64, &[Kind]) = match level {
        Level::None => (0, &[]),
        Level::Light => (random.between(4, 8), &LIGHT),
        Level::Heavy => (random.between(24, 36), Kind::ALL.split_last().map_or(&[], |(_, usual)| usual)),
    };
    let mut faults: Vec<Fault> = (0..count)
        .filter_map(|_| {
            let kind = *random.pick(kinds)?;
            let longest = match kind {
                Kind::RestoredBackup | Kind::ClonedDirectory => 6 * SECONDS,
                _ => 3 * SECONDS,
            };
            // Short faults are as likely as long ones.
            let lasts = 20.0 * (longest as f64 / (20.0 * MILLIS as f64)).powf(random.uniform());
            Some(Fault {
                at: random.between(from, until) / MICROS * MICROS,
                kind,
                node: random.below(nodes.into()) as u32,
                lasts: (lasts * 1_000.0) as Time * MICROS,
                detail: random.number(),
            })
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Draws the large objects of a run in whose world they can be made, and disks that are lost beside them.
#[must_use]
pub fn draw_large_objects(seed: u64, nodes: u32, from: Time, until: Time) -> Vec<Fault> {
    let mut random = Random::new(seed, "large objects");
    let mut faults = Vec::new();
    for _ in 0..random.between(3, 6) {
        let at = random.between(from, until) / MICROS * MICROS;
        let lasts = random.between(SECONDS, 3 * SECONDS) / MICROS * MICROS;
        let mut add = |at, kind, lasts| {
            let node = random.below(nodes.into()) as u32;
            faults.push(Fault { at, kind, node, lasts, detail: random.number() });
        };
        add(at, Kind::LargeObject, lasts);
        if lasts % 2_000_000 < 1_000_000 {
            add(at + lasts, Kind::DiskLoss, SECONDS / 2);
        }
    }
    faults
}
