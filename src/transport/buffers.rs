//! Memory of what travels between peers: shares that all connections of a node have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes below which a message, or a change of a buffer, is not counted: bounds on their number suffice.
const COUNTED_FROM: usize = 4 * 1_024;

/// A share of the memory. Its bound is passed by a message at the most.
#[derive(Debug)]
pub struct MemoryShare {
    most: usize,
    taken: AtomicUsize,
}

impl MemoryShare {
    /// A share of which nothing is taken.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// Whether as much is taken as may be.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.most
    }

    /// Whether twice as much is taken: by what was begun before the share was spent.
    #[must_use]
    pub fn is_overspent(&self) -> bool {
        self.taken.load(Ordering::Relaxed) / 2 >= self.most
    }

    /// What one of several may have of it, so that a peer that stands still does not take it from the others.
    #[must_use]
    pub fn of_one(&self) -> usize {
        self.most / 4
    }

    /// Whether there is no room for a message of so many bytes.
    #[must_use]
    pub fn refuses(&self, bytes: usize) -> bool {
        bytes >= COUNTED_FROM && self.is_spent()
    }

    /// Takes room for a message; none for one that is not counted, which costs nothing then.
    #[must_use]
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        (bytes >= COUNTED_FROM).then(|| {
            let mut taken = Taken::of(self);
            taken.set(bytes);
            taken
        })
    }
}

/// What a message or a buffer takes of a share; given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    share: Arc<MemoryShare>,
    bytes: usize,
}

impl Taken {
    /// Nothing of a share.
    #[must_use]
    pub fn of(share: &Arc<MemoryShare>) -> Self {
        Self { share: share.clone(), bytes: 0 }
    }

    /// Takes more, or gives back, so that it is about so much.
    pub fn set(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) < COUNTED_FROM && bytes != 0 || bytes == self.bytes {
            return;
        }
        if bytes > self.bytes {
            self.share.taken.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.share.taken.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The shares of a node.
#[derive(Debug, Clone)]
pub struct PeerMemory {
    /// Requests that wait to be sent, or are on their way. New work is refused once the share is spent, and requests to one
    /// peer once it has its part, or twice the share is taken.
    pub requests: Arc<MemoryShare>,
    /// Requests of peers that are being carried out. Beyond the share they are refused.
    pub arrived: Arc<MemoryShare>,
    /// Answers that peers have not read. Beyond the share their requests are refused.
    pub answers: Arc<MemoryShare>,
}

impl PeerMemory {
    /// Shares of so many bytes. A node asks two others for each of its own clients' writes, and is asked by all others.
    #[must_use]
    pub fn within(bytes: usize) -> Self {
        let fifth = bytes / 5;
        Self {
            requests: MemoryShare::new(fifth),
            arrived: MemoryShare::new(2 * fifth),
            answers: MemoryShare::new(2 * fifth),
        }
    }
}

impl Default for PeerMemory {
    /// Shares where memory is no concern.
    fn default() -> Self {
        Self::within(1 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_passed_by_one_message_and_given_back() {
        let share = MemoryShare::new(10_000);
        let large = share.take(16_000_000).unwrap();
        assert!(share.refuses(5_000) && share.is_overspent());
        assert!(!share.refuses(200), "small ones are bounded by their number");
        drop((large, share.take(200)));
        let two = [share.take(5_000).unwrap(), share.take(5_000).unwrap()];
        assert!(share.refuses(4_096) && !share.is_overspent());
        drop(two);
        assert_eq!(share.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_buffer_counts_as_much_as_it_holds_give_or_take_a_small_message() {
        let share = MemoryShare::new(10_000);
        let mut buffer = Taken::of(&share);
        for (bytes, counted) in [(100, 0), (4_095, 0), (5_000, 5_000), (8_000, 5_000), (700, 700), (0, 0)] {
            buffer.set(bytes);
            assert_eq!(share.taken.load(Ordering::Relaxed), counted, "{bytes}");
        }
        buffer.set(9_000);
        drop(buffer);
        assert_eq!(share.taken.load(Ordering::Relaxed), 0);
    }
}
