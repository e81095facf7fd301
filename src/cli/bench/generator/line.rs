//! All connections of a load.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::connection::{Connection, UnderWay};
use super::operation::Requests;
use super::schedule::{Due, Source, Timing};
use super::tally::{Ended, Failure, is_success};
use super::waiter::Waiter;
use super::{Load, REPLY_TIMEOUT, TICK};

/// All connections.
pub struct Line {
    waiter: Waiter,
    connections: Vec<Connection>,
    pub under_way: Vec<Option<UnderWay>>,
    /// Those with nothing to do, the one first that has been so for longest: so all nodes get as much.
    pub idle: VecDeque<usize>,
    /// Those that were refused, and from when on they go on; in that order, as all wait for as long.
    paused: VecDeque<(Instant, usize)>,
    ready: Vec<usize>,
    requests: Requests,
    tick_at: Instant,
}

impl Line {
    pub fn open(load: &Load, requests: Requests) -> io::Result<Self> {
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
    pub fn free(&mut self, now: Instant) -> Option<usize> {
        while let Some((until, number)) = self.paused.front().copied()
            && until <= now
        {
            self.paused.pop_front();
            self.idle.push_back(number);
        }
        self.idle.pop_front()
    }

    /// Sends what is to be sent now.
    pub fn begin(&mut self, source: &mut Source, timing: &Timing, now: Instant) -> io::Result<()> {
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

    pub fn send(&mut self, number: usize, reads: bool, request: UnderWay) -> io::Result<()> {
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
    pub fn wake_at(&self, source: &Source, timing: &Timing) -> Instant {
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

    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.waiter.wait(timeout, &mut self.ready)
    }

    /// Reads what has come.
    pub fn collect(
        &mut self,
        pause: Duration,
        mut take: impl FnMut(Ended, UnderWay, Instant),
    ) -> io::Result<()> {
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
    pub fn give_up(&mut self, mut take: impl FnMut(UnderWay, Instant)) -> io::Result<()> {
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
    pub fn ticked(&mut self) -> bool {
        let now = Instant::now();
        let ticked = now >= self.tick_at;
        if ticked {
            self.tick_at = now + TICK;
        }
        ticked
    }
}
