//! The record of everything since the start.

use neap::protocol::bucket::Resolution;
use neap::protocol::ids::{BucketName, NodeId};
use neap::protocol::sli::{
    MergeObserved, Observation, OperationOutcome, Path, SliRecord, VerdictObserved, WriteObserved,
};
use neap::protocol::staleness::Verdict;
use neap::protocol::time::Moment;

use super::{FRESH, SECOND, UNKNOWN, bucket, converged, read, unconverged, verdict};

fn write(lagging: &[&str], counted: bool) -> Observation {
    Observation::Write(WriteObserved {
        bucket: bucket("b"),
        outcome: OperationOutcome::Ok,
        counted,
        duration_us: Some(1),
        lagging: lagging.iter().map(|id| NodeId::new(id).unwrap()).collect(),
        conflict: true,
        resolution: Resolution::Siblings,
    })
}

#[test]
fn everything_is_counted_where_it_belongs() {
    let mut record = SliRecord::default();
    let merge = MergeObserved { bucket: bucket("b"), conflict: false, resolution: Resolution::Lww };
    for observation in [
        read("b", true),
        read("b", false),
        verdict("b", FRESH, 0),
        verdict("b", Verdict::Stale, 2 * SECOND),
        verdict("b", UNKNOWN, 0),
        write(&["n2", "n3"], true),
        write(&[], false),
        converged("b", 5_000),
        Observation::Merged(merge),
        unconverged(&[(9, 4)], 1),
    ] {
        record.take(Moment(7), &observation);
    }
    let tally = record.tally();
    assert_eq!((tally.fresh(), tally.stale, tally.unknown_total(), tally.unsampled), (1, 1, 1, 1));
    assert_eq!((record.tally_of_r(1), record.tally_of_r(2).known()), (tally, 0));
    assert_eq!(record.reads().of(OperationOutcome::Ok), 2);
    assert_eq!(record.writes().of(OperationOutcome::Ok), 1);
    assert_eq!((record.lagging(2), record.lagging(0)), (1, 0));
    assert_eq!(record.conflicts_and_merges(), (2, 1));
    assert_eq!((record.ages().count(), record.stale_ages().count(), record.value_ages().count()), (2, 1, 2));
    assert_eq!(record.convergence(Path::Direct).unwrap().count(), 1);
    assert_eq!(record.unconverged().oldest_us(10), Some(12));
}

#[test]
fn a_record_keeps_within_its_bound_whatever_the_number_of_buckets_nodes_and_shards() {
    let mut record = SliRecord::default();
    for number in 0..200_000_u64 {
        let name = BucketName::new(&format!("b{number}")).unwrap();
        let missed_by = vec![NodeId::new(&format!("n{number}")).unwrap()];
        let age_us = number * number;
        record.take(
            Moment(number),
            &Observation::Verdict(VerdictObserved {
                bucket: name,
                began: Moment(number),
                r: number as u8,
                verdict: Verdict::Stale,
                exposure_us: age_us,
                age_us,
                value_age_us: None,
                missed_by,
                silent: Vec::new(),
            }),
        );
        record.take(Moment(number), &converged("b", age_us));
    }
    assert!(record.bytes() <= SliRecord::BYTES_MAX, "{} of {}", record.bytes(), SliRecord::BYTES_MAX);
    const { assert!(SliRecord::BYTES_MAX <= 768 * 1024) };
}
