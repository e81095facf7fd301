//! One keep-alive connection with at most one request under way.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::waiter::Waiter;
use crate::cli::load::Head;
use crate::client::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 4 * 1024;

/// The connection.
pub struct Connection {
    endpoint: Endpoint,
    number: usize,
    stream: TcpStream,
    /// What did not go out at once.
    unsent: Vec<u8>,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects, and is watched as `number`.
    pub fn open(endpoint: &Endpoint, number: usize, waiter: &Waiter) -> io::Result<Self> {
        let stream = connect(endpoint)?;
        waiter.watch(&stream, number)?;
        Ok(Self {
            endpoint: endpoint.clone(),
            number,
            stream,
            unsent: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        })
    }

    /// Takes the place of one that broke.
    pub fn reopen(&mut self, waiter: &Waiter) -> io::Result<()> {
        self.stream = connect(&self.endpoint)?;
        waiter.watch(&self.stream, self.number)?;
        self.unsent.clear();
        self.filled = 0;
        Ok(())
    }

    /// Sends a request, the last one having been answered.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let sent = match self.stream.write(request) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(request.get(sent..).unwrap_or_default());
        if self.unsent.is_empty() { Ok(()) } else { self.send_on() }
    }

    /// Goes on where it can. The status, once the whole reply is there.
    pub fn go_on(&mut self) -> io::Result<Option<u16>> {
        if !self.unsent.is_empty() {
            self.send_on()?;
        }
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let room_bytes = room.len();
            let read = match self.stream.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            self.filled += read;
            let head = Head::parse(self.buffer.get(..self.filled).unwrap_or_default())?;
            match head.filter(|head| self.filled >= head.length + head.body) {
                Some(head) => {
                    self.filled = 0;
                    return Ok(Some(head.status));
                }
                // What comes next will be told of.
                None if read < room_bytes => return Ok(None),
                None => {}
            }
        }
    }

    fn send_on(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{endpoint}: {error}"));
    let address = endpoint.authority().to_socket_addrs().map_err(named)?.next();
    let address = address.ok_or_else(|| named(io::ErrorKind::NotFound.into()))?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(named)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// When a connection's request was to begin, and when it is given up.
#[derive(Debug, Clone, Copy)]
pub struct UnderWay {
    /// What its latency counts from.
    pub intended: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// Its key's number.
    pub key: u64,
}
