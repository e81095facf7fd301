//! Sockets on the peer port that prove nothing: members get in beside them.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Gate, Server, eventually, lane_to, node, run};

/// More than all slots together.
const STRANGERS: usize = 600;
/// What a stranger does after it was cut off, before it is back.
const PAUSE: Duration = Duration::from_millis(300);
/// More than the slots of an address, and fewer than the queue of any listener.
const QUEUED: usize = 100;
/// The first message of a handshake, which proves nothing.
const HELLO: &[u8] = b"\0\0\0\x25neap\x03stranger-stranger-stranger-stran";

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::from(from), 0).into())?;
    socket.connect(to).await
}

/// Strangers who connect from `from`, say `says`, wait until they are cut off, and come again; they end with the test.
async fn strangers(server: &Server, from: Ipv4Addr, says: &'static [u8]) {
    let to = server.address.parse().unwrap();
    for _ in 0..STRANGERS {
        tokio::task::spawn_local(async move {
            loop {
                if let Ok(mut stream) = connect(from, to).await {
                    let _ = stream.write_all(says).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let counters = server.counters.clone();
    let evicted =
        move || counters.handshakes_evicted_silent.get() + counters.handshakes_evicted_greeted.get();
    eventually("the strangers are too many", || evicted() > STRANGERS as u64).await;
}

/// How often a member fails until its connection stands.
async fn failures_until_up(server: &Server) -> u64 {
    let (lane, _, counters) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
    eventually("up", || lane.is_up(&node("b"))).await;
    counters.dial_failures.get()
}

async fn server(members: &[&str]) -> Server {
    Server::start_with(Gate::new("b"), "test", "secret", "127.0.0.1:0", members).await
}

/// Of these addresses Linux alone has more than one.
#[cfg(target_os = "linux")]
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[cfg(target_os = "linux")]
#[test]
fn a_member_is_up_at_its_first_dial_beside_strangers_from_elsewhere_who_say_nothing() {
    run(async {
        let server = server(&["127.0.0.1:7101"]).await;
        strangers(&server, ELSEWHERE, b"").await;
        assert_eq!(failures_until_up(&server).await, 0);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_whose_address_nobody_knows_is_up_at_its_first_dial_beside_strangers_from_elsewhere() {
    run(async {
        let server = server(&[]).await;
        strangers(&server, ELSEWHERE, b"").await;
        assert_eq!(failures_until_up(&server).await, 0);
    });
}

#[test]
fn a_member_is_up_at_its_first_dial_beside_strangers_at_its_own_address_who_say_nothing() {
    run(async {
        let server = server(&["localhost:7101", "127.0.0.1:7102"]).await;
        strangers(&server, Ipv4Addr::LOCALHOST, b"").await;
        assert_eq!(failures_until_up(&server).await, 0);
        assert_eq!(server.counters.handshakes_evicted_greeted.get(), 0);
    });
}

#[test]
fn a_member_is_up_at_its_first_dial_beside_strangers_at_its_own_address_who_greet_and_prove_nothing() {
    run(async {
        let server = server(&["127.0.0.1:7101"]).await;
        strangers(&server, Ipv4Addr::LOCALHOST, HELLO).await;
        assert_eq!(failures_until_up(&server).await, 0);
        assert!(server.counters.handshakes_evicted_greeted.get() > 0);
    });
}

/// As where the acceptor's thread was busy for a moment: all wait in the listener's queue, and are taken at once.
#[test]
fn a_peer_that_has_greeted_is_heard_before_those_behind_it_in_the_queue_take_its_slot() {
    run(async {
        let server = server(&["127.0.0.1:7101"]).await;
        let peer = std::net::TcpStream::connect(&server.address).unwrap();
        (&peer).write_all(HELLO).unwrap();
        let connect = |_| std::net::TcpStream::connect(&server.address).unwrap();
        let behind: Vec<_> = (0..QUEUED).map(connect).collect();
        peer.set_nonblocking(true).unwrap();
        let mut peer = TcpStream::from_std(peer).unwrap();
        let challenge = peer.read_exact(&mut [0; 41]).await;
        assert!(challenge.is_ok(), "{challenge:?}");
        eventually("others make room", || server.counters.handshakes_evicted_silent.get() > 0).await;
        assert_eq!((behind.len(), server.counters.handshakes_evicted_greeted.get()), (QUEUED, 0));
    });
}

#[test]
fn connections_that_stand_are_never_closed_for_strangers() {
    run(async {
        let server = server(&["127.0.0.1:7101"]).await;
        let (lane, _, counters) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        strangers(&server, Ipv4Addr::LOCALHOST, b"").await;
        assert_eq!((lane.is_up(&node("b")), counters.connections_lost.get()), (true, 0));
        assert_eq!(server.counters.connections_over_bound.get(), 0);
    });
}
