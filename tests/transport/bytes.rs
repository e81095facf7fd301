use std::sync::Arc;

use bytes::BytesMut;
use neap::protocol::ids::{BucketName, RequestId};
use neap::protocol::message::{PeerAnswer, PeerRequest};
use neap::transport::codec;
use neap::transport::frame::{self, Header, Kind};
use neap::transport::wire::{WireAnswer, WireRequest};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::AsyncWriteExt as _;

use super::{Gate, PATIENCE, Server, ask, lane_to, node, run};

fn request_frame() -> Vec<u8> {
    let request = PeerRequest::HoldsBucket(BucketName::new("yes").unwrap());
    let mut bytes = Vec::new();
    frame::encode(&Header::bare(Kind::Request, RequestId(1)), None, &WireRequest::from(&request), &mut bytes)
        .unwrap();
    bytes
}

/// Decodes as the server does, as far as it goes.
fn decode_all(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = frame::decode(&mut buffer) {
        if let Ok(request) = codec::decode::<WireRequest>(&frame.payload) {
            let _ = PeerRequest::try_from(request);
        }
        if let Ok(answer) = codec::decode::<WireAnswer>(&frame.payload) {
            let _ = PeerAnswer::try_from(answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_bytes_are_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
        let _ = codec::decode::<WireRequest>(&bytes).map(PeerRequest::try_from);
        let _ = codec::decode::<WireAnswer>(&bytes).map(PeerAnswer::try_from);
    }

    #[test]
    fn mutated_frames_are_refused_without_harm(at in 0usize..60, to in any::<u8>(), cut in 0usize..80) {
        let mut bytes = request_frame();
        let length = bytes.len();
        bytes[at % length] = to;
        bytes.truncate(length.saturating_sub(cut % length));
        decode_all(&bytes);
    }
}

#[test]
fn random_and_mutated_bytes_on_a_real_socket_harm_nothing() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let mut random = StdRng::seed_from_u64(7);
        for round in 0..400 {
            let mut stranger = tokio::net::TcpStream::connect(&server.address).await.unwrap();
            let mut bytes = match round % 4 {
                0 => vec![0; random.random_range(1..300)],
                1 => request_frame(),
                2 => [&[0, 0, 0, 37][..], b"neap", &[1], &[7; 32]].concat(),
                _ => vec![0xff; 64],
            };
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random_range(0..=255);
            }
            // Whoever is cut off while it writes has been understood.
            let _ = stranger.write_all(&bytes).await;
            drop(stranger);
        }
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        lane.send(&node("b"), ask("yes", 1, PATIENCE));
        answers.wait_for(1).await;
        assert_eq!(answers.of(1), [PeerAnswer::HoldsBucket(true)]);
        assert_eq!(server.counters.handshakes_inbound.get(), 1);
    });
}
