//! What a client is told when the node could not do what was asked.

use neap::protocol::bounds::{NoRoomForValues, Overfull};
use neap::protocol::message::Refusal;
use neap::protocol::operation::{OperationError, Outcome};
use neap::protocol::quorum::QuorumError;
use neap::protocol::settings::SetBucketError;

use super::client::Node;
use super::fake::name;

const ID: &str = "00112233445566778899aabbccddeeff";
const BATCH: &[u8] = br#"{"operations": [{"op": "delete", "bucket": "b", "key": "k"}]}"#;

fn not_reached(outcome: Outcome, refusal: Refusal) -> OperationError {
    let refusals = vec![(name("n2"), refusal), (name("n3"), refusal)];
    OperationError::NotReached { answered: 1, needed: 2, total: 3, outcome, refusals }
}

fn deadline(outcome: Outcome) -> OperationError {
    OperationError::Deadline { answered: 1, needed: 2, total: 3, outcome }
}

fn no_room() -> SetBucketError {
    let (n, value_bytes, highest_n, highest_value_bytes) = (5, 6_000_000, 2, 3_000_000);
    NoRoomForValues { n, value_bytes, highest_n, highest_value_bytes }.into()
}

#[test]
fn a_bucket_without_room_for_values_names_the_highest_n_and_value_that_work() {
    let node = Node::start();
    node.fake.fail_set(no_room());
    let problem = node.put("/v1/buckets/b", br#"{"n": 5}"#).problem();
    assert_eq!(problem["type"], "/problems/no-room-for-values");
    let named = (&problem["parameter"], &problem["given"], &problem["accepted"]);
    assert_eq!(named, (&"n".into(), &"5".into(), &"1 to 2".into()));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("a value may have 3000000") && detail.contains("highest n"), "{detail}");
}

#[test]
fn a_failed_write_says_what_is_certain_and_only_a_safe_retry_is_invited() {
    let node = Node::start();
    let partial = Outcome::Partial { applied: 1 };
    let rows = [
        (not_reached(Outcome::NotApplied, Refusal::NotSent), 503, "quorum-not-reached", "not_applied"),
        (not_reached(partial, Refusal::NoAnswer), 503, "quorum-not-reached", "partial"),
        (not_reached(Outcome::Unknown, Refusal::Damaged), 503, "quorum-not-reached", "unknown"),
        (deadline(Outcome::NotApplied), 504, "deadline", "not_applied"),
        (deadline(partial), 504, "deadline", "partial"),
        (deadline(Outcome::Unknown), 504, "deadline", "unknown"),
        (OperationError::Overloaded, 503, "overloaded", "not_applied"),
        (OperationError::NotServing(Refusal::Draining), 503, "not-serving", "not_applied"),
        (OperationError::Exists, 412, "exists", "not_applied"),
        (Overfull::Write { write_bytes: 9, bound_bytes: 8 }.into(), 413, "too-large", "not_applied"),
        (
            Overfull::Bytes { held_bytes: 7, write_bytes: 2, bound_bytes: 8 }.into(),
            409,
            "object-full",
            "not_applied",
        ),
        (
            Overfull::Versions { held_versions: 100, left_versions: 101, siblings_max: 100 }.into(),
            409,
            "too-many-siblings",
            "not_applied",
        ),
        (OperationError::TooFewMembers { n: 5, members: 3 }, 422, "too-few-members", "not_applied"),
        (QuorumError::W { given: 9, w_min: 2, n: 3 }.into(), 422, "out-of-range", "not_applied"),
    ];
    for (error, status, kind, outcome) in rows {
        for method in ["PUT", "DELETE"] {
            node.fake.fail_write(error.clone());
            let answer = node.ask(method, "/v1/kv/b/k", &[("Neap-Write-Id", ID)], b"");
            assert_eq!((answer.status, answer.header("neap-write-id")), (status, Some(ID)), "{error:?}");
            let problem = answer.problem();
            assert_eq!(problem["type"], format!("/problems/{kind}"), "{error:?}");
            assert_eq!(problem["outcome"], outcome, "{error:?}");
            let applied = (outcome == "partial").then_some(1);
            assert_eq!(problem["applied"].as_u64(), applied, "{error:?}");
            let retry = (status >= 500 && outcome == "not_applied").then_some("1");
            assert_eq!(answer.header("retry-after"), retry, "{error:?}");
        }
    }
}

