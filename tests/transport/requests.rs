use std::sync::Arc;
use std::time::Duration;

use neap::protocol::message::{PeerAnswer, Refusal};
use neap::transport::Outgoing;

use super::{Gate, PATIENCE, Server, ask, eventually, lane_to, node, now, run};

#[test]
fn ten_thousand_pipelined_requests_get_an_answer_each() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        for batch in 0..10 {
            for tag in batch * 1_000..(batch + 1) * 1_000 {
                lane.send(&node("b"), ask(if tag % 2 == 0 { "yes" } else { "no" }, tag, PATIENCE));
            }
            answers.wait_for((batch as usize + 1) * 1_000).await;
        }
        for tag in 0..10_000 {
            assert_eq!(answers.of(tag), [PeerAnswer::HoldsBucket(tag % 2 == 0)]);
        }
    });
}

#[test]
fn a_request_that_lacks_a_connection_dials_and_is_served_within_its_deadline() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        lane.send(&node("b"), ask("yes", 1, PATIENCE));
        answers.wait_for(1).await;
        assert_eq!(answers.of(1), [PeerAnswer::HoldsBucket(true)]);
    });
}

#[test]
fn a_request_without_an_answer_ends_at_its_deadline_and_exactly_once() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, counters) =
            lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        lane.send(&node("b"), ask("never", 1, Duration::from_millis(50)));
        lane.send(&node("b"), ask("drop", 2, PATIENCE));
        lane.send(&node("b"), ask("yes", 3, Duration::ZERO));
        lane.send(&node("z"), ask("yes", 4, PATIENCE));
        answers.wait_for(4).await;
        assert_eq!(answers.of(1), [PeerAnswer::Refused(Refusal::NoAnswer)]);
        assert_eq!(answers.of(2), [PeerAnswer::Refused(Refusal::Overloaded)]);
        assert_eq!(answers.of(3), [PeerAnswer::Refused(Refusal::Deadline)]);
        assert_eq!(answers.of(4), [PeerAnswer::Refused(Refusal::NotSent)]);
        assert_eq!(counters.requests_unanswered.get(), 1);
    });
}

#[test]
fn a_request_that_ended_unsent_is_never_sent() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        // What lies between lets nothing through until it is told to.
        let between = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = between.local_addr().unwrap().to_string();
        let (open, opened) = tokio::sync::oneshot::channel::<()>();
        let behind = server.address.clone();
        tokio::task::spawn_local(async move {
            let (mut near, _) = between.accept().await.unwrap();
            opened.await.unwrap();
            let mut far = tokio::net::TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        let (lane, answers, _) = lane_to(&[("b", &address)], Arc::new(Gate::new("a")), "secret");
        lane.send(&node("b"), ask("no", 1, Duration::from_millis(50)));
        lane.send(&node("b"), ask("yes", 2, PATIENCE));
        answers.wait_for(1).await;
        assert_eq!(answers.of(1), [PeerAnswer::Refused(Refusal::NotSent)]);
        open.send(()).unwrap();
        answers.wait_for(2).await;
        assert_eq!(answers.of(2), [PeerAnswer::HoldsBucket(true)]);
        assert_eq!(server.counters.frames_received.get(), 1);
    });
}

#[test]
fn what_was_sent_when_the_connection_broke_is_unknown_and_the_peer_is_dialled_again() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let gate = Arc::new(Gate::new("a"));
        let (lane, answers, _) = lane_to(&[("b", &server.address)], gate.clone(), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        lane.send(&node("b"), ask("never", 1, PATIENCE));
        eventually("it arrived", || server.counters.frames_received.get() >= 1).await;
        let address = server.stop().await;
        answers.wait_for(1).await;
        assert_eq!(answers.of(1), [PeerAnswer::Refused(Refusal::NoAnswer)]);
        eventually("down", || gate.has_heard("b down")).await;
        eventually("known to be down", || lane.is_down(&node("b"))).await;
        lane.send(&node("b"), ask("yes", 2, PATIENCE));
        answers.wait_for(2).await;
        assert_eq!(answers.of(2), [PeerAnswer::Refused(Refusal::NotSent)], "nobody listens: refused at once");
        let again = Server::start(Gate::new("b"), "test", "secret", &address).await;
        eventually("up again", || lane.is_up(&node("b"))).await;
        assert!(!lane.is_down(&node("b")));
        lane.send(&node("b"), ask("yes", 3, PATIENCE));
        answers.wait_for(3).await;
        assert_eq!(answers.of(3), [PeerAnswer::HoldsBucket(true)]);
        drop(again);
    });
}

