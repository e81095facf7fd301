//! A bound on connections, and an end for those whose clients neither go on nor go away.
//!
//! Connections beyond the bound get a 503 and are closed; beyond a second bound they are closed at once. So a node never lacks
//! descriptors for its disk because of its clients.
//!
//! The framework gives the first head on a connection a time to arrive, a whole connection that idles an end, and a
//! client that reads nothing for ever none; nor has it one for a head that is begun after the first request. So each
//! connection is watched: between requests it may be for as long as idling and a head may take together, and what is
//! sent to a client must be taken up by it within [`STALLED_MS`].

use std::any::Any;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use tokio::net::TcpStream;

/// How long what is sent may lie unread, in milliseconds: the system ends the connection then (`TCP_USER_TIMEOUT`).
pub const STALLED_MS: u32 = 10_000;

/// How often connections are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How fast a client must take a reply at least, in bytes a second, beside the time that it may idle.
const SLOWEST: u64 = 64 * 1024;

/// A request is being served.
const BUSY: u64 = u64::MAX;

/// Bounds on connections of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Connections that are served.
    pub served: usize,
    /// Connections beyond them that get a 503.
    pub refused: usize,
    /// Connections beyond both that may be accepted before they are closed.
    pub closing: usize,
}

impl ConnectionBounds {
    /// Connections that each of so many workers may have.
    #[must_use]
    pub fn of_worker(self, workers: usize) -> usize {
        (self.served + self.refused + self.closing) / workers.max(1)
    }
}

impl Default for ConnectionBounds {
    /// Bounds where descriptors are no concern.
    fn default() -> Self {
        Self { served: 10_000, refused: 64, closing: 64 }
    }
}

/// Room for a connection; free again once this is dropped.
#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    of: fn(&Shared) -> &AtomicUsize,
}

impl Drop for Room {
    fn drop(&mut self) {
        (self.of)(&self.shared).fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection beyond the bound. Nothing that it asks for is carried out.
#[derive(Debug)]
pub struct Refused {
    /// Connections that are served.
    pub served_max: usize,
    /// None where it is closed already, so that nobody hears the answer.
    _room: Option<Room>,
}

/// One connection that is served. It lives as long as the framework keeps it.
#[derive(Debug)]
pub struct Watched {
    _room: Room,
    socket: OwnedFd,
    started: Instant,
    /// Since when no request is being served and its reply should be with the client, in milliseconds after `started`, or
    /// [`BUSY`].
    idle_since: AtomicU64,
}

impl Watched {
    /// From now until the returned value is dropped, a request is being served.
    pub fn serve(&self) -> Serving<'_> {
        self.idle_since.store(BUSY, Ordering::Relaxed);
        Serving { connection: self, sending_ms: 0 }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }
}

/// A request that is being served.
pub struct Serving<'a> {
    connection: &'a Watched,
    sending_ms: u64,
}

impl Serving<'_> {
    /// So many bytes are left to be sent to the client, which may take its time.
    pub fn sends(&mut self, bytes: u64) {
        self.sending_ms = bytes.saturating_mul(1_000) / SLOWEST;
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let since = self.connection.now_ms().saturating_add(self.sending_ms).min(BUSY - 1);
        self.connection.idle_since.store(since, Ordering::Relaxed);
    }
}

/// All connections.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bounds: ConnectionBounds,
    served: AtomicUsize,
    refused: AtomicUsize,
    watched: Mutex<Vec<Weak<Watched>>>,
    overdue: AtomicU64,
    refused_ever: AtomicU64,
    closed: AtomicU64,
}

impl Connections {
    /// No connections yet.
    #[must_use]
    pub fn new(bounds: ConnectionBounds) -> Self {
        Self(Arc::new(Shared { bounds, ..Shared::default() }))
    }

    /// Connections that were ended or refused, by reason.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("http_connections_overdue", self.0.overdue.load(Ordering::Relaxed)),
            ("http_connections_refused", self.0.refused_ever.load(Ordering::Relaxed)),
            ("http_connections_closed", self.0.closed.load(Ordering::Relaxed)),
        ]
    }

    fn room(&self, of: fn(&Shared) -> &AtomicUsize, most: usize) -> Option<Room> {
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = of(&self.0).fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| Room { shared: self.0.clone(), of })
    }

    /// Watches a connection that was accepted, or has it refused.
    pub fn accepted(&self, stream: &dyn Any, of_connection: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<TcpStream>() else { return };
        let ConnectionBounds { served, refused, .. } = self.0.bounds;
        let Some(room) = self.room(|shared| &shared.served, served) else {
            let room = self.room(|shared| &shared.refused, refused);
            if room.is_some() {
                self.0.refused_ever.fetch_add(1, Ordering::Relaxed);
            } else {
                self.0.closed.fetch_add(1, Ordering::Relaxed);
                // One that is closed already is closed. A request that has arrived will be read all the same.
                let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Both);
            }
            of_connection.insert(Refused { served_max: served, _room: room });
            return;
        };
        // A socket that has none of this has ended already.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, STALLED_MS);
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let watched =
            Arc::new(Watched { _room: room, socket, started: Instant::now(), idle_since: AtomicU64::new(0) });
        self.watched().push(Arc::downgrade(&watched));
        of_connection.insert(watched);
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Watched>>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends connections that were between requests for longer than `patience`, for as long as this is polled.
    pub async fn watch(self, patience: Duration) {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(BUSY);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.watched()
                .retain(|watched| watched.upgrade().is_some_and(|watched| self.look(&watched, patience_ms)));
        }
    }

    /// Whether to go on watching.
    fn look(&self, watched: &Watched, patience_ms: u64) -> bool {
        let since = watched.idle_since.load(Ordering::Relaxed);
        let overdue = since != BUSY && watched.now_ms().saturating_sub(since) > patience_ms;
        if overdue {
            self.0.overdue.fetch_add(1, Ordering::Relaxed);
            // One that is closed already is closed.
            let _ = rustix::net::shutdown(&watched.socket, rustix::net::Shutdown::Both);
        }
        !overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_has_time_to_take_a_long_reply_and_none_to_idle_for_ever() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connections, mut of_connection) = (Connections::default(), Extensions::new());
        connections.accepted(&stream, &mut of_connection);
        let watched = of_connection.get::<Arc<Watched>>().unwrap();
        let mut serving = watched.serve();
        assert!(connections.look(watched, 0), "it is served");
        serving.sends(1 << 20);
        drop(serving);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(connections.look(watched, 0), "it is taking the reply");
        drop(watched.serve());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(connections.look(watched, 1_000), "it idles");
        assert!(!connections.look(watched, 0) && connections.counters()[0].1 == 1);
    }
}
