//! One connection of a lane to one peer, through all its reconnections: what waits for it, what waits for
//! answers, and who dials.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::buffers::Taken;
use super::frame::{self, Header, Kind};
use super::handshake::{HandshakeError, Party, dial};
use super::lane::LaneConfig;
use super::wire::{WireAnswer, WireRequest};
use super::{AnswerSink, Answered, Outgoing, PeerAnswer, codec, reuse};
use crate::protocol::bounds::OUTSTANDING_MAX;
use crate::protocol::ids::{BucketName, Key, NodeId, RequestId};
use crate::protocol::message::{PeerRequest, Refusal};
use crate::protocol::time::Moment;

/// Bytes of requests that may wait to be written to one peer.
pub const BUFFERED_MAX: usize = 32 * 1024 * 1024;

/// So many patient requests leave at once: each has a small part in the peer's wake-up then, and more of them would be in
/// the way of whatever comes to it after them.
const PATIENT_MAX: usize = 32;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest time from one dial to the next: a node that is back is used again within a second.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A request that comes this soon after a failed dial is refused rather than dialled for, in microseconds.
const REST_AFTER_FAILURE_US: u64 = 20_000;
/// How often a sign of life is asked for, in microseconds.
const PING_EVERY_US: u64 = 1_000_000;
/// How long a peer may be silent before the connection counts as broken, in microseconds.
const SILENCE_MAX_US: u64 = 3_000_000;
/// How often it is said which request is too large, in microseconds; all are counted.
const COMPLAINS_EVERY_US: u64 = 1_000_000;
const READ_BYTES: usize = 64 * 1024;

/// Where a link goes.
pub struct LinkConfig {
    /// What all links of the lane share.
    pub lane: LaneConfig,
    /// The peer.
    pub peer: NodeId,
    /// Its `host:port`.
    pub address: String,
}

struct Outstanding {
    tag: u64,
    /// The batch that its frame is written in: once that batch was taken, it may have been sent.
    batch: u64,
    /// When it left, if it was patient.
    left: Option<Moment>,
}

#[derive(Default)]
struct State {
    up: bool,
    /// Whether the last dial failed.
    down: bool,
    closed: bool,
    buffer: Vec<u8>,
    /// Whose frames are in `buffer`, one after the other, and where each ends.
    frames: Vec<(u64, usize)>,
    /// Patient requests in `buffer`.
    patient: Vec<u64>,
    /// The batch that is being gathered in `buffer`.
    batch: u64,
    outstanding: HashMap<u64, Outstanding>,
    deadlines: BinaryHeap<Reverse<(Moment, u64)>>,
    next_id: u64,
    failed_at: Option<Moment>,
    heard_at: Option<Moment>,
    pinged_at: Option<Moment>,
    ticked_at: Option<Moment>,
    /// When it was last said that a request is too large.
    complained_at: Option<Moment>,
}

impl State {
    /// The buffer is on its way.
    fn leave(&mut self, now: Moment) {
        for id in self.patient.drain(..) {
            if let Some(outstanding) = self.outstanding.get_mut(&id) {
                outstanding.left = Some(now);
            }
        }
    }

    /// Takes frames out of the buffer, so that they are never sent.
    fn unsend(&mut self, ids: &HashSet<u64>) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut from = 0;
        for (id, to) in std::mem::take(&mut self.frames) {
            if !ids.contains(&id) {
                self.buffer.extend_from_slice(buffer.get(from..to).unwrap_or_default());
                self.frames.push((id, self.buffer.len()));
            }
            from = to;
        }
    }
}

/// The link.
pub struct Link {
    config: LinkConfig,
    sink: Rc<dyn AnswerSink>,
    state: RefCell<State>,
    /// Memory of what waits in the buffer.
    taken: RefCell<Taken>,
    /// There is something to write.
    written: Notify,
    /// There is a reason to dial before the backoff has passed.
    wake: Arc<Notify>,
    /// The connection is to be given up.
    broken: Notify,
}

impl Link {
    /// A link that is not connected yet.
    pub fn new(config: LinkConfig, sink: Rc<dyn AnswerSink>) -> Self {
        let wake = Arc::new(Notify::new());
        config.lane.reconnects.register(&config.peer, &wake);
        let taken = RefCell::new(Taken::of(&config.lane.memory.requests));
        Self {
            config,
            sink,
            state: RefCell::default(),
            taken,
            written: Notify::new(),
            wake,
            broken: Notify::new(),
        }
    }

