//! The windows of the objectives, from run to run.

use std::fs;

use neap::config::{Config, Sources};
use neap::protocol::slo::SloSummary;
use neap::storage::{SloSnapshot, slo_summary};

fn summary(at_us: u64) -> SloSummary {
    SloSummary::empty(&Config::load(&Sources::default()).unwrap().slo.plan(), at_us)
}

#[test]
fn what_was_kept_last_is_there_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = SloSnapshot::of(directory.path());
    assert!(snapshot.load().is_none());
    for (number, at_us) in [(1, 5), (3, 7), (2, 6)] {
        snapshot.save(number, &slo_summary::encode(&summary(at_us))).unwrap();
    }
    assert_eq!(SloSnapshot::of(directory.path()).load().unwrap().at_us, 7);
}

#[test]
fn a_file_that_makes_no_sense_is_as_good_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = SloSnapshot::of(directory.path());
    let mut bytes = slo_summary::encode(&summary(5));
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    for damage in [bytes.as_slice(), b"", b"neapslo"] {
        fs::write(directory.path().join("slo.bin"), damage).unwrap();
        assert!(snapshot.load().is_none());
    }
    fs::remove_file(directory.path().join("slo.bin")).unwrap();
    fs::create_dir(directory.path().join("slo.bin")).unwrap();
    assert!(snapshot.load().is_none());
}
