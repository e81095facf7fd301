//! Answers to probes on the wire.

use serde::{Deserialize, Serialize};

use super::WireMeaning;
use super::applied::WirePath;
use super::object::{WireContext, WireDot, dot_of, wire_dot};
use crate::protocol::ids::TraceContext;
use crate::protocol::staleness::{Digest, STATES_MAX, SeenState, SeenVersion, TRACES_MAX, WriteTrace};
use crate::protocol::time::{Hlc, Moment};

/// [`Digest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireDigest {
    clock: u64,
    at: u64,
    complete_since: u64,
    states: Vec<WireState>,
    /// Of those states alone whose write has a trace: of most digests this is the byte of an empty list.
    traces: Vec<WireTrace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireState {
    applied_at: Option<u64>,
    path: WirePath,
    context: WireContext,
    /// Name, write time and W of each.
    versions: Vec<(WireDot, u64, u8)>,
}

/// [`WriteTrace`]. Ids are random, and bytes of a fixed number.
#[derive(Debug, Serialize, Deserialize)]
struct WireTrace {
    /// The place of the state among all.
    state: u8,
    dot: WireDot,
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl From<&Digest> for WireDigest {
    fn from(digest: &Digest) -> Self {
        let states = digest.states.iter().map(|state| WireState {
            applied_at: state.applied_at.map(|at| at.0),
            path: state.path.into(),
            context: (&state.context).into(),
            versions: state.versions.iter().map(|seen| (wire_dot(seen.dot), seen.hlc.0, seen.w)).collect(),
        });
        let traces = (0_u8..).zip(&digest.states);
        let traces = traces.filter_map(|(at, state)| Some(WireTrace::of(at, state.trace.as_deref()?)));
        Self {
            clock: digest.clock,
            at: digest.at.0,
            complete_since: digest.complete_since.0,
            states: states.collect(),
            traces: traces.collect(),
        }
    }
}

impl TryFrom<WireDigest> for Digest {
    type Error = WireMeaning;

    fn try_from(digest: WireDigest) -> Result<Self, WireMeaning> {
        let number =
            |what, given: usize| WireMeaning::Number { what, given: given.try_into().unwrap_or(u8::MAX) };
        if !(1..=STATES_MAX).contains(&digest.states.len()) {
            return Err(number("a number of states of", digest.states.len()));
        }
        if digest.traces.len() > TRACES_MAX {
            return Err(number("a number of traces of", digest.traces.len()));
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
            trace: None,
        });
        let mut states: Vec<SeenState> = states.collect();
        for traced in digest.traces {
            let at = usize::from(traced.state);
            let state = states.get_mut(at).ok_or_else(|| number("a trace of state", at))?;
            let trace = WriteTrace::from(traced);
            if trace.context.trace == 0 || trace.context.span == 0 {
                return Err(number("a trace of the id", 0));
            }
            state.trace = Some(Box::new(trace));
        }
        Ok(Self {
            clock: digest.clock,
            at: Moment(digest.at),
            complete_since: Moment(digest.complete_since),
            states,
        })
    }
}

impl WireTrace {
    fn of(state: u8, trace: &WriteTrace) -> Self {
        let WriteTrace { dot, context: TraceContext { trace, span, sampled } } = *trace;
        Self { state, dot: wire_dot(dot), trace: trace.to_be_bytes(), span: span.to_be_bytes(), sampled }
    }
}

impl From<WireTrace> for WriteTrace {
    fn from(wire: WireTrace) -> Self {
        let context = TraceContext {
            trace: u128::from_be_bytes(wire.trace),
            span: u64::from_be_bytes(wire.span),
            sampled: wire.sampled,
        };
        Self { dot: dot_of(wire.dot), context }
    }
}
