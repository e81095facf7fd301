//! The model as neap carries operations out, fed with what a cluster measured of itself.
//!
//! It differs from the model as published ([`super::Experiment`]) in what is true here: writer and reader are homes. The
//! writer's own replica has the write before the others are sent it, and acknowledges after its own sync. A reader asks
//! its own replica first, and as many others as R needs, not all. And what the client adds is in it: it cannot read
//! before it has heard of the commit.

use super::delay::Delay;
use super::wars::Trial;
use crate::quorum::Quorum;

/// The measured delays.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeLegs {
    /// The write, from when it was sent to another home until that applied it.
    pub write: Delay,
    /// From then until that home acknowledged: its sync.
    pub sync: Delay,
    /// The acknowledgement, back.
    pub ack: Delay,
    /// From when the write was sent to the others until the writer's own replica acknowledged.
    pub own_ack: Delay,
    /// A question, out to another home.
    pub read: Delay,
    /// Its answer, back.
    pub answer: Delay,
    /// The question to the reader's own replica, there and back.
    pub own_read: Delay,
    /// A client's whole round trip with a read, as the client measures it. Of it the client's read has the way out
    /// and the hearing of the commit had the way back, each to and from the same place in a node; so together they
    /// took one round trip, and it matters to nothing how it splits.
    pub client_round: Delay,
}

/// A write at one home, and a read at one, chosen independently.
#[derive(Debug, Clone, PartialEq)]
pub struct AtHomes {
    /// N, R and W.
    pub quorum: Quorum,
    /// The delays.
    pub legs: HomeLegs,
}

impl AtHomes {
    /// Draws one trial. `uniform` draws from [0, 1). The time in it counts from when the client heard of the commit.
    pub fn trial(&self, uniform: &mut impl FnMut() -> f64) -> Trial {
        let (n, legs) = (usize::from(self.quorum.n), &self.legs);
        let mut pick = || ((uniform() * n as f64) as usize).min(n.saturating_sub(1));
        let (writer, reader) = (pick(), pick());
        // From when the write is sent to the others.
        let mut applied_ms = Vec::with_capacity(n);
        let mut write_ms = Vec::with_capacity(n);
        for home in 0..n {
            if home == writer {
                applied_ms.push(f64::NEG_INFINITY);
                write_ms.push(legs.own_ack.draw_ms(uniform));
            } else {
                let applied = legs.write.draw_ms(uniform);
                applied_ms.push(applied);
                write_ms.push(applied + legs.sync.draw_ms(uniform) + legs.ack.draw_ms(uniform));
            }
        }
        write_ms.sort_by(f64::total_cmp);
        let committed = write_ms.get(usize::from(self.quorum.w).saturating_sub(1)).copied().unwrap_or(0.0);

        let own_read = legs.own_read.draw_ms(uniform);
        // The client's round holds the reader's own one, of which the way back is not gone through before the read.
        let asked_own = committed + legs.client_round.draw_ms(uniform) - own_read / 2.0;
        let asked = asked_own - own_read / 2.0;
        let mut answers = vec![(own_read, applied_ms.get(reader).copied().unwrap_or(0.0) - asked_own)];
        for step in 1..usize::from(self.quorum.r).min(n) {
            let (out, back) = (legs.read.draw_ms(uniform), legs.answer.draw_ms(uniform));
            let applied = applied_ms.get((reader + step) % n).copied().unwrap_or(0.0);
            answers.push((out + back, applied - (asked + out)));
        }
        let consistent_after_ms = answers.iter().map(|(_, late)| *late).fold(f64::INFINITY, f64::min);
        let mut read_ms: Vec<f64> = answers.into_iter().map(|(took, _)| took).collect();
        read_ms.sort_by(f64::total_cmp);
        Trial { consistent_after_ms, read_ms, write_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pbs::Curve;

    fn legs() -> HomeLegs {
        HomeLegs {
            write: Delay::fixed(10.0),
            sync: Delay::none(),
            ack: Delay::fixed(1.0),
            own_ack: Delay::fixed(2.0),
            read: Delay::fixed(0.5),
            answer: Delay::fixed(0.5),
            own_read: Delay::fixed(0.2),
            client_round: Delay::fixed(3.0),
        }
    }

    fn uniform() -> impl FnMut() -> f64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn curve((r, w): (u8, u8), legs: HomeLegs) -> Curve {
        let experiment = AtHomes { quorum: Quorum { n: 3, r, w }, legs };
        let mut uniform = uniform();
        Curve::of((0..30_000).map(|_| experiment.trial(&mut uniform)))
    }

    #[test]
    fn only_a_reader_that_is_not_the_writer_can_miss_it_and_only_until_the_write_came() {
        let curve = curve((1, 1), legs());
        // Committed at 2, asked at its own replica 2.9 later, applied elsewhere at 10.
        assert!((curve.consistent_at(5.0) - 1.0 / 3.0).abs() < 0.01, "{}", curve.consistent_at(5.0));
        assert!((curve.consistent_at(5.2) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_overlap_of_read_and_write_homes_misses_nothing() {
        for quorum in [(1, 3), (3, 1), (2, 2)] {
            assert!((curve(quorum, legs()).consistent_at(0.0) - 1.0).abs() < f64::EPSILON, "{quorum:?}");
        }
    }

    #[test]
    fn a_commit_by_another_home_comes_before_a_slow_sync_of_ones_own() {
        let slow = HomeLegs { own_ack: Delay::fixed(100.0), ..legs() };
        assert!((curve((1, 1), slow).write_ms(1, 0.5) - 11.0).abs() < 1e-9);
    }

    #[test]
    fn waits_for_the_write_to_spread_follow_the_measured_way_out() {
        let write = Delay::quantiles(vec![(0.0, 0.0), (0.5, 4.9), (1.0, 104.9)]).unwrap();
        let curve = curve((1, 1), HomeLegs { write, ack: Delay::fixed(1_000.0), ..legs() });
        let stale = 1.0 - curve.consistent_at(0.0);
        assert!((stale - 2.0 / 3.0 / 2.0).abs() < 0.01, "{stale}");
    }
}