#[test]
fn a_peer_that_reads_nothing_holds_no_other_up_and_its_queue_is_bounded() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        // It takes connections and never says a word.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_address = silent.local_addr().unwrap().to_string();
        let peers = [("b", server.address.as_str()), ("s", silent_address.as_str())];
        let (lane, answers, counters) = lane_to(&peers, Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        for tag in 0..20_000 {
            lane.send(&node("s"), ask("yes", 1_000_000 + tag, PATIENCE));
        }
        assert!(counters.requests_over_bound.get() + counters.requests_not_sent.get() > 0);
        for tag in 0..1_000 {
            lane.send(&node("b"), ask("yes", tag, PATIENCE));
        }
        eventually("the other peer answers", || {
            (0..1_000).all(|tag| answers.of(tag) == [PeerAnswer::HoldsBucket(true)])
        })
        .await;
        eventually("each request to the silent one ends", || {
            (0..20_000).all(|tag| answers.of(1_000_000 + tag).len() == 1)
        })
        .await;
    });
}

#[test]
fn what_is_patient_leaves_by_itself_or_with_others_and_tells_when() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        let patient = |tag| Outgoing { patient: true, ..ask("yes", tag, PATIENCE) };
        lane.send(&node("b"), ask("yes", 0, PATIENCE));
        answers.wait_for(1).await;
        // Alone it leaves by itself, later than it was asked.
        let asked = now();
        lane.send(&node("b"), patient(1));
        answers.wait_for(2).await;
        assert!(answers.left(1).is_some_and(|left| left >= asked), "{:?} {asked:?}", answers.left(1));
        // One that is not takes along those that are.
        lane.send(&node("b"), patient(2));
        lane.send(&node("b"), ask("yes", 3, PATIENCE));
        answers.wait_for(4).await;
        assert!(answers.left(2).is_some());
        assert_eq!(answers.left(3), None, "it left when it was asked");
    });
}

#[test]
fn several_that_are_patient_leave_at_once() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, _) = lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        let mut waited_us = Vec::new();
        for round in 0..40 {
            let asked = now();
            for tag in 0..32 {
                lane.send(&node("b"), Outgoing { patient: true, ..ask("yes", round * 32 + tag, PATIENCE) });
            }
            answers.wait_for((round as usize + 1) * 32).await;
            waited_us.push(answers.left(round * 32).unwrap().micros_since(asked));
        }
        waited_us.sort_unstable();
        // Each round begins when the last has left. If they left by the clock, it would take most of 10 ms each
        // time; however busy the machine is, some take next to none.
        assert!(waited_us[10] < 5_000, "{waited_us:?}");
    });
}

#[test]
fn that_this_thread_stood_still_is_no_silence_of_the_peer() {
    run(async {
        let server = Server::start(Gate::new("b"), "test", "secret", "127.0.0.1:0").await;
        let (lane, answers, counters) =
            lane_to(&[("b", &server.address)], Arc::new(Gate::new("a")), "secret");
        eventually("up", || lane.is_up(&node("b"))).await;
        // Longer than a silent peer is waited for.
        std::thread::sleep(Duration::from_millis(3_500));
        lane.send(&node("b"), ask("yes", 1, PATIENCE));
        answers.wait_for(1).await;
        assert_eq!(answers.of(1), [PeerAnswer::HoldsBucket(true)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((counters.silent_connections.get(), counters.connections_lost.get()), (0, 0));
    });
}
