//! When and by which way a home came to have a write, on the wire.

use serde::{Deserialize, Serialize};

use super::object::{WireDot, dot_of, wire_dot};
use crate::protocol::message::Via;
use crate::protocol::sli::Path;
use crate::protocol::staleness::AppliedAt;
use crate::protocol::time::Moment;

/// [`AppliedAt`]: how long ago, rather than when, as the former takes fewer bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WireAppliedAt {
    clock: u64,
    answered: u64,
    since_arrived: u64,
    since_applied: u64,
    exactly: bool,
    path: WirePath,
}

/// [`Path`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum WirePath {
    /// [`Path::Direct`].
    Direct,
    /// [`Path::ReadRepair`].
    ReadRepair,
    /// [`Path::Transfer`].
    Transfer,
}

/// [`Via`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum WireVia {
    /// [`Via::Write`].
    Write(WireDot),
    /// [`Via::ReadRepair`].
    ReadRepair,
    /// [`Via::Transfer`].
    Transfer,
}

impl From<Via> for WireVia {
    fn from(via: Via) -> Self {
        match via {
            Via::Write(dot) => Self::Write(wire_dot(dot)),
            Via::ReadRepair => Self::ReadRepair,
            Via::Transfer => Self::Transfer,
        }
    }
}

impl From<WireVia> for Via {
    fn from(via: WireVia) -> Self {
        match via {
            WireVia::Write(dot) => Self::Write(dot_of(dot)),
            WireVia::ReadRepair => Self::ReadRepair,
            WireVia::Transfer => Self::Transfer,
        }
    }
}

impl From<&AppliedAt> for WireAppliedAt {
    fn from(when: &AppliedAt) -> Self {
        Self {
            clock: when.clock,
            answered: when.answered.0,
            since_arrived: when.answered.micros_since(when.arrived),
            since_applied: when.answered.micros_since(when.applied),
            exactly: when.exactly,
            path: when.path.into(),
        }
    }
}

impl From<WireAppliedAt> for AppliedAt {
    fn from(when: WireAppliedAt) -> Self {
        let ago = |us: u64| Moment(when.answered.saturating_sub(us));
        Self {
            clock: when.clock,
            arrived: ago(when.since_arrived),
            applied: ago(when.since_applied),
            exactly: when.exactly,
            answered: Moment(when.answered),
            path: when.path.into(),
        }
    }
}

impl From<Path> for WirePath {
    fn from(path: Path) -> Self {
        match path {
            Path::Direct => Self::Direct,
            Path::ReadRepair => Self::ReadRepair,
            Path::Transfer => Self::Transfer,
        }
    }
}

impl From<WirePath> for Path {
    fn from(path: WirePath) -> Self {
        match path {
            WirePath::Direct => Self::Direct,
            WirePath::ReadRepair => Self::ReadRepair,
            WirePath::Transfer => Self::Transfer,
        }
    }
}
