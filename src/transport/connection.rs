//! The accepting side of a connection: requests in, answers out in whatever order they are ready.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::counters::TransportCounters;
use super::frame::{self, Header, Kind};
use super::wire::{WireAnswer, WireRequest};
use super::{
    Gatekeeper, Incoming, LanePurpose, MonotonicClock, PeerAnswer, PeerRequest, PeerService, Responder,
    codec, reuse,
};
use crate::protocol::ids::{NodeId, RequestId};
use crate::protocol::message::{Refusal, RingStamp};
use crate::protocol::time::Hlc;

/// Requests of one connection that may be unanswered.
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Bytes of answers that may wait for a peer to read them; beyond, its connection is closed.
pub const OUTBOX_MAX: usize = 64 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// A connection whose handshake is done. It can be sent to the thread that is to run it.
pub struct Connection {
    pub(super) stream: std::net::TcpStream,
    pub(super) from: NodeId,
    pub(super) purpose: LanePurpose,
    pub(super) counters: Arc<TransportCounters>,
    pub(super) now: MonotonicClock,
    pub(super) gatekeeper: Arc<dyn Gatekeeper>,
    pub(super) _slot: tokio::sync::OwnedSemaphorePermit,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} for {:?})", self.from, self.purpose)
    }
}

/// Answers on their way out.
#[derive(Debug, Default)]
struct Outbox {
    state: Mutex<OutboxState>,
    filled: Notify,
    in_flight: AtomicUsize,
}

#[derive(Debug, Default)]
struct OutboxState {
    bytes: Vec<u8>,
    closed: bool,
    over_bound: bool,
}

impl Outbox {
    fn state(&self) -> std::sync::MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in the outbox; false if there is no connection any more.
    fn put(&self, header: &Header, answer: Option<&WireAnswer>, counters: &TransportCounters) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let done = match answer {
            Some(answer) => frame::encode(header, None, answer, &mut state.bytes),
            None => frame::encode(header, None, &(), &mut state.bytes),
        };
        if let Err(error) = done {
            counters.frames_too_long.add();
            tracing::warn!("an answer was not sent: {error}");
            let refused = WireAnswer::Refused(Refusal::Storage.into());
            // So short a message always fits.
            let _ = frame::encode(header, None, &refused, &mut state.bytes);
        }
        state.over_bound |= state.bytes.len() > OUTBOX_MAX;
        drop(state);
        counters.frames_sent.add();
        self.filled.notify_one();
        true
    }
}

struct FrameResponder {
    outbox: Arc<Outbox>,
    id: RequestId,
    counters: Arc<TransportCounters>,
    answered: bool,
}

impl FrameResponder {
    fn send(&mut self, answer: &PeerAnswer, clock: Hlc) {
        self.answered = true;
        self.outbox.in_flight.fetch_sub(1, Ordering::AcqRel);
        let header = Header { clock, ..Header::bare(Kind::Answer, self.id) };
        if !self.outbox.put(&header, Some(&WireAnswer::from(answer)), &self.counters) {
            self.counters.answers_without_connection.add();
        }
    }
}

impl Responder for FrameResponder {
    fn respond(mut self: Box<Self>, answer: PeerAnswer, clock: Hlc) {
        self.send(&answer, clock);
    }
}

impl Drop for FrameResponder {
    fn drop(&mut self) {
        if !self.answered {
            self.counters.responders_dropped.add();
            self.send(&PeerAnswer::Refused(Refusal::Overloaded), Hlc::ZERO);
        }
    }
}

impl Connection {
    /// What the dialler uses it for.
    #[must_use]
    pub fn purpose(&self) -> LanePurpose {
        self.purpose
    }

