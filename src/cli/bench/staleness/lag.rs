//! Slower ways between the nodes of a self-made cluster.
//!
//! On one machine messages take a tenth of a millisecond, and what delays one of them, a busy core, delays all the others
//! with it. Between machines they take longer, each by itself, and it is then that reads are stale. The authors of the
//! model measured it so as well: with delays put in, exponentially distributed (Bailis et al., 2012, section 5.2).
//!
//! Each node is known to the others by the address of a relay that leads to it.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Pieces that are on their way over one connection at the most; then no more is read from it.
const UNDER_WAY_MAX: usize = 1_024;
/// The largest piece, in bytes.
const PIECE: usize = 64 * 1024;
/// How long a connection that comes before its node does waits for it.
const NOT_YET: Duration = Duration::from_millis(20);

/// One relay a node. They end with this value.
pub struct Relays {
    runtime: Option<Runtime>,
    relays: Vec<Relay>,
}

struct Relay {
    port: u16,
    leads_to: Arc<OnceLock<u16>>,
}

impl Relays {
    /// Starts `count` of them, which delay whatever comes by `mean` on average.
    pub fn start(count: u16, mean: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut relays = Vec::new();
        for _ in 0..count {
            let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
            let (port, leads_to) = (listener.local_addr()?.port(), Arc::new(OnceLock::new()));
            runtime.spawn(accept(listener, leads_to.clone(), mean));
            relays.push(Relay { port, leads_to });
        }
        Ok(Self { runtime: Some(runtime), relays })
    }

    /// The nodes n1, n2, … as each other's members, by way of the relays.
    pub fn members(&self) -> String {
        let member = |(at, relay): (usize, &Relay)| format!("n{}@127.0.0.1:{}", at + 1, relay.port);
        self.relays.iter().enumerate().map(member).collect::<Vec<_>>().join(",")
    }

    /// Says where the nodes serve their peers.
    pub fn lead_to(&self, ports: impl Iterator<Item = u16>) {
        for (relay, port) in self.relays.iter().zip(ports) {
            // It is said once.
            let _ = relay.leads_to.set(port);
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, leads_to: Arc<OnceLock<u16>>, mean: Duration) {
    while let Ok((comes, _)) = listener.accept().await {
        let leads_to = leads_to.clone();
        tokio::spawn(async move {
            let port = loop {
                match leads_to.get() {
                    Some(port) => break *port,
                    None => tokio::time::sleep(NOT_YET).await,
                }
            };
            // A node that takes no connection shows as one that closes it.
            let Ok(goes) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            if comes.set_nodelay(true).and_then(|()| goes.set_nodelay(true)).is_err() {
                return;
            }
            let ((comes_in, comes_out), (goes_in, goes_out)) = (comes.into_split(), goes.into_split());
            tokio::spawn(carry(comes_in, goes_out, mean));
            carry(goes_in, comes_out, mean).await;
        });
    }
}

/// Hands on each piece after a delay of its own, but never before the one ahead of it.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mean: Duration) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    tokio::spawn(async move {
        while let Some((due, piece)) = arriving.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut last = Instant::now();
    loop {
        let mut piece = vec![0; PIECE];
        let Ok(read) = from.read(&mut piece).await else { return };
        if read == 0 {
            return;
        }
        piece.truncate(read);
        last = last.max(Instant::now() + delay(mean));
        if under_way.send((last, piece)).await.is_err() {
            return;
        }
    }
}

fn delay(mean: Duration) -> Duration {
    let uniform: f64 = rand::rng().random_range(0.0..1.0);
    mean.mul_f64(-(1.0 - uniform).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_the_mean_that_was_asked_for() {
        let total: f64 = (0..20_000).map(|_| delay(Duration::from_millis(5)).as_secs_f64()).sum();
        assert!((total / 20_000.0 - 0.005).abs() < 0.000_3, "{total}");
    }

    #[test]
    fn what_is_carried_comes_late_whole_and_in_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let relays = Relays::start(1, Duration::from_millis(3)).unwrap();
        let port = relays.relays[0].port;
        assert_eq!(relays.members(), format!("n1@127.0.0.1:{port}"));
        runtime.block_on(async {
            let node = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            relays.lead_to([node.local_addr().unwrap().port()].into_iter());
            let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut served, _) = node.accept().await.unwrap();
            let began = Instant::now();
            for number in 0..50_u8 {
                client.write_all(&[number]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut all = [0; 50];
            served.read_exact(&mut all).await.unwrap();
            assert!(all.iter().enumerate().all(|(at, number)| at == usize::from(*number)), "{all:?}");
            assert!(began.elapsed() >= Duration::from_millis(50));
            drop(client);
            assert_eq!(served.read(&mut all).await.unwrap(), 0, "an end is handed on");
        });
    }
}
