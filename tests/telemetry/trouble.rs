//! Collectors that are down, slow or overloaded. No time is asserted but that nothing hangs.

use std::time::{Duration, Instant};

use neap::config::OtlpProtocol;

use super::collector::{Manner, nobody};
use super::{BOTH, collector, dropped, instruments, spans, start};

/// Far more than anything here takes, far less than a hang.
const BOUND: Duration = Duration::from_secs(20);
const QUEUE: u64 = 16_384;

fn within_bound<T>(what: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = what();
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    result
}

#[test]
fn a_collector_that_is_down_delays_nobody_and_what_it_misses_is_counted() {
    for protocol in BOTH {
        let telemetry = start(&format!("http://{}", nobody()), protocol);
        let _instruments = instruments(&telemetry);
        let (sink, dropped) = (telemetry.spans(), telemetry.dropped());
        within_bound(|| sink.take(Box::new(spans(100))));
        let report = within_bound(|| telemetry.shutdown(Duration::from_secs(10)));
        assert_eq!((report.spans_delivered, report.spans_lost, report.metrics_delivered), (0, 100, false));
        let dropped = dropped();
        assert_eq!(dropped[1], ("spans_export_failed", 100), "{protocol:?}");
        assert!(dropped[3].0 == "points_export_failed" && dropped[3].1 > 20, "{dropped:?}");
    }
}

#[test]
fn a_collector_that_refuses_delays_nobody_and_what_it_refuses_is_counted() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Refuse);
        let telemetry = start(&collector.url, protocol);
        let _instruments = instruments(&telemetry);
        let (sink, dropped) = (telemetry.spans(), telemetry.dropped());
        within_bound(|| sink.take(Box::new(spans(100))));
        let report = within_bound(|| telemetry.shutdown(Duration::from_secs(10)));
        assert_eq!((report.spans_delivered, report.spans_lost, report.metrics_delivered), (0, 100, false));
        assert_eq!(dropped()[1], ("spans_export_failed", 100), "{protocol:?}");
    }
}

#[test]
fn a_collector_that_never_answers_delays_nobody_and_the_shutdown_ends_when_told() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Silent);
        let telemetry = start(&collector.url, protocol);
        let _instruments = instruments(&telemetry);
        let sink = telemetry.spans();
        // None can have gone, so exactly those beyond the queue's length do not fit.
        within_bound(|| sink.take(Box::new(spans(QUEUE + 500))));
        assert_eq!(dropped(&telemetry, "spans_queue_full"), 500, "{protocol:?}");
        within_bound(|| sink.take(Box::new(spans(20))));
        assert_eq!(dropped(&telemetry, "spans_queue_full"), 520, "{protocol:?}");
        let all_dropped = telemetry.dropped();
        let began = Instant::now();
        let report = telemetry.shutdown(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(5), "{protocol:?}: {:?}", began.elapsed());
        assert_eq!((report.spans_delivered, report.spans_lost), (0, QUEUE));
        assert!(!report.metrics_delivered);

        assert!(!sink.is_on());
        sink.take(Box::new(spans(7)));
        assert_eq!(all_dropped()[2], ("spans_after_shutdown", 7));
    }
}

#[test]
fn inside_an_actix_system_a_collector_that_never_answers_does_not_hold_up_the_end() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Silent);
        let began = Instant::now();
        let report = actix_rt::System::new().block_on(async {
            let telemetry = start(&collector.url, protocol);
            telemetry.spans().take(Box::new(spans(10)));
            telemetry.shutdown(Duration::from_millis(300))
        });
        assert!(began.elapsed() < Duration::from_secs(5), "{protocol:?}: {:?}", began.elapsed());
        assert_eq!(report.spans_lost, 10);
    }
}

#[test]
fn what_was_delivered_makes_room_for_more() {
    let collector = collector(OtlpProtocol::HttpProtobuf, Manner::Keep);
    let telemetry = start(&collector.url, OtlpProtocol::HttpProtobuf);
    let sink = telemetry.spans();
    let began = Instant::now();
    sink.take(Box::new(spans(QUEUE)));
    while collector.kept().spans.len() < 1_000 {
        assert!(began.elapsed() < BOUND);
        std::thread::yield_now();
    }
    let handed_over = QUEUE + 488;
    sink.take(Box::new(spans(488)));
    let report = telemetry.shutdown(BOUND);
    assert_eq!((report.spans_delivered, report.spans_lost), (handed_over, 0));
    assert_eq!(collector.kept().spans.len() as u64, handed_over);
}

#[test]
fn once_the_deadline_has_passed_nothing_more_is_tried() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Refuse);
        let telemetry = start(&collector.url, protocol);
        telemetry.spans().take(Box::new(spans(QUEUE)));
        let dropped = telemetry.dropped();
        let report = telemetry.shutdown(Duration::from_millis(100));
        assert_eq!(report.spans_lost, QUEUE);
        // A batch is tried four times, with growing waits between: all 32 of them would take longer than the bound.
        within_bound(|| {
            while dropped()[1].1 < QUEUE {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }
}
