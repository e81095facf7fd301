//! One HTTP/1.1 connection, for one request at a time, with as little work as possible.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::head::{Head, header};
use crate::client::Endpoint;

/// The connection.
pub struct RawConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// A reply. It borrows from the connection until the next request.
#[derive(Debug)]
pub struct RawReply<'a> {
    /// The status code.
    pub status: u16,
    head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl RawReply<'_> {
    /// A header of the reply; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.split(|&byte| byte == b'\n').find_map(|line| header(line, name))
    }
}

/// A name that every node knows itself by: the same bytes go to several.
const HOST: &str = "localhost";

/// The bytes of a request.
#[must_use]
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {HOST}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if matches!(method, "PUT" | "POST") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl RawConnection {
    /// Connects within `timeout`.
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> io::Result<Self> {
        let connecting = TcpStream::connect(endpoint.authority());
        let stream =
            tokio::time::timeout(timeout, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024], filled: 0 })
    }

    /// Sends a request and reads the whole reply. After an error the connection is spent.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<RawReply<'_>> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let Head { status, length: head, body: length } = loop {
            self.fill().await?;
            if let Some(head) = Head::parse(self.buffer.get(..self.filled).unwrap_or_default())? {
                break head;
            }
        };
        while self.filled < head + length {
            self.fill().await?;
        }
        let (head, rest) = self.buffer.split_at_checked(head).unwrap_or_default();
        Ok(RawReply { status, head, body: rest.get(..length).unwrap_or_default() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = self.stream.read(self.buffer.get_mut(self.filled..).unwrap_or_default()).await?;
        self.filled += read;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
