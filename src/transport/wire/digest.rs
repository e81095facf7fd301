//! Answers to probes on the wire.

use serde::{Deserialize, Serialize};

use super::WireMeaning;
use super::applied::WirePath;
use super::object::{WireContext, WireDot, dot_of, wire_dot};
use crate::protocol::staleness::{Digest, STATES_MAX, SeenState, SeenVersion};
use crate::protocol::time::{Hlc, Moment};

/// [`Digest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireDigest {
    clock: u64,
    at: u64,
    complete_since: u64,
    states: Vec<WireState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireState {
    applied_at: Option<u64>,
    path: WirePath,
    context: WireContext,
    /// Name, write time and W of each.
    versions: Vec<(WireDot, u64, u8)>,
}

impl From<&Digest> for WireDigest {
    fn from(digest: &Digest) -> Self {
        let states = digest.states.iter().map(|state| WireState {
            applied_at: state.applied_at.map(|at| at.0),
            path: state.path.into(),
            context: (&state.context).into(),
            versions: state.versions.iter().map(|seen| (wire_dot(seen.dot), seen.hlc.0, seen.w)).collect(),
        });
        Self {
            clock: digest.clock,
            at: digest.at.0,
            complete_since: digest.complete_since.0,
            states: states.collect(),
        }
    }
}

impl TryFrom<WireDigest> for Digest {
    type Error = WireMeaning;

    fn try_from(digest: WireDigest) -> Result<Self, WireMeaning> {
        if !(1..=STATES_MAX).contains(&digest.states.len()) {
            let given = u8::try_from(digest.states.len()).unwrap_or(u8::MAX);
            return Err(WireMeaning::Number { what: "a number of states of", given });
        }
        let states = digest.states.into_iter().map(|state| SeenState {
            applied_at: state.applied_at.map(Moment),
            path: state.path.into(),
            context: state.context.into(),
            versions: state
                .versions
                .into_iter()
                .map(|(dot, hlc, w)| SeenVersion { dot: dot_of(dot), hlc: Hlc(hlc), w })
                .collect(),
        });
        Ok(Self {
            clock: digest.clock,
            at: Moment(digest.at),
            complete_since: Moment(digest.complete_since),
            states: states.collect(),
        })
    }
}
