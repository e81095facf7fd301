//! Open files: the bound on them, and the shares of those who open them. A share is a bound that somebody keeps, so that
//! nobody finds none left; least of all the store, whose failed sync ends the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::actors::placement::Placement;
use crate::http::ConnectionBounds;
use crate::storage::StoreBounds;
use crate::transport::{AcceptorBounds, HandshakeBounds};

/// The fewest that a node runs with.
pub const DESCRIPTORS_MIN: usize = 512;

/// Files that the node has open itself: standard streams, listeners, locks, what its parent left open, and those of its
/// connections to a collector.
const OWN: usize = 64;
/// Files of a thread that serves: its poll, its waker, and those of the runtime.
const OF_THREAD: usize = 4;
/// Files that the store has open beside those that it caches: journals, manifests, and tables that are being written,
/// compacted or read.
const STORE_AT_WORK: usize = 48;
/// Clients that get a 503 at a time, since all places are taken.
const CLIENTS_REFUSED: usize = 32;
/// Connections that were accepted and are to be closed at once.
const CLIENTS_CLOSING: usize = 32;
/// Descriptors of a client's connection: the socket, and the copy by which it is ended when its time is up.
const OF_CLIENT: usize = 2;
/// The fewest clients that a node runs with.
const CLIENTS_MIN: usize = 32;
/// Clients of one REST worker.
const CLIENTS_OF_WORKER: usize = 10_000;

/// What a node has to do.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Members beside itself.
    pub peers: usize,
    /// Its threads.
    pub placement: Placement,
}

/// Shares of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The store's.
    pub store: StoreBounds,
    /// The peers'.
    pub peers: AcceptorBounds,
    /// The clients'.
    pub clients: ConnectionBounds,
}

/// Fewer open files are allowed than a node needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{allowed} open files are allowed (ulimit -n, LimitNOFILE), and a node of {members} members needs {needed}"
)]
pub struct TooFewDescriptors {
    /// The limit of the process.
    pub allowed: usize,
    /// The least that it has to be.
    pub needed: usize,
    /// Members of the cluster.
    pub members: usize,
}

impl Descriptors {
    /// Raises the limit of the process as far as it may be raised, and shares it out.
    ///
    /// # Errors
    ///
    /// Too few are allowed.
    pub fn claim(needs: Needs) -> Result<Self, TooFewDescriptors> {
        Self::share(raised(), needs)
    }

    fn share(allowed: usize, needs: Needs) -> Result<Self, TooFewDescriptors> {
        let Needs { peers, placement: Placement { shards, http_workers } } = needs;
        let (shards, workers) = (usize::from(shards), usize::from(http_workers));
        let own = OWN + OF_THREAD * (shards + workers + 1);
        // One connection for each shard and one for control, in each direction, and each may be replaced while the old one
        // is not closed yet. Peers may have more shards.
        let from_here = 2 * (shards + 1) * peers;
        let to_here = ((2 * (shards + 1)).max(8) * peers).max(1);
        let needed = |eighth: usize| own + from_here + to_here + 2 * eighth + STORE_AT_WORK;
        let clients_least = OF_CLIENT * CLIENTS_MIN + CLIENTS_REFUSED + CLIENTS_CLOSING;
        let eighth = (allowed / 8).max(DESCRIPTORS_MIN / 8);
        let least = needed(DESCRIPTORS_MIN / 8) + clients_least;
        if allowed < DESCRIPTORS_MIN.max(least) {
            let needed = DESCRIPTORS_MIN.max(least);
            return Err(TooFewDescriptors { allowed, needed, members: peers + 1 });
        }
        let left = |eighth| allowed.checked_sub(needed(eighth)).filter(|left| *left >= clients_least);
        // What many members need, handshakes and the store's cache do without.
        let (eighth, left) = left(eighth).map_or_else(
            || (DESCRIPTORS_MIN / 8, allowed - needed(DESCRIPTORS_MIN / 8)),
            |left| (eighth, left),
        );
        let handshakes = HandshakeBounds::within(eighth);
        let cached_files = eighth.min(StoreBounds::default().cached_files);
        let clients = (left - CLIENTS_REFUSED - CLIENTS_CLOSING) / OF_CLIENT;
        Ok(Self {
            store: StoreBounds { cached_files, ..StoreBounds::default() },
            peers: AcceptorBounds { peers: to_here, handshakes },
            clients: ConnectionBounds {
                served: clients.min(CLIENTS_OF_WORKER * workers.max(1)),
                refused: CLIENTS_REFUSED,
                closing: CLIENTS_CLOSING,
            },
        })
    }
}

/// The limit, once it is as high as it may be.
fn raised() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: maximum, maximum };
    let allowed = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(
                "no more open files are allowed than now, since the limit cannot be raised: {error}"
            );
            current
        }
    };
    allowed.map_or(usize::MAX / 2, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(peers: usize, shards: u16) -> Needs {
        Needs { peers, placement: Placement { shards, http_workers: shards } }
    }

    /// What all shares come to.
    fn sum(shares: &Descriptors, needs: Needs) -> usize {
        let Placement { shards, http_workers } = needs.placement;
        let own = OWN + OF_THREAD * (usize::from(shards) + usize::from(http_workers) + 1);
        let ConnectionBounds { served, refused, closing } = shares.clients;
        let dialled = 2 * (usize::from(shards) + 1) * needs.peers;
        let accepted = shares.peers.peers + shares.peers.handshakes.connections();
        own + STORE_AT_WORK + shares.store.cached_files + dialled + accepted + 2 * served + refused + closing
    }

    #[test]
    fn shares_stay_within_the_limit_and_more_descriptors_are_more_of_each() {
        for (peers, shards) in [(0, 1), (2, 1), (4, 2), (8, 16), (99, 4)] {
            let mut before: Option<Descriptors> = None;
            for allowed in (256..6_000).step_by(7).chain([65_536, 524_288, 1 << 30]) {
                let needs = needs(peers, shards);
                let Ok(shares) = Descriptors::share(allowed, needs) else {
                    assert!(before.is_none(), "{allowed} are fewer than before");
                    continue;
                };
                assert!(sum(&shares, needs) <= allowed.max(1), "{allowed}: {shares:?}");
                assert!(shares.clients.served >= CLIENTS_MIN, "{allowed}: {shares:?}");
                assert!(shares.store.cached_files >= 64, "{allowed}: {shares:?}");
                assert!(shares.peers.peers >= 4 * peers, "{allowed}: {shares:?}");
                before = Some(shares);
            }
        }
    }

    #[test]
    fn too_few_are_refused_with_the_number_that_suffices() {
        for (allowed, peers, shards) in [(511, 2, 1), (512, 60, 1), (1_024, 200, 8), (600, 8, 16)] {
            let needs = needs(peers, shards);
            let error = Descriptors::share(allowed, needs).unwrap_err();
            assert!(error.to_string().contains(&format!("needs {}", error.needed)), "{error}");
            assert_eq!((error.allowed, error.members), (allowed, peers + 1));
            assert!(Descriptors::share(error.needed, needs).is_ok(), "{error}");
            assert!(Descriptors::share(error.needed - 1, needs).is_err(), "{error}");
        }
        assert!(Descriptors::share(512, needs(2, 1)).is_ok());
        assert!(Descriptors::share(512, needs(4, 2)).is_ok());
    }
}
