//! The load generator of the benchmarks: one thread, raw sockets, nothing allocated for a request.
//!
//! It shares the cores with the servers it measures, so what it spends itself is told beside each figure.
//!
//! In a *closed* loop each connection sends its next request when the last was answered: that finds the highest rate,
//! but slow answers also hold back the requests that would have met them. In an *open* loop requests are due at a steady
//! rate, whoever is free sends them, and latency counts from when a request was due, not from when it could be sent: so
//! a pause counts for all that waited through it (no coordinated omission).

mod connection;
mod line;
mod operation;
mod schedule;
mod tally;
mod waiter;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use connection::UnderWay;
use line::Line;
use operation::Requests;
pub use operation::{BUCKET, KEYS_MAX, Operation};
use schedule::{Source, Timing};
use tally::{Ended, is_success};
pub use tally::{Failure, Tally};

use super::cpu::Spent;
use crate::cli::load::{Distribution, KeyChooser};
use crate::client::Endpoint;

/// How long an answer may take: more than any `limits.timeout` in use.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an open loop goes on after its time for what is still due or under way.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How often the generator looks at what is not urgent.
const TICK: Duration = Duration::from_millis(100);
/// The pause before a key that was refused is written again, when all keys are to be written.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How many such pauses in a row end it.
const REFUSALS_MAX: u32 = 100;

/// Whom the requests go to, and of what size they are.
#[derive(Debug, Clone)]
pub struct Load {
    /// The nodes, among which connections are spread.
    pub nodes: Vec<Endpoint>,
    /// Their processes, where they are on this machine.
    pub pids: Vec<u32>,
    /// The bucket of the keys.
    pub bucket: &'static str,
    /// How many connections.
    pub connections: u16,
    /// How many keys.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// How keys are chosen.
    pub dist: Distribution,
}

/// What is asked and when.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What is asked.
    pub operation: Operation,
    /// When.
    pub pace: Pace,
    /// How long it goes before it is measured.
    pub warmup: Duration,
    /// How long it is measured.
    pub duration: Duration,
    /// How long a connection waits whose request was not answered as it should be.
    pub pause: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As soon as the last was answered.
    Closed,
    /// So many a second, whatever becomes of them.
    Open(f64),
}

impl Load {
    /// Sends requests and says what came of them. `progress` is told the share of the time that is over.
    pub fn run(&self, run: Run, mut progress: impl FnMut(f64)) -> io::Result<Tally> {
        let requests = Requests::new(self.bucket, (run.operation.r(), run.operation.w()), self.value_bytes);
        let keys = KeyChooser::new(rand::random(), self.keys, self.dist);
        let mut line = Line::open(self, requests)?;
        let began = Instant::now();
        let timing = Timing::new(run, began);
        let mut source = Source { keys, reads: run.operation.reads(), due: timing.due() };
        let mut tally = Tally::default();
        let (mut before, mut spent) = (None, None);
        loop {
            let now = Instant::now();
            if before.is_none() && now >= timing.from {
                before = Some(Spent::so_far(&self.pids));
            }
            if spent.is_none() && now >= timing.until {
                spent = before.map(|before| Spent::so_far(&self.pids).since(before));
            }
            if timing.is_over(now, &source, &line) {
                break;
            }
            line.begin(&mut source, &timing, now)?;
            line.wait(line.wake_at(&source, &timing).saturating_duration_since(Instant::now()))?;
            line.collect(run.pause, |ended, request, now| timing.judge(&mut tally, ended, request, now))?;
            if line.ticked() {
                line.give_up(|request, now| {
                    timing.judge(&mut tally, Ended::Failed(Failure::TimedOut), request, now);
                })?;
                progress(began.elapsed().as_secs_f64() / (timing.until - began).as_secs_f64());
            }
        }
        if let Some(due) = source.due {
            let open = line.under_way.iter().flatten().map(|request| request.intended);
            let open = open.filter(|intended| timing.measures(*intended)).count();
            tally.fail(Failure::TimedOut, open as u64);
            tally.fail(Failure::NotSent, due.left_before(timing.until));
        }
        tally.measured = run.duration;
        tally.spent = spent.unwrap_or_default();
        Ok(tally)
    }

    /// Writes the keys from `from` on, each of them until a node takes it.
    pub fn fill(&self, from: u64, w: Option<u8>, mut progress: impl FnMut(u64)) -> io::Result<()> {
        let mut line = Line::open(self, Requests::new(self.bucket, (None, w), self.value_bytes))?;
        let (mut next, mut done) = (from, from);
        let mut refusals = 0;
        let mut again = VecDeque::new();
        while done < self.keys {
            let now = Instant::now();
            while let Some(free) = line.free(now) {
                let key = again.pop_front().or_else(|| {
                    let key = (next < self.keys).then_some(next);
                    next += u64::from(key.is_some());
                    key
                });
                let Some(key) = key else {
                    line.idle.push_front(free);
                    break;
                };
                line.send(free, false, UnderWay { intended: now, sent: now, key })?;
            }
            line.wait(TICK)?;
            line.collect(AGAIN_AFTER, |ended, request, _| match ended {
                Ended::Answered(status) if is_success(status) => {
                    done += 1;
                    refusals = 0;
                }
                Ended::Answered(_) | Ended::Failed(_) => {
                    refusals += 1;
                    again.push_back(request.key);
                }
            })?;
            if refusals > REFUSALS_MAX * u32::from(self.connections) {
                return Err(io::Error::other("the nodes refuse to write the keys"));
            }
            if line.ticked() {
                line.give_up(|request, _| again.push_back(request.key))?;
                progress(done);
            }
        }
        Ok(())
    }
}
