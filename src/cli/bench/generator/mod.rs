//! The load generator of the benchmarks: one thread, raw sockets, nothing allocated for a request.
//!
//! It shares the cores with the servers it measures, so what it spends itself is told beside each figure.
//!
//! In a *closed* loop each connection sends its next request when the last was answered: that finds the highest rate,
//! but slow answers also hold back the requests that would have met them. In an *open* loop requests are due at a steady
//! rate, whoever is free sends them, and latency counts from when a request was due, not from when it could be sent: so
//! a pause counts for all that waited through it (no coordinated omission).

mod connection;
mod operation;
mod tally;
mod waiter;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use connection::{Connection, UnderWay};
use operation::Requests;
pub use operation::{BUCKET, KEYS_MAX, Operation};
use tally::{Ended, is_success};
pub use tally::{Failure, Tally};
use waiter::Waiter;

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
        let requests = Requests::new(run.operation.r(), run.operation.w(), self.value_bytes);
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
        let mut line = Line::open(self, Requests::new(None, w, self.value_bytes))?;
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

/// When a run is measured.
struct Timing {
    from: Instant,
    until: Instant,
    pace: Pace,
    began: Instant,
}

impl Timing {
    fn new(run: Run, began: Instant) -> Self {
        let from = began + run.warmup;
        Self { from, until: from + run.duration, pace: run.pace, began }
    }

    fn due(&self) -> Option<Due> {
        match self.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Due { began: self.began, rate, number: 0 }),
        }
    }

    fn measures(&self, intended: Instant) -> bool {
        (self.from..self.until).contains(&intended)
    }

    /// Of a closed loop, what is answered in time counts; of an open one, what was due in time.
    fn judge(&self, tally: &mut Tally, ended: Ended, request: UnderWay, now: Instant) {
        let counts = match self.pace {
            Pace::Closed => (self.from..self.until).contains(&now),
            Pace::Open(_) => self.measures(request.intended),
        };
        if counts {
            tally.take(ended, request.intended, now);
        }
    }

    fn is_over(&self, now: Instant, source: &Source, line: &Line) -> bool {
        let all_answered = || {
            source.due.is_none_or(|due| due.next() >= self.until)
                && line.under_way.iter().flatten().all(|request| !self.measures(request.intended))
        };
        match self.pace {
            Pace::Closed => now >= self.until,
            Pace::Open(_) => now >= self.until && (all_answered() || now >= self.until + LAST_ANSWERS),
        }
    }
}

/// The requests to come.
struct Source {
    keys: KeyChooser,
    reads: f64,
    /// None in a closed loop.
    due: Option<Due>,
}

/// When requests of an open loop are due.
#[derive(Debug, Clone, Copy)]
struct Due {
    began: Instant,
    rate: f64,
    number: u64,
}

impl Due {
    fn next(self) -> Instant {
        self.began + Duration::from_secs_f64(self.number as f64 / self.rate)
    }

    /// How many are still to come before `until`.
    fn left_before(self, until: Instant) -> u64 {
        let all = until.saturating_duration_since(self.began).as_secs_f64() * self.rate;
        (all as u64).saturating_sub(self.number)
    }
}

/// All connections.
struct Line {
    waiter: Waiter,
    connections: Vec<Connection>,
    under_way: Vec<Option<UnderWay>>,
    /// Those with nothing to do, the one first that has been so for longest: so all nodes get as much.
    idle: VecDeque<usize>,
    /// Those that were refused, and from when on they go on; in that order, as all wait for as long.
    paused: VecDeque<(Instant, usize)>,
    ready: Vec<usize>,
    requests: Requests,
    tick_at: Instant,
}

impl Line {
    fn open(load: &Load, requests: Requests) -> io::Result<Self> {
        let waiter = Waiter::new()?;
        let numbered = load.nodes.iter().cycle().take(usize::from(load.connections)).enumerate();
        let connections = numbered.map(|(number, node)| Connection::open(node, number, &waiter));
        let connections: Vec<_> = connections.collect::<io::Result<_>>()?;
        Ok(Self {
            waiter,
            under_way: vec![None; connections.len()],
            idle: (0..connections.len()).collect(),
            connections,
            paused: VecDeque::new(),
            ready: Vec::new(),
            requests,
            tick_at: Instant::now() + TICK,
        })
    }

