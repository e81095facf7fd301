//! The report of objectives.

use neap::config::{Config, Sources};
use neap::protocol::ids::NodeId;
use neap::protocol::sli::{Observation, VerdictObserved};
use neap::protocol::slo::{Slo, SloScope};
use neap::protocol::staleness::{UnknownCause, Verdict};
use neap::protocol::time::{Moment, WallMicros};
use serde_json::json;

use super::client::Node;

fn engine() -> Slo {
    Slo::new(Config::load(&Sources::default()).unwrap().slo.plan())
}

fn take(slo: &mut Slo, times: u64, verdict: Verdict) {
    let bucket = neap::protocol::ids::BucketName::new("b").unwrap();
    let (exposure_us, age_us) = if verdict == Verdict::Stale { (64_000, 2_000_000) } else { (0, 0) };
    let seen = Observation::Verdict(VerdictObserved {
        bucket,
        began: Moment(9),
        r: 1,
        verdict,
        exposure_us,
        age_us,
        value_age_us: None,
        missed_by: vec![],
        silent: vec![],
    });
    (0..times).for_each(|_| slo.take(WallMicros(9), &seen));
}

#[test]
fn the_report_has_the_names_that_programs_rely_on() {
    let node = Node::start();
    let mut slo = engine();
    take(&mut slo, 1_990, Verdict::Fresh { all: true });
    take(&mut slo, 8, Verdict::Stale);
    take(&mut slo, 2, Verdict::Suspect);
    take(&mut slo, 5, Verdict::Unknown(UnknownCause::Timeout));
    node.fake.set_slo(slo.evaluate(WallMicros(9)));
    let body = node.get("/v1/slo").json();
    assert_eq!((&body["scope"], &body["window_s"]), (&json!("node"), &json!(3_600.0)));
    let reads = json!({"fresh": 1_990, "stale": 8, "suspect": 2, "behind": 0, "unknown": 5, "unsampled": 0});
    assert_eq!(body["reads"], reads);
    assert_eq!(
        body["unknown_causes"],
        json!({"replica_down": 0, "timeout": 5, "settings": 0, "forgotten": 0, "pending": 0})
    );
    let rate = json!({"low": 8.0 / 2_005.0, "high": 15.0 / 2_005.0, "judged": 0.005, "any_replica_high": 15.0 / 2_005.0});
    assert_eq!(body["stale_read_rate"], rate);
    assert_eq!((&body["staleness_age_p95_s"], &body["exposure_p95_s"]), (&json!(0.0), &json!(0.0)));
    let convergence =
        json!({"p50_s": null, "p999_s": null, "unconverged": 0, "oldest_s": null, "untracked": 0});
    assert_eq!(body["convergence"], convergence);
    assert_eq!(body.get("unreachable"), None);
    let stale = &body["objectives"][1];
    assert_eq!(
        (&stale["name"], &stale["target"], &stale["state"]),
        (&json!("stale_reads"), &json!(0.001), &json!("page"))
    );
    assert_eq!((&stale["low"], &stale["high"]), (&json!(8.0 / 2_005.0), &json!(15.0 / 2_005.0)));
    assert_eq!(stale["burn_rates"][0], json!({"window_s": 300.0, "rate": 5.0}));
    assert_eq!(
        stale["why"],
        "0.50 % of the 2,000 judged reads in the last 1h were stale, and 0.40 % to 0.75 % of all 2,005; the objective is \
         0.10 %; 5 could not be judged (timeout 5)"
    );
    assert_eq!(body["objectives"][2]["state"], "no_data");
}

#[test]
fn before_the_first_read_every_value_is_null() {
    let node = Node::start();
    node.fake.set_slo(engine().evaluate(WallMicros(9)));
    let body = node.get("/v1/slo?scope=node").json();
    assert_eq!(
        body["stale_read_rate"],
        json!({"low": null, "high": null, "judged": null, "any_replica_high": null})
    );
    for name in ["staleness_age_p95_s", "exposure_p95_s"] {
        assert!(body[name].is_null(), "{name}");
    }
    for objective in body["objectives"].as_array().unwrap() {
        assert_eq!((&objective["high"], &objective["state"]), (&json!(null), &json!("no_data")));
    }
}

#[test]
fn the_cluster_is_asked_for_by_name_and_says_who_did_not_answer() {
    let node = Node::start();
    let mut document = engine().evaluate(WallMicros(9));
    (document.scope, document.unreachable) = (SloScope::Cluster, vec![NodeId::new("n3").unwrap()]);
    node.fake.set_slo(document);
    let body = node.get("/v1/slo?scope=cluster").json();
    assert_eq!((&body["scope"], &body["unreachable"]), (&json!("cluster"), &json!(["n3"])));
    assert_eq!(node.fake.scopes(), [SloScope::Cluster]);
}

#[test]
fn a_scope_that_there_is_not_is_refused_with_those_there_are() {
    let node = Node::start();
    for query in ["scope=ring", "scope=", "scope=NODE", "scope=node&scope=node", "window=1h"] {
        let answer = node.get(&format!("/v1/slo?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        let problem = answer.problem();
        let accepted = problem["accepted"].as_str().unwrap();
        assert!(["node or cluster", "the parameter once", "scope"].contains(&accepted), "{query}: {problem}");
    }
    assert_eq!(node.ask("PUT", "/v1/slo", &[], b"").status, 405);
    assert!(node.fake.scopes().is_empty());
}

#[test]
fn too_many_who_ask_for_the_cluster_at_once_are_told_to_come_again() {
    let node = Node::start();
    assert_eq!(node.get("/v1/slo?scope=cluster").status, 503);
}