#[test]
fn a_write_that_would_outgrow_a_bound_comes_with_the_figures() {
    let node = Node::start();
    let figures =
        ["held_bytes", "write_bytes", "bound_bytes", "held_versions", "left_versions", "siblings_max"];
    let rows: [(Overfull, [Option<u64>; 6]); 3] = [
        (Overfull::Write { write_bytes: 9, bound_bytes: 8 }, [None, Some(9), Some(8), None, None, None]),
        (
            Overfull::Bytes { held_bytes: 7, write_bytes: 2, bound_bytes: 8 },
            [Some(7), Some(2), Some(8), None, None, None],
        ),
        (
            Overfull::Versions { held_versions: 100, left_versions: 101, siblings_max: 99 },
            [None, None, None, Some(100), Some(101), Some(99)],
        ),
    ];
    for (why, expected) in rows {
        node.fake.fail_write(why.into());
        let problem = node.put("/v1/kv/b/k", b"1").problem();
        assert_eq!(figures.map(|figure| problem[figure].as_u64()), expected, "{problem}");
        assert_eq!(problem["detail"], why.to_string());
        node.fake.fail_write(why.into());
        let batch = node.ask("POST", "/v1/batch", &[], BATCH);
        let result = batch.json()["results"][0].clone();
        assert_eq!((&result["status"], &result["problem"]), (&problem["status"], &problem));
        assert!(result["retry_after"].is_null(), "{result}");
    }
}

#[test]
fn a_read_whose_homes_cannot_be_repaired_says_how_many_hold_what_it_found() {
    let node = Node::start();
    for (late, status, kind) in [(false, 503, "quorum-not-reached"), (true, 504, "deadline")] {
        let refusals = vec![(name("n2"), Refusal::TooLargeToSend), (name("n3"), Refusal::LeftOut)];
        node.fake.fail_read(OperationError::NotRepaired { current: 1, needed: 2, total: 3, late, refusals });
        let answer = node.get("/v1/kv/b/k");
        assert_eq!(
            (answer.status, answer.header("neap-replicas")),
            (status, Some("acked=1 required=2 total=3"))
        );
        let problem = answer.problem();
        assert_eq!(problem["type"], format!("/problems/{kind}"));
        let refusals = serde_json::json!([
            {"node": "n2", "reason": "too_large_to_send"}, {"node": "n3", "reason": "left_out"}
        ]);
        assert_eq!(problem["refusals"], refusals);
    }
}

#[test]
fn a_quorum_that_was_not_reached_comes_with_its_numbers_and_refusals() {
    let node = Node::start();
    node.fake.fail_write(not_reached(Outcome::Unknown, Refusal::NoAnswer));
    let problem = node.put("/v1/kv/b/k", b"1").problem();
    assert_eq!(
        (&problem["answered"], &problem["needed"], &problem["total"]),
        (&1.into(), &2.into(), &3.into())
    );
    let refusals = serde_json::json!([
        {"node": "n2", "reason": "no_answer"}, {"node": "n3", "reason": "no_answer"}
    ]);
    assert_eq!(problem["refusals"], refusals);
}

#[test]
fn a_failed_read_may_always_be_retried_and_claims_no_outcome() {
    let node = Node::start();
    let rows = [
        (not_reached(Outcome::NotApplied, Refusal::NoAnswer), 503, "quorum-not-reached"),
        (not_reached(Outcome::NotApplied, Refusal::Damaged), 503, "damaged"),
        (deadline(Outcome::NotApplied), 504, "deadline"),
        (OperationError::Overloaded, 503, "overloaded"),
        (OperationError::NotServing(Refusal::Incomplete), 503, "not-serving"),
        (QuorumError::R { given: 4, n: 3 }.into(), 422, "out-of-range"),
    ];
    for (error, status, kind) in rows {
        node.fake.fail_read(error.clone());
        let answer = node.get("/v1/kv/b/k");
        assert_eq!(answer.status, status, "{error:?}");
        let problem = answer.problem();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{error:?}");
        assert!(problem["outcome"].is_null(), "{problem}");
        assert_eq!(answer.header("retry-after"), (status >= 500).then_some("1"), "{error:?}");
    }
    node.fake.fail_read(QuorumError::R { given: 4, n: 3 }.into());
    let problem = node.get("/v1/kv/b/k?r=4").problem();
    let named = (&problem["parameter"], &problem["given"], &problem["accepted"]);
    assert_eq!(named, (&"r".into(), &"4".into(), &"1 to 3".into()));
}

#[test]
fn a_failed_setting_of_a_bucket_says_why() {
    let node = Node::start();
    let rows = [
        (SetBucketError::TooFewMembers { n: 5, members: 3 }, 422, "not_applied"),
        (SetBucketError::QuorumSizeFixed { from: 3, to: 5 }, 409, "not_applied"),
        (SetBucketError::TooManyBuckets { max: 1000 }, 422, "not_applied"),
        (no_room(), 422, "not_applied"),
        (SetBucketError::NotReached { stored: 1, needed: 2, members: 3 }, 503, "partial"),
        (SetBucketError::NotReached { stored: 0, needed: 2, members: 3 }, 503, "unknown"),
        (SetBucketError::Refused(Refusal::DiskFull), 503, "not_applied"),
        (SetBucketError::Refused(Refusal::Storage), 503, "unknown"),
    ];
    for (error, status, outcome) in rows {
        node.fake.fail_set(error.clone());
        let answer = node.put("/v1/buckets/b", b"{}");
        assert_eq!(answer.status, status, "{error:?}");
        assert_eq!(answer.problem()["outcome"], outcome, "{error:?}");
        let retry = (status == 503 && outcome == "not_applied").then_some("1");
        assert_eq!(answer.header("retry-after"), retry, "{error:?}");
    }
}
