//! Bytes on the peer port that come from no peer, and between two peers that come from neither.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::Nodes;
use crate::cluster::{self, PATIENCE};
use crate::transport::{Gate, lane_to, node};

fn hello() -> Vec<u8> {
    [&[0, 0, 0, 37][..], b"neap", &[1], &[7; 32]].concat()
}

/// A frame that claims to be of the longest there are, and longer.
fn oversized_frame() -> Vec<u8> {
    [&b"np\x01\x01"[..], &u32::MAX.to_be_bytes(), &[0; 8]].concat()
}

#[test]
fn strangers_on_the_peer_port_are_cut_off_counted_and_harm_nothing() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        let port = nodes.cluster.nodes()[0].peer_port;
        let rows = [
            ("noise", vec![0xff; 4096]),
            ("HTTP", b"GET / HTTP/1.1\r\nhost: t\r\n\r\n".to_vec()),
            ("a hello of 4 GiB", [&u32::MAX.to_be_bytes()[..], &[0; 64]].concat()),
            ("a hello that is empty", vec![0; 4]),
            ("a frame before the handshake", oversized_frame()),
            ("a hello of another version", [&[0, 0, 0, 37][..], b"neap", &[99], &[7; 32]].concat()),
            ("a hello, then noise", [hello(), vec![0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]].concat()),
            ("a hello, then a claim of 4 GiB", [hello(), u32::MAX.to_be_bytes().to_vec()].concat()),
        ];
        let before = nodes.counter("transport_handshakes_inbound");
        for (what, bytes) in &rows {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Whoever is cut off while it writes has been understood.
            let _ = stream.write_all(bytes);
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}"),
            }
        }
        let refused = nodes.counter("transport_handshake_refused_malformed")
            + nodes.counter("transport_handshake_refused_version")
            + nodes.counter("transport_handshake_refused_secret")
            + nodes.counter("transport_handshake_broken");
        assert!(refused >= rows.len() as u64, "{refused} of {} are counted", rows.len());

        let address = format!("127.0.0.1:{port}");
        let (lane, _, counters) = lane_to(&[("n1", &address)], Arc::new(Gate::new("n2")), "guess");
        cluster::eventually("told", async || counters.handshake_rejected_by_peer.get() > 0).await;
        assert!(!lane.is_up(&node("n1")));
        drop(lane);
        assert!(nodes.counter("transport_handshake_refused_secret") > 0);
        assert_eq!(nodes.counter("transport_handshakes_inbound"), before, "nobody was let in");
        nodes.unharmed().await;
    });
}

/// Lies between a node and its peers, on a thread of its own, and can put bytes into every connection, both ways.
struct Between {
    inject: broadcast::Sender<Vec<u8>>,
    passed: Arc<AtomicUsize>,
}

impl Between {
    fn start(listen: u16, behind: u16) -> Self {
        let (inject, _) = broadcast::channel(16);
        let passed = Arc::new(AtomicUsize::new(0));
        let (sender, count) = (inject.clone(), passed.clone());
        let listener = std::net::TcpListener::bind(("127.0.0.1", listen)).unwrap();
        listener.set_nonblocking(true).unwrap();
        // It ends with the process: it is idle once the nodes are gone.
        std::thread::spawn(move || {
            cluster::run(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((near, _)) = listener.accept().await {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", behind)).await else { continue };
                    count.fetch_add(1, Ordering::Relaxed);
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::task::spawn_local(carry(near_read, far_write, sender.subscribe()));
                    tokio::task::spawn_local(carry(far_read, near_write, sender.subscribe()));
                }
            });
        });
        Self { inject, passed }
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut injected: broadcast::Receiver<Vec<u8>>,
) {
    let mut piece = vec![0; 64 << 10];
    loop {
        tokio::select! {
            read = from.read(&mut piece) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => if to.write_all(&piece[..length]).await.is_err() { return },
            },
            Ok(bytes) = injected.recv() => if to.write_all(&bytes).await.is_err() { return },
        }
    }
}

#[test]
fn garbage_and_oversized_frames_between_peers_break_their_connections_and_nothing_else() {
    cluster::run(async {
        let mut nodes = Nodes::start().await;
        // n1 goes on listening elsewhere, and what lies between where its peers look for it.
        let asked_at = nodes.cluster.nodes()[0].peer_port;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        nodes.cluster.kill(0).unwrap();
        nodes.cluster.spawn_with(0, &["--set", &format!("peer.listen=127.0.0.1:{free}")]).unwrap();
        let between = Between::start(asked_at, free);
        nodes.cluster.ready().await.unwrap();
        cluster::eventually("peers dial n1", async || between.passed() > 0).await;
        for (bytes, counter) in [
            (vec![0xff; 100], "transport_corrupt_frames"),
            (oversized_frame(), "transport_corrupt_frames"),
            // The right magic, version and kind, a length that fits, and a checksum that does not.
            ([&b"np\x01\x01"[..], &34_u32.to_be_bytes(), &[9; 42]].concat(), "transport_corrupt_frames"),
        ] {
            let (before, passed) = (nodes.counter(counter), between.passed());
            // What meets a handshake is counted as that; it is sent again, to a connection that stands.
            cluster::eventually("counted", async || {
                between.inject.send(bytes.clone()).unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                nodes.counter(counter) > before
            })
            .await;
            cluster::eventually("dialled again", async || between.passed() > passed).await;
        }
        cluster::eventually("all three have a write", async || {
            nodes.ask(&super::rows::put("/v1/kv/b/after?w=3".to_owned()).body("v")).status < 300
        })
        .await;
        nodes.unharmed().await;
    });
}
