//! The accepting side of a connection: requests in, answers out in whatever order they are ready.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::buffers::{MemoryShare, Taken};
use super::counters::TransportCounters;
use super::frame::{self, Header, Kind};
use super::wire::{WireAnswer, WireRequest};
use super::{
    Gatekeeper, Incoming, LanePurpose, MonotonicClock, PeerAnswer, PeerMemory, PeerRequest, PeerService,
    Responder, codec, reuse,
};
use crate::protocol::ids::{NodeId, RequestId};
use crate::protocol::message::Refusal;
use crate::protocol::time::Hlc;

/// Requests of one connection that may be unanswered.
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Bytes of answers that may wait for a peer to read them; beyond, its connection is closed.
pub const OUTBOX_MAX: usize = 64 * 1024 * 1024;

/// A dialler pings every second. Where nothing comes for so long, twice in a row (once may be this node's own pause), it is
/// gone without a word, as a machine that lost its power is.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(5);

const READ_BYTES: usize = 64 * 1024;

/// A connection whose handshake is done. It can be sent to the thread that is to run it.
pub struct Connection {
    pub(super) stream: std::net::TcpStream,
    pub(super) from: NodeId,
    pub(super) purpose: LanePurpose,
    pub(super) counters: Arc<TransportCounters>,
    pub(super) now: MonotonicClock,
    pub(super) gatekeeper: Arc<dyn Gatekeeper>,
    pub(super) silence_max: Duration,
    pub(super) memory: PeerMemory,
    pub(super) _slot: tokio::sync::OwnedSemaphorePermit,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} for {:?})", self.from, self.purpose)
    }
}

/// Answers on their way out.
#[derive(Debug)]
struct Outbox {
    /// Memory of all outboxes.
    share: Arc<MemoryShare>,
    state: Mutex<OutboxState>,
    filled: Notify,
    over_bound: Notify,
    in_flight: AtomicUsize,
}

#[derive(Debug)]
struct OutboxState {
    bytes: Vec<u8>,
    taken: Taken,
    closed: bool,
}

impl OutboxState {
    fn close(&mut self) {
        self.bytes = Vec::new();
        self.taken.set(0);
        self.closed = true;
    }
}

impl Outbox {
    fn new(share: Arc<MemoryShare>) -> Self {
        let state = OutboxState { bytes: Vec::new(), taken: Taken::of(&share), closed: false };
        Self {
            share,
            state: Mutex::new(state),
            filled: Notify::new(),
            over_bound: Notify::new(),
            in_flight: AtomicUsize::new(0),
        }
    }

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
            let refused = WireAnswer::Refused(Refusal::TooLargeToSend.into());
            // So short a message always fits.
            let _ = frame::encode(header, None, &refused, &mut state.bytes);
        }
        counters.frames_sent.add();
        if state.bytes.len() > OUTBOX_MAX {
            // Whoever writes may be waiting for the peer, so it is not left to that.
            state.close();
            self.over_bound.notify_one();
            return true;
        }
        let OutboxState { bytes, taken, .. } = &mut *state;
        taken.set(bytes.len());
        drop(state);
        self.filled.notify_one();
        true
    }
}

struct FrameResponder {
    outbox: Arc<Outbox>,
    id: RequestId,
    counters: Arc<TransportCounters>,
    answered: bool,
    _room: Option<Taken>,
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
                let outbox = Arc::new(Outbox::new(self.memory.answers.clone()));
                let Self { from, counters, now, gatekeeper, silence_max, memory, .. } = self;
                let reader = Reader { from, counters, now, gatekeeper, memory, service };
                let heard = AtomicBool::new(true);
                let why = tokio::select! {
                    why = reader.run(read, &outbox, &heard) => why,
                    why = send(write, &outbox, &reader.counters) => why,
                    () = outbox.over_bound.notified() => {
                        reader.counters.outbox_over_bound.add();
                        "the peer reads too slowly".to_owned()
                    }
                    () = silence(&heard, silence_max) => {
                        reader.counters.silent_connections.add();
                        "nothing was heard for too long".to_owned()
                    }
                };
                outbox.state().close();
                why
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(peer = %from, "inbound connection ended: {why}");
    }
}

/// Ends once nothing was heard for twice so long in a row.
async fn silence(heard: &AtomicBool, max: Duration) {
    let mut silent = 0;
    while silent < 2 {
        tokio::time::sleep(max).await;
        silent = if heard.swap(false, Ordering::Relaxed) { 0 } else { silent + 1 };
    }
}

