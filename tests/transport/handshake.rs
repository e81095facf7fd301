use std::sync::Arc;

use neap::protocol::membership::NotAdmitted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Gate, PATIENCE, Server, ask, eventually, lane_to, node, run};

#[test]
fn both_sides_prove_the_secret_and_hear_of_each_other() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let gate = Arc::new(Gate::new("a"));
        let (lane, ..) = lane_to(&[("b", &server.address)], gate.clone(), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        assert!(
            gate.has_heard("admitted by b") && gate.has_heard("asked to admit b") && gate.has_heard("b up")
        );
        eventually("the other side too", || server.gate.has_heard("admitted by a")).await;
        assert!(server.gate.has_heard("asked to admit a"));
    });
}

#[test]
fn a_wrong_secret_is_refused_counted_and_learns_nothing() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let gate = Arc::new(Gate::new("a"));
        let (lane, _, counters) = lane_to(&[("b", &server.address)], gate.clone(), "guess");
        eventually("refused", || server.counters.handshake_refused_secret.get() > 0).await;
        eventually("told", || counters.handshake_rejected_by_peer.get() > 0).await;
        assert!(!lane.is_up(&node("b")));
        assert!(!gate.has_heard("admit") && !server.gate.has_heard("admit"));
    });
}

#[test]
fn another_cluster_and_another_node_are_refused() {
    run(async {
        let server = Server::start(Gate::new("b"), "other", "secret", "127.0.0.1:0").await;
        let (_lane, ..) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("the cluster", || server.counters.handshake_refused_cluster.get() > 0).await;
        let server = Server::start(Gate::new("c"), "test", "secret", "127.0.0.1:0").await;
        let (_lane, _, counters) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("the node", || counters.handshake_refused_node.get() > 0).await;
    });
}

#[test]
fn a_refused_identity_is_told_so() {
    run(async {
        let mut gate = Gate::new("b");
        gate.refuse = Some(NotAdmitted { reason: "a backup".to_owned(), identity: true });
        let server = Server::start(gate, "test", "secret", "127.0.0.1:0").await;
        let gate = Arc::new(Gate::new("a"));
        let (_lane, ..) = lane_to(&[("b", &server.address)], gate.clone(), "secret");
        eventually("told", || gate.has_heard("identity refused: a backup")).await;
        assert!(server.counters.handshake_refused_gatekeeper.get() > 0);
    });
}

/// A proxy that plays the server's own words back to it is no member.
#[test]
fn a_reflected_handshake_is_refused() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let mut first = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let mut second = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let hello = [&[0, 0, 0, 37][..], b"neap", &[1], &[7; 32]].concat();
        first.write_all(&hello).await.unwrap();
        second.write_all(&hello).await.unwrap();
        let mut challenge = vec![0; 41];
        first.read_exact(&mut challenge).await.unwrap();
        // What the server said on one connection is all that the stranger can say on the other.
        second.write_all(&challenge).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, second.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(server.counters.handshakes_inbound.get(), 0);
        assert!(!server.gate.has_heard("admit"));
    });
}

#[test]
fn a_peer_that_is_slow_to_shake_hands_is_let_go() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let mut stranger = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(server.counters.handshake_refused_timeout.get(), 1);
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        lane.send(&node("b"), ask("yes", 1, PATIENCE));
        answers.wait_for(1).await;
    });
}

/// Whoever listens at a member's address, without the secret, cannot make a node believe that it is none.
#[test]
fn only_who_knows_the_secret_can_refuse_an_identity() {
    #[derive(serde::Serialize)]
    struct Rejection {
        reason: &'static str,
        identity: bool,
    }
    #[derive(serde::Serialize)]
    enum Reply {
        #[expect(dead_code, reason = "the first of the two kinds")]
        Claim,
        Reject {
            rejection: Rejection,
            mac: [u8; 32],
        },
    }
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Arc::new(Gate::new("a"));
        let (_lane, _, counters) = lane_to(&[("b", &address)], gate.clone(), "secret");
        let (mut stranger, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 41];
        stranger.read_exact(&mut hello).await.unwrap();
        stranger.write_all(&hello).await.unwrap();
        let rejection = Rejection { reason: "a backup", identity: true };
        let mut bytes = Vec::new();
        neap::transport::codec::encode(&Reply::Reject { rejection, mac: [7; 32] }, &mut bytes).unwrap();
        stranger.write_all(&(bytes.len() as u32).to_be_bytes()).await.unwrap();
        stranger.write_all(&bytes).await.unwrap();
        eventually("refused", || counters.handshake_refused_secret.get() > 0).await;
        assert!(!gate.has_heard("identity refused"));
    });
}
