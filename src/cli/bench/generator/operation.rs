//! What is asked, and the bytes of it.

use std::fmt;
use std::str::FromStr;

use crate::cli::load::request;

/// The bucket that benchmarks use as a rule.
pub const BUCKET: &str = "bench";
/// How many keys there can be: their numbers have eight digits.
pub const KEYS_MAX: u64 = 100_000_000;
const DIGITS: usize = 8;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// Reads.
    Get {
        /// Their R.
        r: u8,
    },
    /// Writes.
    Put {
        /// Their W.
        w: u8,
    },
    /// Both.
    Mix {
        /// The share of reads.
        reads: f64,
        /// Their R.
        r: u8,
        /// The W of the writes.
        w: u8,
    },
}

impl Operation {
    /// Its name in rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Mix { .. } => "mix",
        }
    }

    /// The R of its reads.
    pub fn r(self) -> Option<u8> {
        match self {
            Self::Get { r } | Self::Mix { r, .. } => Some(r),
            Self::Put { .. } => None,
        }
    }

    /// The W of its writes.
    pub fn w(self) -> Option<u8> {
        match self {
            Self::Put { w } | Self::Mix { w, .. } => Some(w),
            Self::Get { .. } => None,
        }
    }

    /// The share of reads in it.
    pub fn reads(self) -> f64 {
        match self {
            Self::Get { .. } => 1.0,
            Self::Put { .. } => 0.0,
            Self::Mix { reads, .. } => reads,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { r } => write!(f, "get:{r}"),
            Self::Put { w } => write!(f, "put:{w}"),
            Self::Mix { reads, r, w } => write!(f, "mix:{reads}:{r}:{w}"),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not get:R, put:W or mix:SHARE[:R:W], such as get:1, put:2 or mix:0.9:1:2")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let count = |text: &str| text.parse::<u8>().map_err(|_| wrong());
        match *parts.as_slice() {
            ["get", r] => Ok(Self::Get { r: count(r)? }),
            ["put", w] => Ok(Self::Put { w: count(w)? }),
            ["mix", reads] => Ok(Self::Mix { reads: share(reads).ok_or_else(wrong)?, r: 2, w: 2 }),
            ["mix", reads, r, w] => {
                Ok(Self::Mix { reads: share(reads).ok_or_else(wrong)?, r: count(r)?, w: count(w)? })
            }
            _ => Err(wrong()),
        }
    }
}

fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// The requests of an operation: made once, after which only the digits of the key change.
pub struct Requests {
    get: Template,
    put: Template,
}

impl Requests {
    /// With values of so many bytes. What is left out goes by the bucket's settings.
    pub fn new(bucket: &str, (r, w): (Option<u8>, Option<u8>), value_bytes: u32) -> Self {
        let query = |name: &str, count: Option<u8>| {
            count.map_or_else(String::new, |count| format!("?{name}={count}"))
        };
        Self {
            get: Template::new("GET", bucket, &query("r", r), &[]),
            put: Template::new("PUT", bucket, &query("w", w), &value(value_bytes)),
        }
    }

    /// The bytes of a read of a key, or of a write to it.
    pub fn of(&mut self, reads: bool, key: u64) -> &[u8] {
        if reads { self.get.of(key) } else { self.put.of(key) }
    }
}

/// Bytes that no compression makes smaller, the same ones every time.
fn value(bytes: u32) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = || {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes as usize).collect()
}

struct Template {
    bytes: Vec<u8>,
    digits: usize,
}

impl Template {
    fn new(method: &str, bucket: &str, query: &str, body: &[u8]) -> Self {
        let before = format!("/v1/kv/{bucket}/key-");
        let target = format!("{before}{:0DIGITS$}{query}", 0);
        Self { bytes: request(method, &target, &[], body), digits: method.len() + 1 + before.len() }
    }

    fn of(&mut self, key: u64) -> &[u8] {
        let digits = self.bytes.get_mut(self.digits..self.digits + DIGITS).unwrap_or_default();
        let mut rest = key;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::load::key_name;

    #[test]
    fn a_request_is_that_of_its_key() {
        let mut requests = Requests::new(BUCKET, (Some(1), None), 3);
        for key in [0, 7, 12_345_678, KEYS_MAX - 1] {
            let target = format!("/v1/kv/{BUCKET}/{}", key_name(key));
            assert_eq!(requests.of(true, key), request("GET", &format!("{target}?r=1"), &[], &[]));
            assert_eq!(requests.of(false, key), request("PUT", &target, &[], &value(3)));
        }
    }

    #[test]
    fn operations_are_read_as_they_are_written() {
        for text in ["get:1", "put:3", "mix:0.9:1:2"] {
            assert_eq!(text.parse::<Operation>().unwrap().to_string(), text);
        }
        assert_eq!("mix:0.5".parse(), Ok(Operation::Mix { reads: 0.5, r: 2, w: 2 }));
        for text in ["get", "get:", "put:x", "post:1", "mix:1.1", "mix:0.5:1", "mix:nan"] {
            assert!(text.parse::<Operation>().unwrap_err().contains("mix:SHARE"), "{text}");
        }
    }
}
