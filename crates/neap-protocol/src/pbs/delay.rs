//! How long one message takes: a mixture of Pareto and exponential delays, or what was measured.

/// One part of a mixture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// How often it is drawn, beside the others.
    pub weight: f64,
    /// What is drawn from it.
    pub shape: Shape,
}

/// A distribution of delays, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Pareto, type I: `scale * U^(-1/alpha)`.
    Pareto {
        /// The shortest delay, in milliseconds.
        scale_ms: f64,
        /// The tail's exponent.
        alpha: f64,
    },
    /// Exponential.
    Exponential {
        /// The rate, per millisecond: the inverse of the mean.
        rate_per_ms: f64,
    },
    /// Always the same.
    Fixed {
        /// The delay, in milliseconds.
        delay_ms: f64,
    },
}

/// A delay that cannot be. Nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidDelay {
    /// There is nothing to draw from.
    #[error("a delay needs at least one component with a weight above 0")]
    Empty,
    /// A number is out of range.
    #[error("{what} = {given} is out of range: {accepted} is accepted")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What was given.
        given: f64,
        /// What is accepted.
        accepted: &'static str,
    },
}

/// The distribution of one leg's delays.
#[derive(Debug, Clone, PartialEq)]
pub enum Delay {
    /// A mixture: each message draws a component, then a delay of it.
    Mixture(Vec<Component>),
    /// Measured delays in ascending order, in milliseconds: one of them is drawn, or a value between two neighbours.
    Measured(Vec<f64>),
    /// Measured delays by the share of all that is no longer, both ascending, from 0 to 1: a value between two
    /// neighbours is drawn. They may be closer where it matters, in the tail.
    Quantiles(Vec<(f64, f64)>),
}

impl Delay {
    /// No delay at all.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed(0.0)
    }

    /// Always `delay_ms` milliseconds.
    #[must_use]
    pub fn fixed(delay_ms: f64) -> Self {
        Self::Mixture(vec![Component { weight: 1.0, shape: Shape::Fixed { delay_ms } }])
    }

    /// A Pareto body with an exponential tail, as the published fits are.
    #[must_use]
    pub fn pareto_exponential(body: (f64, f64, f64), tail: (f64, f64)) -> Self {
        let (weight, scale_ms, alpha) = body;
        let body = Component { weight, shape: Shape::Pareto { scale_ms, alpha } };
        let (weight, rate_per_ms) = tail;
        Self::Mixture(vec![body, Component { weight, shape: Shape::Exponential { rate_per_ms } }])
    }

    /// A mixture, checked.
    pub fn mixture(components: Vec<Component>) -> Result<Self, InvalidDelay> {
        let out = |what, given, accepted| Err(InvalidDelay::OutOfRange { what, given, accepted });
        for component in &components {
            if !(component.weight >= 0.0 && component.weight.is_finite()) {
                return out("weight", component.weight, "0 or more");
            }
            match component.shape {
                Shape::Pareto { scale_ms, .. } if !(scale_ms >= 0.0 && scale_ms.is_finite()) => {
                    return out("scale_ms", scale_ms, "0 or more milliseconds");
                }
                Shape::Pareto { alpha, .. } if !(alpha > 0.0 && alpha.is_finite()) => {
                    return out("alpha", alpha, "more than 0");
                }
                Shape::Exponential { rate_per_ms } if !(rate_per_ms > 0.0 && rate_per_ms.is_finite()) => {
                    return out("rate_per_ms", rate_per_ms, "more than 0");
                }
                Shape::Fixed { delay_ms } if !(delay_ms >= 0.0 && delay_ms.is_finite()) => {
                    return out("delay_ms", delay_ms, "0 or more milliseconds");
                }
                Shape::Pareto { .. } | Shape::Exponential { .. } | Shape::Fixed { .. } => {}
            }
        }
        let some = components.iter().any(|component| component.weight > 0.0);
        if some { Ok(Self::Mixture(components)) } else { Err(InvalidDelay::Empty) }
    }

    /// What was measured, in any order, in milliseconds.
    pub fn measured(mut delays_ms: Vec<f64>) -> Result<Self, InvalidDelay> {
        if let Some(&given) = delays_ms.iter().find(|delay| !(**delay >= 0.0 && delay.is_finite())) {
            let accepted = "0 or more milliseconds";
            return Err(InvalidDelay::OutOfRange { what: "delays_ms", given, accepted });
        }
        delays_ms.sort_by(f64::total_cmp);
        if delays_ms.is_empty() { Err(InvalidDelay::Empty) } else { Ok(Self::Measured(delays_ms)) }
    }

    /// What was measured, as pairs of the share of all that took no longer and the time in milliseconds.
    pub fn quantiles(pairs: Vec<(f64, f64)>) -> Result<Self, InvalidDelay> {
        let out = |what, given, accepted| Err(InvalidDelay::OutOfRange { what, given, accepted });
        let (Some((first, _)), Some((last, _))) = (pairs.first(), pairs.last()) else {
            return Err(InvalidDelay::Empty);
        };
        if *first != 0.0 || *last != 1.0 {
            let given = if *first == 0.0 { *last } else { *first };
            return out("quantile", given, "0 for the first and 1 for the last");
        }
        if let Some((_, given)) = pairs.iter().find(|(_, delay)| !(*delay >= 0.0 && delay.is_finite())) {
            return out("delay_ms", *given, "0 or more milliseconds");
        }
        let falls = pairs.iter().zip(pairs.iter().skip(1)).find(|(a, b)| a.0 >= b.0 || a.1 > b.1);
        if let Some((_, (given, _))) = falls {
            return out("quantile", *given, "ascending, with a time that is no shorter");
        }
        Ok(Self::Quantiles(pairs))
    }

    /// Draws a delay, in milliseconds. `uniform` draws from [0, 1).
    pub fn draw_ms(&self, uniform: &mut impl FnMut() -> f64) -> f64 {
        match self {
            Self::Mixture(components) => {
                let total: f64 = components.iter().map(|component| component.weight).sum();
                let mut pick = uniform() * total;
                let chosen = components.iter().find(|component| {
                    pick -= component.weight;
                    pick < 0.0
                });
                // The sum of the weights may round up to what was picked.
                let chosen = chosen.or(components.last());
                chosen.map_or(0.0, |component| component.shape.draw_ms(uniform))
            }
            Self::Measured(sorted) => {
                let place = uniform() * (sorted.len().saturating_sub(1)) as f64;
                let below = place as usize;
                let at = |index: usize| sorted.get(index).copied();
                let low = at(below).unwrap_or(0.0);
                let high = at(below + 1).unwrap_or(low);
                low + (high - low) * (place - below as f64)
            }
            Self::Quantiles(pairs) => {
                let share = uniform();
                let above = pairs.partition_point(|(quantile, _)| *quantile <= share);
                let at = |index: usize| pairs.get(index).or(pairs.last()).copied().unwrap_or((1.0, 0.0));
                let ((from, low), (to, high)) = (at(above.saturating_sub(1)), at(above));
                if to > from { low + (high - low) * (share - from) / (to - from) } else { high }
            }
        }
    }
}

