//! What each observation adds to which metric, read as Prometheus reads it.

use std::collections::BTreeMap;

use neap::config::OtlpProtocol;
use neap::protocol::admission::BucketClass;
use neap::protocol::bucket::Resolution;
use neap::protocol::ids::NodeId;
use neap::protocol::sli::{
    ConvergedObserved, DwellObserved, MergeObserved, Observation, OperationOutcome, Path, ReadObserved,
    UnconvergedObserved, VerdictObserved,
};
use neap::protocol::staleness::{UnknownCause, Verdict};
use neap::protocol::time::Moment;
use neap::telemetry::{ClockStanding, Instruments, Metrics, SloStanding, Telemetry};

use super::{bucket, config, identity, instruments, node, read, write};

struct Scene {
    instruments: Instruments,
    metrics: Metrics,
}

impl Scene {
    fn new() -> Self {
        let config = config(None, OtlpProtocol::HttpProtobuf);
        let telemetry = Telemetry::start(&config, &identity()).unwrap();
        Self { instruments: instruments(&telemetry), metrics: telemetry.metrics() }
    }

    fn take(&mut self, observation: Observation) {
        self.instruments.take(&observation);
    }

    /// All samples, without the scope.
    fn samples(&self) -> BTreeMap<String, f64> {
        let scope = format!("otel_scope_name=\"neap\",otel_scope_version=\"{}\"", env!("CARGO_PKG_VERSION"));
        let bare = |series: &str| {
            series.replace(&format!("{scope},"), "").replace(&scope, "").replace(",}", "}").replace("{}", "")
        };
        let text = self.metrics.prometheus();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| (bare(series), value.parse().unwrap()))
            .collect()
    }

    fn get(&self, series: &str) -> Option<f64> {
        self.samples().get(series).copied()
    }

    #[track_caller]
    fn expect(&self, series: &str, value: f64) {
        let samples = self.samples();
        let family = series.split('{').next().unwrap();
        let near: Vec<_> = samples.iter().filter(|(name, _)| name.starts_with(family)).collect();
        assert_eq!(samples.get(series).copied(), Some(value), "{series} in {near:#?}");
    }

    /// Families by name, with their kind.
    fn families(&self) -> BTreeMap<String, String> {
        let text = self.metrics.prometheus();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }
}

fn verdict(verdict: Verdict, ages: (u64, u64), missed_by: &[&str]) -> Observation {
    Observation::Verdict(VerdictObserved {
        bucket: bucket(),
        began: Moment(1),
        r: 1,
        verdict,
        exposure_us: ages.0,
        age_us: ages.1,
        value_age_us: Some(2_000_000),
        missed_by: missed_by.iter().map(|peer| node(peer)).collect(),
        silent: Vec::new(),
    })
}

fn unconverged(shard: u16, ages: &[(u64, u64)], max_lagging: u8, untracked: u64) -> Observation {
    Observation::Unconverged(UnconvergedObserved { shard, ages: ages.to_vec(), max_lagging, untracked })
}

fn merged(conflict: bool, resolution: Resolution) -> Observation {
    Observation::Merged(MergeObserved { bucket: bucket(), conflict, resolution })
}

fn dwelt(waits: &[(BucketClass, u64)]) -> Observation {
    let mut dwell = DwellObserved::default();
    waits.iter().for_each(|&(class, us)| dwell.record(class, us));
    Observation::Dwell(Box::new(dwell))
}

#[test]
fn a_wait_for_a_turn_is_told_by_how_its_bucket_stood() {
    let mut scene = Scene::new();
    let (quiet, busy) = (BucketClass::Quiet, BucketClass::Busy);
    scene.take(dwelt(&[(quiet, 0), (busy, 1_000), (busy, 1_000), (busy, 2_000_000)]));
    scene.expect("neap_queue_dwell_time_seconds_count{class=\"quiet\"}", 1.0);
    scene.expect("neap_queue_dwell_time_seconds_count{class=\"busy\"}", 3.0);
    scene.expect("neap_queue_dwell_time_seconds_bucket{class=\"quiet\",le=\"0.0001\"}", 1.0);
    scene.expect("neap_queue_dwell_time_seconds_bucket{class=\"busy\",le=\"0.0025\"}", 2.0);
}