    /// Whether the connection stands.
    pub fn is_up(&self) -> bool {
        self.state.borrow().up
    }

    /// Whether the peer is known to be down: no connection stands, and the last dial failed.
    pub fn is_down(&self) -> bool {
        self.state.borrow().down
    }

    /// Sends a request, or answers it with a refusal.
    pub fn send(&self, outgoing: Outgoing) {
        let now = (self.config.lane.now)();
        let Err(refusal) = self.queue(now, &outgoing) else {
            if !outgoing.patient || self.state.borrow().patient.len() >= PATIENT_MAX {
                self.written.notify_one();
            }
            return;
        };
        let counters = &self.config.lane.counters;
        match refusal {
            Refusal::Overloaded => &counters.requests_over_bound,
            Refusal::Deadline => &counters.requests_expired_unsent,
            Refusal::TooLargeToSend => &counters.frames_too_long,
            _ => &counters.requests_not_sent,
        }
        .add();
        self.answer(Answered::refused(outgoing.tag, refusal));
    }

    fn queue(&self, now: Moment, outgoing: &Outgoing) -> Result<(), Refusal> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if outgoing.deadline <= now {
            return Err(Refusal::Deadline);
        }
        let memory = &self.config.lane.memory.requests;
        let too_much = state.buffer.len() > memory.of_one() || memory.is_overspent();
        if too_much && !state.buffer.is_empty()
            || state.outstanding.len() >= OUTSTANDING_MAX
            || state.buffer.len() >= BUFFERED_MAX
        {
            return Err(Refusal::Overloaded);
        }
        if !state.up {
            let rests = state.failed_at.is_some_and(|at| now.micros_since(at) < REST_AFTER_FAILURE_US);
            if rests || state.closed {
                return Err(Refusal::NotSent);
            }
            self.wake.notify_one();
        }
        state.next_id += 1;
        let header = Header {
            kind: Kind::Request,
            id: RequestId(state.next_id),
            time_left_us: outgoing.deadline.micros_since(now),
            clock: outgoing.clock,
            epoch: outgoing.ring.epoch,
        };
        let message = WireRequest::from(&outgoing.request);
        if let Err(error) = frame::encode(&header, outgoing.trace.as_deref(), &message, &mut state.buffer) {
            if state.complained_at.is_none_or(|at| now.micros_since(at) >= COMPLAINS_EVERY_US) {
                state.complained_at = Some(now);
                let about = key_of(&outgoing.request);
                tracing::warn!(peer = %self.config.peer, about, "a request was not sent: {error}");
            }
            return Err(Refusal::TooLargeToSend);
        }
        self.config.lane.counters.frames_sent.add();
        state.frames.push((state.next_id, state.buffer.len()));
        self.taken.borrow_mut().set(state.buffer.len());
        state
            .outstanding
            .insert(state.next_id, Outstanding { tag: outgoing.tag, batch: state.batch, left: None });
        if outgoing.patient {
            state.patient.push(state.next_id);
        }
        state.deadlines.push(Reverse((outgoing.deadline, state.next_id)));
        if state.deadlines.len() > 2 * OUTSTANDING_MAX {
            // Of most the answer has come, long before their deadlines.
            let State { deadlines, outstanding, .. } = state;
            deadlines.retain(|Reverse((_, id))| outstanding.contains_key(id));
        }
        Ok(())
    }

    fn answer(&self, answered: Answered) {
        self.sink.answer(&self.config.peer, answered);
    }

    /// Ends requests whose deadline has passed, and a connection that is silent; lets patient requests go.
    pub fn tick(&self) {
        let now = (self.config.lane.now)();
        let mut ended = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            let mut unsent = HashSet::new();
            while let Some(&Reverse((deadline, id))) = state.deadlines.peek() {
                if deadline > now {
                    break;
                }
                state.deadlines.pop();
                if let Some(Outstanding { tag, batch, .. }) = state.outstanding.remove(&id) {
                    let sent = batch < state.batch;
                    ended.push((tag, if sent { Refusal::NoAnswer } else { Refusal::NotSent }));
                    if !sent {
                        unsent.insert(id);
                    }
                }
            }
            if !unsent.is_empty() {
                state.unsend(&unsent);
            }
            if state.up {
                self.look_for_life(state, now);
                if !state.patient.is_empty() {
                    self.written.notify_one();
                }
            }
        }
        for (tag, refusal) in ended {
            self.config.lane.counters.requests_unanswered.add();
            self.answer(Answered::refused(tag, refusal));
        }
    }

    fn look_for_life(&self, state: &mut State, now: Moment) {
        let ticked_at = state.ticked_at.replace(now);
        if ticked_at.is_some_and(|at| now.micros_since(at) >= PING_EVERY_US) {
            // It was this thread that stood still: nobody was asked for a sign of life meanwhile, and none was read.
            state.heard_at = Some(now);
        }
        let silent_us = state.heard_at.map_or(0, |heard| now.micros_since(heard));
        if silent_us >= SILENCE_MAX_US {
            self.config.lane.counters.silent_connections.add();
            self.broken.notify_one();
        } else if state.pinged_at.is_none_or(|at| now.micros_since(at) >= PING_EVERY_US) {
            state.pinged_at = Some(now);
            let clock = self.config.lane.gatekeeper.ceiling();
            let ping = Header { clock, ..Header::bare(Kind::Ping, RequestId(0)) };
            // An empty message always fits.
            if frame::encode(&ping, None, &(), &mut state.buffer).is_ok() {
                state.frames.push((0, state.buffer.len()));
                self.written.notify_one();
            }
        }
    }

    /// Refuses all that waits.
    pub fn close(&self) {
        self.state.borrow_mut().closed = true;
        self.end_outstanding();
    }

    /// Dials, serves the connection until it ends, and dials again.
    pub async fn keep_connected(self: Rc<Self>) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let dialled = tokio::time::Instant::now();
            match self.connect().await {
                Ok(stream) => {
                    backoff = BACKOFF_MIN;
                    self.up();
                    let why = self.clone().serve(stream).await;
                    tracing::info!(peer = %self.config.peer, "connection ended: {why}");
                    self.config.lane.counters.connections_lost.add();
                    self.config.lane.gatekeeper.connected(&self.config.peer, false);
                }
                Err(error) => {
                    self.state.borrow_mut().down = true;
                    self.config.lane.counters.dial_failures.add();
                    error.count(&self.config.lane.counters);
                    if matches!(error, HandshakeError::Broken(_)) {
                        tracing::debug!(peer = %self.config.peer, address = %self.config.address, "no connection: {error}");
                    } else {
                        tracing::warn!(peer = %self.config.peer, address = %self.config.address, "no connection: {error}");
                    }
                }
            }
            self.state.borrow_mut().up = false;
            self.state.borrow_mut().failed_at = Some((self.config.lane.now)());
            self.end_outstanding();
            // Whoever shows itself, or is needed, is dialled at once, but never in a tight loop.
            tokio::time::sleep(Duration::from_micros(REST_AFTER_FAILURE_US)).await;
            let _ = tokio::time::timeout_at(dialled + jittered(backoff), self.wake.notified()).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn connect(&self) -> Result<TcpStream, HandshakeError> {
        let LinkConfig { lane, peer, address } = &self.config;
        lane.counters.dials.add();
        let connecting = TcpStream::connect(address.as_str());
        let mut stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| HandshakeError::TimedOut)??;
        stream.set_nodelay(true)?;
        let party = Party { cluster: &lane.cluster, secret: &lane.secret, gatekeeper: &*lane.gatekeeper };
        dial(&mut stream, &party, peer, lane.purpose).await?;
        lane.counters.handshakes_outbound.add();
        Ok(stream)
    }

    fn up(&self) {
        let mut state = self.state.borrow_mut();
        (state.up, state.down) = (true, false);
        state.failed_at = None;
        state.heard_at = Some((self.config.lane.now)());
        (state.pinged_at, state.ticked_at) = (state.heard_at, state.heard_at);
        drop(state);
        // Of a connection before this one.
        let _ = self.broken.notified().now_or_never();
        self.config.lane.gatekeeper.connected(&self.config.peer, true);
        self.written.notify_one();
    }

    async fn serve(self: Rc<Self>, stream: TcpStream) -> String {
        let (read, write) = stream.into_split();
        tokio::select! {
            why = self.read(read) => why,
            why = self.write(write) => why,
            () = self.broken.notified() => "nothing was heard for too long".to_owned(),
        }
    }

    async fn write(&self, mut write: OwnedWriteHalf) -> String {
        // Two buffers take turns, so that a batch is not gathered in memory that is fetched anew each time.
        let mut batch = Vec::new();
        let mut on_the_way = Taken::of(&self.config.lane.memory.requests);
        loop {
            self.written.notified().await;
            loop {
                reuse(&mut batch);
                on_the_way.set(0);
                {
                    let mut state = self.state.borrow_mut();
                    state.batch += 1;
                    state.frames.clear();
                    std::mem::swap(&mut batch, &mut state.buffer);
                    self.taken.borrow_mut().set(0);
                    on_the_way.set(batch.len());
                    state.leave((self.config.lane.now)());
                }
                if batch.is_empty() {
                    break;
                }
                self.config.lane.counters.bytes_sent.add_many(batch.len() as u64);
                self.config.lane.counters.batches_sent.add();
                if let Err(error) = write.write_all(&batch).await {
                    return format!("writing failed: {error}");
                }
            }
        }
    }

    async fn read(&self, mut read: OwnedReadHalf) -> String {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            match read.read_buf(&mut buffer).await {
                Ok(0) => return "the peer closed it".to_owned(),
                Ok(bytes) => self.config.lane.counters.bytes_received.add_many(bytes as u64),
                Err(error) => return format!("reading failed: {error}"),
            }
            self.state.borrow_mut().heard_at = Some((self.config.lane.now)());
            loop {
                match frame::decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        if let Err(why) = self.arrived(&frame) {
                            return why;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.config.lane.counters.corrupt_frames.add();
                        return error.to_string();
                    }
                }
            }
            buffer.reserve(frame::lacking(&buffer).max(READ_BYTES));
        }
    }

    fn arrived(&self, frame: &frame::Frame) -> Result<(), String> {
        let counters = &self.config.lane.counters;
        counters.frames_received.add();
        match frame.header.kind {
            Kind::Pong => Ok(()),
            Kind::Answer => {
                let decoded = codec::decode::<WireAnswer>(&frame.payload).map_err(|error| error.to_string());
                let answer = decoded
                    .and_then(|answer| PeerAnswer::try_from(answer).map_err(|error| error.to_string()));
                let answer = answer.inspect_err(|_| counters.undecodable_messages.add())?;
                let outstanding = self.state.borrow_mut().outstanding.remove(&frame.header.id.0);
                match outstanding {
                    Some(Outstanding { tag, left, .. }) => {
                        let clock = Some(frame.header.clock);
                        self.answer(Answered { tag, answer, clock, left });
                    }
                    None => counters.late_answers.add(),
                }
                Ok(())
            }
            Kind::Request | Kind::Ping => {
                counters.unexpected_frames.add();
                Err("a frame that has no place here".to_owned())
            }
        }
    }

    /// Tells everyone who waits that no answer will come.
    fn end_outstanding(&self) {
        let ended: Vec<(u64, Refusal)> = {
            let mut state = self.state.borrow_mut();
            let taken = state.batch;
            state.buffer.clear();
            self.taken.borrow_mut().set(0);
            state.frames.clear();
            state.patient.clear();
            state.deadlines.clear();
            let outstanding = state.outstanding.drain();
            let refusal = |batch: u64| if batch < taken { Refusal::NoAnswer } else { Refusal::NotSent };
            outstanding.map(|(_, request)| (request.tag, refusal(request.batch))).collect()
        };
        for (tag, refusal) in ended {
            match refusal {
                Refusal::NoAnswer => &self.config.lane.counters.requests_unanswered,
                _ => &self.config.lane.counters.requests_not_sent,
            }
            .add();
            self.answer(Answered::refused(tag, refusal));
        }
    }
}

/// The key that a request is about, for people.
fn key_of(request: &PeerRequest) -> String {
    let shown = |bucket: &BucketName, key: &Key| format!("{bucket}/{}", key.as_bytes().escape_ascii());
    match request {
        PeerRequest::Replica(target, _) => shown(&target.bucket, &target.key),
        PeerRequest::Forward(write, ..) => shown(&write.bucket, &write.key),
        _ => "no key".to_owned(),
    }
}

/// Between half of `backoff` and all of it, so that nodes that lost each other at once do not return at once.
fn jittered(backoff: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // Without randomness the full time is waited: only politeness is lost.
    let share = getrandom::fill(&mut byte).map_or(255, |()| u32::from(byte[0]));
    backoff / 2 + backoff * share / 512
}
