//! What a client is told when the node could not do what was asked.

use neap::protocol::message::Refusal;
use neap::protocol::operation::{OperationError, Outcome};
use neap::protocol::quorum::QuorumError;
use neap::protocol::settings::SetBucketError;

use super::client::Node;
use super::fake::name;

const ID: &str = "00112233445566778899aabbccddeeff";

fn not_reached(outcome: Outcome, refusal: Refusal) -> OperationError {
    let refusals = vec![(name("n2"), refusal), (name("n3"), refusal)];
    OperationError::NotReached { answered: 1, needed: 2, total: 3, outcome, refusals }
}

fn deadline(outcome: Outcome) -> OperationError {
    OperationError::Deadline { answered: 1, needed: 2, total: 3, outcome }
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