#[test]
fn every_instrument_has_the_name_and_the_kind_that_were_promised() {
    let mut scene = Scene::new();
    scene.take(read(2, true));
    scene.take(verdict(Verdict::Stale, (1, 2), &["n2"]));
    scene.take(Observation::Write(write(OperationOutcome::Ok, &["n2"])));
    let path = Path::Direct;
    scene.take(Observation::Converged(ConvergedObserved {
        bucket: bucket(),
        path,
        convergence_us: 1,
        writes: 1,
    }));
    scene.take(dwelt(&[(BucketClass::Quiet, 0)]));
    let slo = SloStanding { slo: "stale_reads".into(), window: "1h".into(), value: 0.5 };
    let standing = scene.instruments.standing();
    standing.set_ring_members(vec![("serving", 2)]);
    standing.set_clocks(vec![ClockStanding { peer: node("n2"), offset_s: -0.001, uncertainty_s: 0.0005 }]);
    standing.set_burn_rates(vec![slo.clone()]);
    standing.set_budgets_remaining(vec![slo]);
    let expected = [
        ("neap_clock_offset_seconds", "gauge"),
        ("neap_clock_uncertainty_seconds", "gauge"),
        ("neap_conflicts_total", "counter"),
        ("neap_merges_total", "counter"),
        ("neap_objects_near_bound_total", "counter"),
        ("neap_objects_refused_total", "counter"),
        ("neap_operation_duration_seconds", "histogram"),
        ("neap_overload_refused_by_bucket_total", "counter"),
        ("neap_overload_refused_total", "counter"),
        ("neap_peer_dropped_total", "counter"),
        ("neap_queue_dwell_time_seconds", "histogram"),
        ("neap_read_exposure_seconds", "histogram"),
        ("neap_read_missed_by_total", "counter"),
        ("neap_read_repairs_total", "counter"),
        ("neap_read_staleness_age_seconds", "histogram"),
        ("neap_read_value_age_seconds", "histogram"),
        ("neap_reads_late_verdicts_total", "counter"),
        ("neap_reads_total", "counter"),
        ("neap_ring_members", "gauge"),
        ("neap_siblings", "histogram"),
        ("neap_slo_budget_remaining", "gauge"),
        ("neap_slo_burn_rate", "gauge"),
        ("neap_storage_durable_writes_total", "counter"),
        ("neap_storage_syncs_total", "counter"),
        ("neap_telemetry_dropped_total", "counter"),
        ("neap_write_convergence_time_seconds", "histogram"),
        ("neap_write_lagging_replicas", "histogram"),
        ("neap_write_lagging_total", "counter"),
        ("neap_write_max_lagging", "gauge"),
        ("neap_write_unconverged", "gauge"),
        ("neap_write_unconverged_oldest_age_seconds", "gauge"),
        ("neap_write_untracked", "gauge"),
        ("neap_writes_total", "counter"),
        ("target_info", "gauge"),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(scene.families(), BTreeMap::from(expected));
    scene.expect("neap_clock_offset_seconds{peer=\"n2\"}", -0.001);
    scene.expect("neap_slo_burn_rate{slo=\"stale_reads\",window=\"1h\"}", 0.5);
    scene.expect("neap_overload_refused_total{reason=\"admission\"}", 3.0);
    scene.expect("neap_overload_refused_by_bucket_total{bucket=\"users\"}", 2.0);
    scene.expect("neap_overload_refused_by_bucket_total{bucket=\"(others)\"}", 1.0);
    scene.expect("neap_objects_near_bound_total{reason=\"bytes\"}", 8.0);
    scene.expect("neap_objects_refused_total{reason=\"object_full\"}", 9.0);
    scene.expect("neap_peer_dropped_total{reason=\"lane_full\"}", 4.0);
    scene.expect("neap_read_repairs_total{when=\"async\"}", 6.0);
    scene.expect("neap_storage_syncs_total", 7.0);
    scene.expect("neap_storage_durable_writes_total", 70.0);
    scene.expect("neap_telemetry_dropped_total{reason=\"points_export_failed\"}", 0.0);
}

#[test]
fn what_alerts_divide_is_there_at_0_before_anything_happened() {
    let scene = Scene::new();
    for r in 1..=3 {
        for of in [
            format!("r=\"{r}\",verdict=\"stale\""),
            format!("r=\"{r}\",verdict=\"suspect\""),
            format!("r=\"{r}\",verdict=\"behind\""),
            format!("detail=\"all\",r=\"{r}\",verdict=\"fresh\""),
            format!("detail=\"overlap\",r=\"{r}\",verdict=\"fresh\""),
            format!("detail=\"replica_down\",r=\"{r}\",verdict=\"unknown\""),
            format!("detail=\"timeout\",r=\"{r}\",verdict=\"unknown\""),
            format!("detail=\"settings\",r=\"{r}\",verdict=\"unknown\""),
            format!("r=\"{r}\",verdict=\"unsampled\""),
        ] {
            scene.expect(&format!("neap_reads_total{{{of}}}"), 0.0);
        }
    }
    for outcome in ["ok", "quorum_failed", "deadline", "refused"] {
        for lagging in ["0", "1", "2+"] {
            let series = format!("neap_writes_total{{lagging=\"{lagging}\",outcome=\"{outcome}\"}}");
            scene.expect(&series, 0.0);
        }
    }
    for resolution in ["siblings", "lww"] {
        scene.expect(&format!("neap_merges_total{{resolution=\"{resolution}\"}}"), 0.0);
        for at in ["write", "merge"] {
            let series = format!("neap_conflicts_total{{resolution=\"{resolution}\",where=\"{at}\"}}");
            scene.expect(&series, 0.0);
        }
    }
    for (peer, zone) in [("n1", "east"), ("n2", "west"), ("unknown", "unknown")] {
        for counter in ["neap_read_missed_by_total", "neap_write_lagging_total"] {
            scene.expect(&format!("{counter}{{peer=\"{peer}\",zone=\"{zone}\"}}"), 0.0);
        }
    }
    let gauges = ["unconverged", "unconverged_oldest_age_seconds", "max_lagging", "untracked"];
    gauges.iter().for_each(|gauge| scene.expect(&format!("neap_write_{gauge}"), 0.0));
    for outcome in ["ok", "quorum_failed", "deadline", "refused"] {
        for operation in ["read", "write"] {
            let of = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
            scene.expect(&format!("neap_operation_duration_seconds_count{{{of}}}"), 0.0);
        }
    }
    for verdict in ["stale", "suspect", "behind", "fresh"] {
        scene.expect(&format!("neap_read_staleness_age_seconds_count{{verdict=\"{verdict}\"}}"), 0.0);
    }
    for path in ["direct", "read_repair"] {
        scene.expect(&format!("neap_write_convergence_time_seconds_count{{path=\"{path}\"}}"), 0.0);
    }
}

#[test]
fn a_read_is_counted_by_its_verdict_or_as_unsampled_and_never_as_both() {
    let mut scene = Scene::new();
    scene.take(read(2, false));
    scene.take(read(1, true));
    scene.expect("neap_reads_total{r=\"2\",verdict=\"unsampled\"}", 1.0);
    scene.expect("neap_reads_total{r=\"1\",verdict=\"unsampled\"}", 0.0);
    scene.take(verdict(Verdict::Fresh { all: false }, (0, 0), &[]));
    scene.expect("neap_reads_total{detail=\"overlap\",r=\"1\",verdict=\"fresh\"}", 1.0);
    let total: f64 =
        scene.samples().iter().filter(|(name, _)| name.starts_with("neap_reads_total")).map(|(_, n)| n).sum();
    assert_eq!(total, 2.0);
    scene.expect("neap_operation_duration_seconds_count{operation=\"read\",outcome=\"ok\"}", 2.0);
    scene.expect("neap_operation_duration_seconds_sum{operation=\"read\",outcome=\"ok\"}", 0.003);
    // Of a read with a verdict it is told with that.
    scene.expect("neap_read_value_age_seconds_sum{verdict=\"unsampled\"}", 2.0);
    scene.expect("neap_read_value_age_seconds_sum{verdict=\"fresh\"}", 2.0);
    scene.expect("neap_siblings_bucket{le=\"0\"}", 0.0);
    scene.expect("neap_siblings_bucket{le=\"1\"}", 2.0);
}

#[test]
fn a_read_that_failed_is_no_unsampled_read() {
    let mut scene = Scene::new();
    let outcome = OperationOutcome::QuorumFailed;
    let (value_age_us, siblings, sampled) = (None, 0, false);
    let failed = ReadObserved {
        bucket: bucket(),
        began: Moment(1),
        r: 1,
        outcome,
        duration_us: 9,
        value_age_us,
        siblings,
        sampled,
    };
    scene.take(Observation::Read(failed));
    scene.expect("neap_reads_total{r=\"1\",verdict=\"unsampled\"}", 0.0);
    scene.expect("neap_operation_duration_seconds_count{operation=\"read\",outcome=\"quorum_failed\"}", 1.0);
}

#[test]
fn an_r_that_nobody_expected_is_told_with_all_its_verdicts() {
    let mut scene = Scene::new();
    scene.take(read(5, false));
    scene.expect("neap_reads_total{r=\"5\",verdict=\"unsampled\"}", 1.0);
    scene.expect("neap_reads_total{r=\"5\",verdict=\"stale\"}", 0.0);
}

#[test]
fn a_stale_read_tells_its_ages_and_who_was_behind() {
    let mut scene = Scene::new();
    scene.take(verdict(Verdict::Stale, (10_000, 3_600_000_000), &["n2", "n9"]));
    scene.expect("neap_reads_total{r=\"1\",verdict=\"stale\"}", 1.0);
    scene.expect("neap_read_exposure_seconds_sum{verdict=\"stale\"}", 0.01);
    scene.expect("neap_read_staleness_age_seconds_sum{verdict=\"stale\"}", 3_600.0);
    // An age that is an objective is within it.
    scene.expect("neap_read_exposure_seconds_bucket{verdict=\"stale\",le=\"0.005\"}", 0.0);
    scene.expect("neap_read_exposure_seconds_bucket{verdict=\"stale\",le=\"0.01\"}", 1.0);
    scene.expect("neap_read_missed_by_total{peer=\"n2\",zone=\"west\"}", 1.0);
    scene.expect("neap_read_missed_by_total{peer=\"unknown\",zone=\"unknown\"}", 1.0);
    scene.expect("neap_read_missed_by_total{peer=\"n1\",zone=\"east\"}", 0.0);
}

#[test]
fn a_fresh_read_is_of_age_0_and_an_unknown_one_of_none() {
    let mut scene = Scene::new();
    scene.take(verdict(Verdict::Fresh { all: true }, (0, 0), &[]));
    scene.take(verdict(Verdict::Unknown(UnknownCause::Timeout), (0, 0), &[]));
    scene.expect("neap_read_staleness_age_seconds_bucket{verdict=\"fresh\",le=\"0\"}", 1.0);
    scene.expect("neap_reads_total{detail=\"timeout\",r=\"1\",verdict=\"unknown\"}", 1.0);
    let of_unknown = |name: &&String| name.contains("verdict=\"unknown\"");
    let ages = ["neap_read_staleness_age", "neap_read_exposure"];
    let samples = scene.samples();
    assert!(!samples.keys().filter(of_unknown).any(|name| ages.iter().any(|age| name.starts_with(age))));
    // But what it returned was written at some time, as was that of any other read.
    scene.expect("neap_read_value_age_seconds_sum{verdict=\"unknown\"}", 2.0);
}

#[test]
fn a_write_is_counted_once_by_who_lagged() {
    let mut scene = Scene::new();
    for lagging in [&[][..], &["n2"], &["n1", "n2"], &["n1", "n2", "n9"]] {
        scene.take(Observation::Write(write(OperationOutcome::Ok, lagging)));
    }
    scene.expect("neap_writes_total{lagging=\"0\",outcome=\"ok\"}", 1.0);
    scene.expect("neap_writes_total{lagging=\"1\",outcome=\"ok\"}", 1.0);
    scene.expect("neap_writes_total{lagging=\"2+\",outcome=\"ok\"}", 2.0);
    scene.expect("neap_write_lagging_replicas_sum", 6.0);
    scene.expect("neap_write_lagging_total{peer=\"n2\",zone=\"west\"}", 3.0);
    scene.expect("neap_write_lagging_total{peer=\"unknown\",zone=\"unknown\"}", 1.0);
    scene.expect("neap_operation_duration_seconds_count{operation=\"write\",outcome=\"ok\"}", 4.0);
}

#[test]
fn a_write_counted_elsewhere_only_tells_its_client_s_wait_and_one_handed_on_only_its_count() {
    let mut scene = Scene::new();
    let mut elsewhere = write(OperationOutcome::Deadline, &[]);
    elsewhere.counted = false;
    scene.take(Observation::Write(elsewhere));
    let mut handed_on = write(OperationOutcome::Ok, &[]);
    handed_on.duration_us = None;
    scene.take(Observation::Write(handed_on));
    scene.expect("neap_writes_total{lagging=\"0\",outcome=\"deadline\"}", 0.0);
    scene.expect("neap_operation_duration_seconds_count{operation=\"write\",outcome=\"deadline\"}", 1.0);
    scene.expect("neap_writes_total{lagging=\"0\",outcome=\"ok\"}", 1.0);
    scene.expect("neap_operation_duration_seconds_count{operation=\"write\",outcome=\"ok\"}", 0.0);
}

#[test]
fn a_refused_write_that_nobody_took_is_not_one_that_all_homes_have() {
    let mut scene = Scene::new();
    scene.take(Observation::Write(write(OperationOutcome::Refused, &[])));
    scene.expect("neap_writes_total{lagging=\"0\",outcome=\"refused\"}", 1.0);
    assert_eq!(scene.get("neap_write_lagging_replicas_count").unwrap_or(0.0), 0.0);
}

#[test]
fn convergence_is_told_by_its_path() {
    let mut scene = Scene::new();
    for (path, convergence_us) in [(Path::Direct, 5_000_000), (Path::ReadRepair, 5_000_001)] {
        scene.take(Observation::Converged(ConvergedObserved {
            bucket: bucket(),
            path,
            convergence_us,
            writes: 1,
        }));
    }
    scene.expect("neap_write_convergence_time_seconds_bucket{path=\"direct\",le=\"5\"}", 1.0);
    scene.expect("neap_write_convergence_time_seconds_bucket{path=\"direct\",le=\"4\"}", 0.0);
    scene.expect("neap_write_convergence_time_seconds_bucket{path=\"read_repair\",le=\"5\"}", 0.0);
    scene.expect("neap_write_convergence_time_seconds_bucket{path=\"read_repair\",le=\"10\"}", 1.0);
}

#[test]
fn conflicts_are_counted_beside_what_they_are_a_share_of() {
    let mut scene = Scene::new();
    let mut conflicting = write(OperationOutcome::Ok, &[]);
    conflicting.conflict = true;
    scene.take(Observation::Write(conflicting));
    scene.take(merged(true, Resolution::Lww));
    scene.take(merged(false, Resolution::Lww));
    scene.expect("neap_conflicts_total{resolution=\"siblings\",where=\"write\"}", 1.0);
    scene.expect("neap_conflicts_total{resolution=\"lww\",where=\"merge\"}", 1.0);
    scene.expect("neap_merges_total{resolution=\"lww\"}", 2.0);
    scene.expect("neap_merges_total{resolution=\"siblings\"}", 0.0);
}

#[test]
fn what_a_shard_says_of_unconverged_writes_replaces_what_it_said_before() {
    let mut scene = Scene::new();
    scene.take(unconverged(0, &[(90_000_000, 2), (1_000, 40)], 2, 1));
    scene.take(unconverged(1, &[(2_000_000, 3)], 1, 10));
    scene.expect("neap_write_unconverged", 45.0);
    scene.expect("neap_write_max_lagging", 2.0);
    scene.expect("neap_write_untracked", 11.0);
    let age = scene.get("neap_write_unconverged_oldest_age_seconds").unwrap();
    assert!((90.0..150.0).contains(&age), "{age}");
    scene.take(unconverged(0, &[], 0, 1));
    scene.expect("neap_write_unconverged", 3.0);
    scene.expect("neap_write_max_lagging", 1.0);
    let age = scene.get("neap_write_unconverged_oldest_age_seconds").unwrap();
    assert!((2.0..62.0).contains(&age), "{age}");
    scene.take(unconverged(1, &[], 0, 10));
    scene.expect("neap_write_unconverged_oldest_age_seconds", 0.0);
}

#[test]
fn an_unconverged_write_grows_older_though_its_shard_says_no_more() {
    let mut scene = Scene::new();
    scene.take(unconverged(0, &[(1_000_000, 1)], 1, 0));
    let first = scene.get("neap_write_unconverged_oldest_age_seconds").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert!(scene.get("neap_write_unconverged_oldest_age_seconds").unwrap() >= first + 0.005);
}

#[test]
fn a_peer_that_left_is_gauged_no_more() {
    let scene = Scene::new();
    let clock = |peer: &str| ClockStanding { peer: node(peer), offset_s: 0.0, uncertainty_s: 1.0 };
    scene.instruments.standing().set_clocks(vec![clock("n1"), clock("n2")]);
    scene.expect("neap_clock_uncertainty_seconds{peer=\"n2\"}", 1.0);
    scene.instruments.standing().set_clocks(vec![clock("n1")]);
    scene.expect("neap_clock_uncertainty_seconds{peer=\"n1\"}", 1.0);
    assert_eq!(scene.get("neap_clock_uncertainty_seconds{peer=\"n2\"}"), None);
}

#[test]
fn a_peer_that_joined_is_counted_by_its_name_and_what_was_counted_stays() {
    let mut scene = Scene::new();
    scene.take(Observation::Write(write(OperationOutcome::Ok, &["n2", "n3"])));
    scene.expect("neap_write_lagging_total{peer=\"unknown\",zone=\"unknown\"}", 1.0);
    let zones: BTreeMap<NodeId, String> = [("n1", "east"), ("n2", "west"), ("n3", "east")]
        .map(|(peer, zone)| (node(peer), zone.to_owned()))
        .into();
    scene.instruments.set_peers(&zones);
    scene.take(Observation::Write(write(OperationOutcome::Ok, &["n2", "n3"])));
    scene.expect("neap_write_lagging_total{peer=\"n3\",zone=\"east\"}", 1.0);
    scene.expect("neap_write_lagging_total{peer=\"n2\",zone=\"west\"}", 2.0);
    scene.expect("neap_write_lagging_total{peer=\"unknown\",zone=\"unknown\"}", 1.0);
}

#[test]
fn a_peer_that_moved_is_counted_in_its_new_zone_and_one_that_left_by_no_name() {
    let mut scene = Scene::new();
    scene.instruments.set_peers(&BTreeMap::from([(node("n2"), "north".to_owned())]));
    scene.take(Observation::Write(write(OperationOutcome::Ok, &["n1", "n2"])));
    scene.expect("neap_write_lagging_total{peer=\"n2\",zone=\"north\"}", 1.0);
    scene.expect("neap_write_lagging_total{peer=\"n2\",zone=\"west\"}", 0.0);
    scene.expect("neap_write_lagging_total{peer=\"unknown\",zone=\"unknown\"}", 1.0);
    scene.expect("neap_write_lagging_total{peer=\"n1\",zone=\"east\"}", 0.0);
}
