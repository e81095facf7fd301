use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::waiter::Waiter;
use super::*;

/// A server of connections of which each does `answer` for each request, being told its number, until that says no.
fn server(answer: fn(u32, &mut TcpStream) -> bool) -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut number = 0;
                // Requests without a body come in one piece here.
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) && answer(number, &mut stream) {
                    number += 1;
                }
            });
        }
    });
    Endpoint::loopback(port)
}

fn well(stream: &mut TcpStream) -> bool {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
}

fn load(node: Endpoint, connections: u16) -> Load {
    let (keys, value_bytes, dist) = (100, 8, Distribution::Uniform);
    Load { nodes: vec![node], pids: vec![], bucket: BUCKET, connections, keys, value_bytes, dist }
}

fn run(pace: Pace) -> Run {
    let duration = Duration::from_secs(1);
    Run { operation: Operation::Get { r: 1 }, pace, warmup: Duration::ZERO, duration, pause: Duration::ZERO }
}

#[test]
fn in_an_open_loop_a_stall_counts_for_all_that_were_due_meanwhile() {
    let node = server(|number, stream| {
        if number == 10 {
            std::thread::sleep(Duration::from_millis(500));
        }
        well(stream)
    });
    let tally = load(node, 1).run(run(Pace::Open(100.0)), |_| {}).unwrap();
    assert_eq!((tally.answered, tally.failed()), (100, 0));
    // Half of the requests were due while one was not answered: of them forty waited for 100 ms or more.
    assert!(tally.latencies.quantile_ms(0.65) >= Some(95.0), "{:?}", tally.latencies.quantile_ms(0.65));
}

#[test]
fn what_was_due_and_never_sent_counts_as_failed() {
    let node = server(|_, _| {
        std::thread::sleep(Duration::from_secs(60));
        false
    });
    let tally = load(node, 2).run(run(Pace::Open(100.0)), |_| {}).unwrap();
    assert_eq!(tally.answered, 0);
    assert_eq!(tally.errors.get(&Failure::TimedOut), Some(&2));
    assert_eq!(tally.errors.get(&Failure::NotSent), Some(&98));
}

#[test]
fn a_closed_loop_goes_on_through_connections_that_break() {
    let node = server(|number, stream| number < 200 && well(stream));
    let tally = load(node, 2).run(run(Pace::Closed), |_| {}).unwrap();
    let broken = tally.errors.get(&Failure::Broken).copied().unwrap_or_default();
    assert!(broken > 0 && tally.answered > broken, "{} {:?}", tally.answered, tally.errors);
    assert_eq!(tally.failed(), broken);
}

#[test]
fn keys_that_are_refused_are_written_again() {
    let node = server(|number, stream| match number {
        0 => stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_ok(),
        20 => false,
        _ => well(stream),
    });
    let mut told = 0;
    load(node, 3).fill(0, None, |done| told = done).unwrap();
    assert!(told <= 100);
}

#[test]
fn a_wait_is_not_rounded_to_milliseconds() {
    let mut waiter = Waiter::new().unwrap();
    let mut shortest = Duration::MAX;
    // However busy the machine is, some of them end in time.
    for _ in 0..200 {
        let began = Instant::now();
        waiter.wait(Duration::from_micros(100), &mut Vec::new()).unwrap();
        shortest = shortest.min(began.elapsed());
    }
    assert!((100..700).contains(&shortest.as_micros()), "{shortest:?}");
}
