//! The head of an HTTP/1.1 reply: as much of it as a load generator needs.

use std::io;

/// The largest head that is read, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// The largest body.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What a head says of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// How long the head is, in bytes.
    pub length: usize,
    /// How long the body is that follows.
    pub body: usize,
}

impl Head {
    /// Of what has been read so far; none until the head is complete.
    pub fn parse(read: &[u8]) -> io::Result<Option<Self>> {
        let (mut length, mut body) = (0, None);
        for line in read.split_inclusive(|&byte| byte == b'\n') {
            if !line.ends_with(b"\n") {
                break;
            }
            length += line.len();
            if line == b"\r\n" {
                return Self::complete(read, length, body).map(Some);
            }
            // Most lines are told apart by their first letter.
            if line.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'c'))
                && let Some(value) = header(line, "content-length")
            {
                body = value.parse().ok();
            }
        }
        if read.len() > HEAD_MAX { Err(malformed("the head of a reply is too long")) } else { Ok(None) }
    }

    fn complete(read: &[u8], length: usize, body: Option<usize>) -> io::Result<Self> {
        let code = read.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
        let status =
            code.and_then(|code| code.parse().ok()).ok_or_else(|| malformed("a reply without status"))?;
        match body {
            Some(body) if body > BODY_MAX => Err(malformed("the body of a reply is too long")),
            Some(body) => Ok(Self { status, length, body }),
            None if status == 204 || status == 304 => Ok(Self { status, length, body: 0 }),
            None => Err(malformed("a reply without length")),
        }
    }
}

/// The value of a line of a head, if that is the header `name`.
pub(super) fn header<'a>(line: &'a [u8], name: &str) -> Option<&'a str> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).ok().map(str::trim))?
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_known_once_its_empty_line_has_come() {
        let reply = b"HTTP/1.1 200 OK\r\nX: c\r\nContent-Length: 5\r\n\r\nhello";
        let head = reply.len() - 5;
        for read in 0..head {
            assert_eq!(Head::parse(&reply[..read]).unwrap(), None, "{read}");
        }
        let expected = Head { status: 200, length: head, body: 5 };
        for read in head..=reply.len() {
            assert_eq!(Head::parse(&reply[..read]).unwrap(), Some(expected), "{read}");
        }
    }

    #[test]
    fn only_a_status_that_has_no_body_needs_no_length() {
        let parse = |status| Head::parse(format!("HTTP/1.1 {status}\r\na: b\r\n\r\n").as_bytes());
        assert_eq!(parse("204 No Content").unwrap().unwrap().body, 0);
        assert!(parse("200 OK").is_err() && parse("no status").is_err());
    }

    #[test]
    fn a_reply_that_does_not_end_is_refused() {
        assert!(Head::parse(&[b'a'; HEAD_MAX]).unwrap().is_none());
        assert!(Head::parse(&[b'a'; HEAD_MAX + 1]).is_err());
        let body = BODY_MAX + 1;
        assert!(
            Head::parse(format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n").as_bytes()).is_err()
        );
    }
}
