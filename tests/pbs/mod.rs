//! The Monte Carlo of the WARS model against closed forms and against published values.

use neap::protocol::pbs::{
    Component, Curve, Delay, Experiment, Legs, Preset, Published, Shape, k_staleness, monotonic_reads,
    one_replica_set,
};
use neap::protocol::quorum::Quorum;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

fn quorum(n: u8, r: u8, w: u8) -> Quorum {
    Quorum { n, r, w }
}

fn exponential(rate_per_ms: f64) -> Delay {
    Delay::mixture(vec![Component { weight: 1.0, shape: Shape::Exponential { rate_per_ms } }]).unwrap()
}

fn curve(experiment: &Experiment, trials: u32) -> Curve {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut uniform = || random.random::<f64>();
    Curve::of((0..trials).map(|_| experiment.trial(&mut uniform)).collect::<Vec<_>>())
}

fn published(preset: Preset, quorum: Quorum) -> Curve {
    curve(&Experiment { quorum, legs: preset.legs(), local_leg: false }, 200_000)
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}

#[test]
fn quorums_that_overlap_are_never_stale() {
    for preset in Preset::ALL {
        for (r, w) in [(2, 2), (1, 3), (3, 1)] {
            close(published(preset, quorum(3, r, w)).consistent_at(0.0), 1.0, 0.0);
        }
    }
}

#[test]
fn the_published_probabilities_and_times_come_out() {
    for preset in [Preset::LnkdSsd, Preset::LnkdDisk] {
        for (r, w) in [(1, 1), (1, 2), (2, 1)] {
            let quorum = quorum(3, r, w);
            let curve = published(preset, quorum);
            let known = Published::of(preset, quorum).unwrap();
            for (t, expected) in known.consistent {
                close(curve.consistent_at(*t), *expected, 0.005);
            }
            close(curve.time_to_ms(0.999), known.t999_ms, known.t999_ms * 0.08);
        }
    }
}

#[test]
fn the_published_latencies_come_out() {
    let curve = published(Preset::LnkdSsd, quorum(3, 1, 1));
    for (k, expected) in [(1, 0.655), (2, 1.632), (3, 4.11)] {
        close(curve.read_ms(k, 0.999), expected, expected * 0.05);
        close(curve.write_ms(k, 0.999), expected, expected * 0.05);
    }
    let curve = published(Preset::LnkdDisk, quorum(3, 1, 1));
    for (k, expected) in [(1, 10.93), (2, 20.96), (3, 111.4)] {
        close(curve.write_ms(k, 0.999), expected, expected * 0.12);
    }
    for (n, expected) in [(2, 0.5758), (5, 0.3201), (10, 0.2103)] {
        close(published(Preset::LnkdDisk, quorum(n, 1, 1)).consistent_at(0.0), expected, 0.005);
    }
}

#[test]
fn exponential_legs_give_the_closed_form_and_depend_on_the_ratio_of_the_rates_only() {
    for (rate, expected) in
        [(4.0, 0.9429), (2.0, 0.8665), (1.0, 0.7518), (0.5, 0.6248), (0.2, 0.4869), (0.1, 0.4196)]
    {
        for scale in [1.0, 10.0] {
            let legs = Legs {
                write: exponential(rate * scale),
                ack: exponential(scale),
                read: exponential(scale),
                answer: exponential(scale),
                between_sites_ms: 0.0,
            };
            let experiment = Experiment { quorum: quorum(3, 1, 1), legs, local_leg: false };
            close(curve(&experiment, 100_000).consistent_at(0.0), expected, 0.006);
        }
    }
}

#[test]
fn with_instant_answers_staleness_decays_with_the_writes_rate() {
    // The R replicas are the same for every trial then, and each lacks the write at t with probability e^(-rate t).
    let none = Delay::none;
    let legs =
        Legs { write: exponential(0.5), ack: none(), read: none(), answer: none(), between_sites_ms: 0.0 };
    let experiment = Experiment { quorum: quorum(3, 1, 1), legs, local_leg: false };
    let curve = curve(&experiment, 200_000);
    for t in [0.0_f64, 1.0, 4.0] {
        let stale = one_replica_set(quorum(3, 1, 1)) * (-0.5 * t).exp();
        close(1.0 - curve.consistent_at(t), stale, 0.005);
    }
}

#[test]
fn closed_forms_of_one_replica_set() {
    close(one_replica_set(quorum(3, 1, 1)), 2.0 / 3.0, 1e-12);
    close(one_replica_set(quorum(3, 2, 1)), 1.0 / 3.0, 1e-12);
    close(one_replica_set(quorum(5, 2, 2)), 3.0 / 10.0, 1e-12);
    close(one_replica_set(quorum(3, 2, 2)), 0.0, 1e-12);
    close(k_staleness(quorum(3, 1, 1), 3), 8.0 / 27.0, 1e-12);
    close(monotonic_reads(quorum(3, 1, 1), 1.0), 4.0 / 9.0, 1e-12);
}

#[test]
fn a_local_leg_makes_a_reader_at_the_writers_node_always_consistent() {
    let experiment = Experiment { quorum: quorum(3, 1, 1), legs: Preset::LnkdDisk.legs(), local_leg: true };
    let curve = curve(&experiment, 100_000);
    // At W = 1 the write commits at once at its coordinator, and a third of the readers are there.
    let at_once = curve.consistent_at(0.0);
    close(at_once, 1.0 / 3.0, 0.006);
    close(curve.read_ms(1, 0.99), 0.0, 1e-9);
}

#[test]
fn presets_are_found_by_name() {
    for preset in Preset::ALL {
        assert_eq!(Preset::named(preset.name()), Some(preset));
    }
    assert_eq!(Preset::named("lan"), None);
}