async fn send(mut write: OwnedWriteHalf, outbox: &Outbox, counters: &TransportCounters) -> String {
    let mut batch = Vec::new();
    let mut on_the_way = Taken::of(&outbox.share);
    loop {
        outbox.filled.notified().await;
        loop {
            reuse(&mut batch);
            {
                let mut state = outbox.state();
                std::mem::swap(&mut batch, &mut state.bytes);
                state.taken.set(0);
            }
            on_the_way.set(batch.len());
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
    memory: PeerMemory,
    service: Arc<dyn PeerService>,
}

impl Reader {
    async fn run(&self, mut read: OwnedReadHalf, outbox: &Arc<Outbox>, heard: &AtomicBool) -> String {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            match read.read_buf(&mut buffer).await {
                Ok(0) => return "the peer closed it".to_owned(),
                Ok(bytes) => {
                    heard.store(true, Ordering::Relaxed);
                    self.counters.bytes_received.add_many(bytes as u64);
                }
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
        let Header { id, time_left_us, clock, .. } = frame.header;
        let in_flight = outbox.in_flight.fetch_add(1, Ordering::AcqRel);
        let (outbox, counters) = (outbox.clone(), self.counters.clone());
        let bytes = frame.payload.len();
        let too_much = outbox.share.is_spent() || self.memory.arrived.refuses(bytes);
        let room = self.memory.arrived.take(bytes).filter(|_| !too_much);
        let mut responder = FrameResponder { outbox, id, counters, answered: false, _room: room };
        if too_much {
            self.counters.requests_over_memory.add();
            responder.send(&PeerAnswer::Refused(Refusal::Overloaded), Hlc::ZERO);
            return Ok(());
        }
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
        let (from, trace) = (self.from.clone(), frame.trace);
        let incoming = Incoming { from, request, deadline, clock, trace };
        self.service.serve(incoming, Box::new(responder));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::protocol::ids::Epoch;
    use crate::protocol::membership::{Identity, NotAdmitted};
    use crate::protocol::time::Moment;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Nobody;

    impl Gatekeeper for Nobody {
        fn identity(&self) -> Identity {
            unreachable!("there is no handshake here")
        }
        fn admit(&self, _: &Identity) -> Result<(), NotAdmitted> {
            Ok(())
        }
        fn identity_refused(&self, _: &str) {}
        fn admitted(&self, _: &NodeId) {}
        fn ceiling(&self) -> Hlc {
            Hlc::ZERO
        }
        fn announced(&self, _: &NodeId, _: Hlc) {}
        fn connected(&self, _: &NodeId, _: bool) {}
    }

    /// Answers each request at length.
    struct AtLength;

    impl PeerService for AtLength {
        fn serve(&self, _: Incoming, responder: Box<dyn Responder>) {
            responder.respond(PeerAnswer::SloSummary(vec![7; 1 << 20].into()), Hlc::ZERO);
        }
    }

    /// A connection that runs, the other side of it, and its slot.
    async fn connected(
        silence_max: Duration,
    ) -> (TcpStream, tokio::task::JoinHandle<()>, Arc<TransportCounters>, Arc<Semaphore>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = listener.accept().await.unwrap().0.into_std().unwrap();
        let (counters, slots) = (Arc::new(TransportCounters::default()), Arc::new(Semaphore::new(1)));
        let connection = Connection {
            stream,
            from: NodeId::new("n2").unwrap(),
            purpose: LanePurpose::Control,
            counters: counters.clone(),
            now: || Moment(1),
            gatekeeper: Arc::new(Nobody),
            silence_max,
            memory: PeerMemory::default(),
            _slot: slots.clone().try_acquire_owned().unwrap(),
        };
        let task = tokio::task::spawn_local(connection.run(Arc::new(AtLength)));
        (other, task, counters, slots)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(test));
    }

    fn request(id: u64) -> Vec<u8> {
        let epoch = Epoch(1);
        let header = Header { time_left_us: 1_000_000, epoch, ..Header::bare(Kind::Request, RequestId(id)) };
        let mut bytes = Vec::new();
        frame::encode(&header, None, &WireRequest::from(&PeerRequest::SloSummary), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_peer_that_reads_no_answers_is_let_go_though_the_last_write_never_ends() {
        run(async {
            let (other, task, counters, slots) = connected(PATIENCE).await;
            let mut other = other.into_std().unwrap();
            for id in 0..200 {
                other.write_all(&request(id)).unwrap();
                tokio::task::yield_now().await;
            }
            tokio::time::timeout(PATIENCE, task).await.expect("it goes on").unwrap();
            assert_eq!((counters.outbox_over_bound.get(), slots.available_permits()), (1, 1));
            let sent = counters.frames_sent.get();
            assert!(sent > 64, "{sent}");
        });
    }

    #[test]
    fn a_peer_that_is_gone_without_a_word_is_let_go() {
        run(async {
            let (other, task, counters, slots) = connected(Duration::from_millis(100)).await;
            let mut ping = Vec::new();
            frame::encode(&Header::bare(Kind::Ping, RequestId(0)), None, &(), &mut ping).unwrap();
            let mut other = other.into_std().unwrap();
            for _ in 0..20 {
                other.write_all(&ping).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(!task.is_finished(), "it pings");
            tokio::time::timeout(PATIENCE, task).await.expect("it goes on").unwrap();
            assert_eq!((counters.silent_connections.get(), slots.available_permits()), (1, 1));
        });
    }
}
