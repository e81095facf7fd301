//! The published experiment, run through the protocol code: `neap sim pbs` with fewer reads.

use neap::protocol::pbs::{Curve, Experiment, Preset, Published};
use neap::protocol::quorum::Quorum;
use neap::sim::pbs::{Measured, Measurement};
use neap::sim::queue::MILLIS;
use neap::sim::random::Random;

const POINTS_MS: [u64; 4] = [0, 1, 5, 10];

fn measure(preset: Preset, (r, w): (u8, u8), local_leg: bool, reads: u64) -> (Experiment, Measured) {
    let quorum = Quorum { n: 3, r, w };
    let experiment = Experiment { quorum, legs: preset.legs(), local_leg };
    let points = POINTS_MS.map(|ms| ms * MILLIS).to_vec();
    let measurement = Measurement { experiment: experiment.clone(), points, reads, seed: 1 };
    let mut measured = Measured::default();
    (0..measurement.worlds()).for_each(|world| measured.add(measurement.run(world).unwrap()));
    (experiment, measured)
}

fn shares(measured: &Measured) -> Vec<f64> {
    measured.reads.iter().map(|(answered, consistent)| *consistent as f64 / *answered as f64).collect()
}

#[test]
fn the_protocol_is_as_consistent_as_published() {
    for preset in [Preset::LnkdSsd, Preset::LnkdDisk] {
        for (r, w) in [(1, 1), (1, 2), (2, 1)] {
            let (experiment, measured) = measure(preset, (r, w), false, 20_000);
            let published = Published::of(preset, experiment.quorum).unwrap();
            for (t, share) in POINTS_MS.into_iter().zip(shares(&measured)) {
                let Some(expected) = published.consistent_at(t as f64) else { continue };
                let what = format!("{} R={r} W={w} at {t} ms: {share}, published {expected}", preset.name());
                assert!((share - expected).abs() <= 0.01, "{what}");
            }
        }
    }
}

#[test]
fn the_protocol_is_as_consistent_as_the_monte_carlo_where_the_own_leg_is_local() {
    for (preset, r, w) in [(Preset::LnkdDisk, 1, 1), (Preset::Wan, 2, 1), (Preset::Ymmr, 1, 2)] {
        let (experiment, measured) = measure(preset, (r, w), true, 20_000);
        let mut random = Random::new(1, "monte carlo");
        let mut uniform = || random.uniform();
        let curve = Curve::of((0..200_000).map(|_| experiment.trial(&mut uniform)).collect::<Vec<_>>());
        for (t, share) in POINTS_MS.into_iter().zip(shares(&measured)) {
            let expected = curve.consistent_at(t as f64);
            let what = format!("{} R={r} W={w} at {t} ms: {share}, Monte Carlo {expected}", preset.name());
            assert!((share - expected).abs() <= 0.01, "{what}");
        }
    }
}