    /// Serves it on this thread until it ends.
    pub async fn run(self, service: Arc<dyn PeerService>) {
        let from = self.from.clone();
        let why = match tokio::net::TcpStream::from_std(self.stream) {
            Ok(stream) => {
                let (read, write) = stream.into_split();
                let outbox = Arc::new(Outbox::default());
                let Self { from, counters, now, gatekeeper, .. } = self;
                let reader = Reader { from, counters, now, gatekeeper, service };
                let why = tokio::select! {
                    why = reader.run(read, &outbox) => why,
                    why = send(write, &outbox, &reader.counters) => why,
                };
                outbox.state().closed = true;
                why
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(peer = %from, "inbound connection ended: {why}");
    }
}

async fn send(mut write: OwnedWriteHalf, outbox: &Outbox, counters: &TransportCounters) -> String {
    let mut batch = Vec::new();
    loop {
        outbox.filled.notified().await;
        loop {
            reuse(&mut batch);
            let over_bound = {
                let mut state = outbox.state();
                std::mem::swap(&mut batch, &mut state.bytes);
                state.over_bound
            };
            if over_bound {
                counters.outbox_over_bound.add();
                return "the peer reads too slowly".to_owned();
            }
            if batch.is_empty() {
                break;
            }
            counters.bytes_sent.add_many(batch.len() as u64);
            counters.batches_sent.add();
            if let Err(error) = write.write_all(&batch).await {
                return format!("writing failed: {error}");
            }
        }
    }
}

struct Reader {
    from: NodeId,
    counters: Arc<TransportCounters>,
    now: MonotonicClock,
    gatekeeper: Arc<dyn Gatekeeper>,
    service: Arc<dyn PeerService>,
}

impl Reader {
    async fn run(&self, mut read: OwnedReadHalf, outbox: &Arc<Outbox>) -> String {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            match read.read_buf(&mut buffer).await {
                Ok(0) => return "the peer closed it".to_owned(),
                Ok(bytes) => self.counters.bytes_received.add_many(bytes as u64),
                Err(error) => return format!("reading failed: {error}"),
            }
            loop {
                match frame::decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        if let Err(why) = self.arrived(frame, outbox) {
                            tracing::warn!(peer = %self.from, "connection closed: {why}");
                            return why;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.counters.corrupt_frames.add();
                        tracing::warn!(peer = %self.from, "connection closed: {error}");
                        return error.to_string();
                    }
                }
            }
            buffer.reserve(frame::lacking(&buffer).max(READ_BYTES));
        }
    }

    fn arrived(&self, frame: frame::Frame, outbox: &Arc<Outbox>) -> Result<(), String> {
        self.counters.frames_received.add();
        match frame.header.kind {
            Kind::Ping => {
                self.gatekeeper.announced(&self.from, frame.header.clock);
                outbox.put(&Header::bare(Kind::Pong, frame.header.id), None, &self.counters);
                Ok(())
            }
            Kind::Request => self.request(frame, outbox),
            Kind::Answer | Kind::Pong => {
                self.counters.unexpected_frames.add();
                Err("a frame that has no place here".to_owned())
            }
        }
    }

    fn request(&self, frame: frame::Frame, outbox: &Arc<Outbox>) -> Result<(), String> {
        let Header { id, time_left_us, clock, epoch, .. } = frame.header;
        let in_flight = outbox.in_flight.fetch_add(1, Ordering::AcqRel);
        let (outbox, counters) = (outbox.clone(), self.counters.clone());
        let mut responder = FrameResponder { outbox, id, counters, answered: false };
        if in_flight >= IN_FLIGHT_MAX {
            self.counters.requests_over_in_flight.add();
            responder.send(&PeerAnswer::Refused(Refusal::Overloaded), Hlc::ZERO);
            return Ok(());
        }
        if time_left_us == 0 {
            self.counters.requests_expired_on_arrival.add();
            responder.send(&PeerAnswer::Refused(Refusal::Deadline), Hlc::ZERO);
            return Ok(());
        }
        let decoded = codec::decode::<WireRequest>(&frame.payload).map_err(|error| error.to_string());
        let request =
            decoded.and_then(|request| PeerRequest::try_from(request).map_err(|error| error.to_string()));
        let request = request.inspect_err(|_| self.counters.undecodable_messages.add())?;
        let deadline = (self.now)().plus_micros(time_left_us);
        let (from, ring, trace) = (self.from.clone(), RingStamp { epoch }, frame.trace);
        let incoming = Incoming { from, request, deadline, clock, ring, trace };
        self.service.serve(incoming, Box::new(responder));
        Ok(())
    }
}