impl Shape {
    fn draw_ms(self, uniform: &mut impl FnMut() -> f64) -> f64 {
        // In (0, 1]: neither the power nor the logarithm meets a zero.
        let u = 1.0 - uniform();
        match self {
            Self::Pareto { scale_ms, alpha } => scale_ms * u.powf(-1.0 / alpha),
            Self::Exponential { rate_per_ms } => -u.ln() / rate_per_ms,
            Self::Fixed { delay_ms } => delay_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves() -> impl FnMut() -> f64 {
        || 0.5
    }

    #[test]
    fn quantiles_of_each_shape_are_those_of_its_formula() {
        let mut uniform = halves();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(Shape::Pareto { scale_ms: 2.0, alpha: 1.0 }.draw_ms(&mut uniform), 4.0));
        assert!(close(
            Shape::Exponential { rate_per_ms: 2.0 }.draw_ms(&mut uniform),
            std::f64::consts::LN_2 / 2.0
        ));
        assert!(close(Delay::fixed(7.0).draw_ms(&mut uniform), 7.0));
        assert!(close(Delay::measured(vec![3.0, 1.0]).unwrap().draw_ms(&mut uniform), 2.0));
    }

    #[test]
    fn a_mixture_draws_each_component_as_often_as_it_weighs() {
        let fixed = |weight, delay_ms| Component { weight, shape: Shape::Fixed { delay_ms } };
        let delay = Delay::mixture(vec![fixed(1.0, 1.0), fixed(3.0, 2.0)]).unwrap();
        let mut step = 0;
        let mut uniform = || {
            step += 1;
            f64::from(step % 1_000) / 1_000.0
        };
        let ones = (0..10_000).filter(|_| delay.draw_ms(&mut uniform) == 1.0).count();
        assert!((2_400..=2_600).contains(&ones), "{ones}");
    }

    #[test]
    fn a_table_of_quantiles_is_drawn_from_in_proportion_and_between_its_values() {
        let delay = Delay::quantiles(vec![(0.0, 1.0), (0.9, 1.0), (0.99, 10.0), (1.0, 110.0)]).unwrap();
        let draw = |share: f64| delay.draw_ms(&mut || share);
        assert_eq!((draw(0.0), draw(0.5)), (1.0, 1.0));
        assert!((draw(0.945) - 5.5).abs() < 1e-9, "{}", draw(0.945));
        assert!((draw(0.995) - 60.0).abs() < 1e-9, "{}", draw(0.995));
        assert!(draw(0.999_999) <= 110.0);
    }

    #[test]
    fn a_table_of_quantiles_that_is_none_is_refused() {
        for pairs in [
            vec![],
            vec![(0.1, 1.0), (1.0, 2.0)],
            vec![(0.0, 1.0), (0.9, 2.0)],
            vec![(0.0, 2.0), (1.0, 1.0)],
            vec![(0.0, 1.0), (0.5, 2.0), (0.5, 3.0), (1.0, 4.0)],
            vec![(0.0, -1.0), (1.0, 1.0)],
        ] {
            assert!(Delay::quantiles(pairs.clone()).is_err(), "{pairs:?} was accepted");
        }
    }

    #[test]
    fn what_cannot_be_a_delay_is_refused_by_name() {
        let component =
            |shape| Delay::mixture(vec![Component { weight: 1.0, shape }]).unwrap_err().to_string();
        assert!(component(Shape::Pareto { scale_ms: 1.0, alpha: 0.0 }).contains("alpha = 0"));
        assert!(component(Shape::Exponential { rate_per_ms: -1.0 }).contains("rate_per_ms = -1"));
        assert!(component(Shape::Fixed { delay_ms: f64::NAN }).contains("delay_ms = NaN"));
        assert_eq!(Delay::mixture(Vec::new()), Err(InvalidDelay::Empty));
        assert_eq!(Delay::measured(Vec::new()), Err(InvalidDelay::Empty));
    }
}