    /// A connection with nothing to do.
    fn free(&mut self, now: Instant) -> Option<usize> {
        while let Some((until, number)) = self.paused.front().copied()
            && until <= now
        {
            self.paused.pop_front();
            self.idle.push_back(number);
        }
        self.idle.pop_front()
    }

    /// Sends what is to be sent now.
    fn begin(&mut self, source: &mut Source, timing: &Timing, now: Instant) -> io::Result<()> {
        loop {
            let intended = source.due.map_or(now, Due::next);
            if intended > now || intended >= timing.until {
                return Ok(());
            }
            let Some(free) = self.free(now) else { return Ok(()) };
            if let Some(due) = &mut source.due {
                due.number += 1;
            }
            let key = source.keys.next_key();
            let reads = source.reads >= 1.0 || (source.reads > 0.0 && source.keys.chance(source.reads));
            // In a closed loop the work of sending the earlier ones is no part of this one's latency.
            let sent = Instant::now();
            let intended = if source.due.is_some() { intended } else { sent };
            self.send(free, reads, UnderWay { intended, sent, key })?;
        }
    }

    fn send(&mut self, number: usize, reads: bool, request: UnderWay) -> io::Result<()> {
        let (Some(connection), Some(under_way)) =
            (self.connections.get_mut(number), self.under_way.get_mut(number))
        else {
            return Ok(());
        };
        if connection.send(self.requests.of(reads, request.key)).is_err() {
            // The other side closed it while it was idle.
            connection.reopen(&self.waiter)?;
            connection.send(self.requests.of(reads, request.key))?;
        }
        *under_way = Some(request);
        Ok(())
    }

    /// When there is something to do again, if no connection becomes ready before.
    fn wake_at(&self, source: &Source, timing: &Timing) -> Instant {
        let mut at = self.tick_at;
        if Instant::now() < timing.until {
            at = at.min(timing.until);
            if let Some((until, _)) = self.paused.front() {
                at = at.min(*until);
            }
            if let Some(due) = source.due.filter(|_| !self.idle.is_empty()) {
                at = at.min(due.next());
            }
        }
        at
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.waiter.wait(timeout, &mut self.ready)
    }

    /// Reads what has come.
    fn collect(&mut self, pause: Duration, mut take: impl FnMut(Ended, UnderWay, Instant)) -> io::Result<()> {
        for at in 0..self.ready.len() {
            let Some(&number) = self.ready.get(at) else { break };
            let (Some(connection), Some(slot)) =
                (self.connections.get_mut(number), self.under_way.get_mut(number))
            else {
                continue;
            };
            let ended = match connection.go_on() {
                Ok(None) => continue,
                Ok(Some(status)) => Ended::Answered(status),
                Err(_) => {
                    connection.reopen(&self.waiter)?;
                    Ended::Failed(Failure::Broken)
                }
            };
            let Some(request) = slot.take() else { continue };
            let now = Instant::now();
            take(ended, request, now);
            self.rest(number, ended, now, pause);
        }
        Ok(())
    }

    fn rest(&mut self, number: usize, ended: Ended, now: Instant, pause: Duration) {
        match ended {
            Ended::Answered(status) if !is_success(status) && pause > Duration::ZERO => {
                self.paused.push_back((now + pause, number));
            }
            Ended::Answered(_) | Ended::Failed(_) => self.idle.push_back(number),
        }
    }

    /// Breaks connections that have waited for an answer for too long.
    fn give_up(&mut self, mut take: impl FnMut(UnderWay, Instant)) -> io::Result<()> {
        let now = Instant::now();
        for (number, slot) in self.under_way.iter_mut().enumerate() {
            let late = slot.filter(|request| now.saturating_duration_since(request.sent) > REPLY_TIMEOUT);
            let (Some(request), Some(connection)) = (late, self.connections.get_mut(number)) else {
                continue;
            };
            *slot = None;
            connection.reopen(&self.waiter)?;
            self.idle.push_back(number);
            take(request, now);
        }
        Ok(())
    }

    /// Whether a tick has gone by since it last did.
    fn ticked(&mut self) -> bool {
        let now = Instant::now();
        let ticked = now >= self.tick_at;
        if ticked {
            self.tick_at = now + TICK;
        }
        ticked
    }
}
