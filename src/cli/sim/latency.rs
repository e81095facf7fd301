//! How long simulated messages take: a preset, or a file.

use std::path::Path;

use serde::Deserialize;

use crate::protocol::pbs::{Component, Delay, InvalidDelay, Legs, Preset, Shape};

/// Delays by name.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    /// What was asked for.
    pub(super) name: String,
    /// The preset, if it is one.
    pub(super) preset: Option<Preset>,
    /// The delays.
    pub(super) legs: Legs,
}

/// Why there are no such delays.
#[derive(Debug, thiserror::Error)]
pub(super) enum LatencyError {
    #[error("latency = {given}: {accepted} or a file are accepted, and the file cannot be read: {cause}")]
    Read { given: String, accepted: String, cause: std::io::Error },
    #[error("{file}: {cause}")]
    Toml { file: String, cause: toml::de::Error },
    #[error("{file}: {leg}: {cause}")]
    Delay { file: String, leg: &'static str, cause: InvalidDelay },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    write: LegFile,
    ack: LegFile,
    read: LegFile,
    answer: LegFile,
    #[serde(default)]
    between_sites_ms: f64,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum LegFile {
    Measured { measured_ms: Vec<f64> },
    Mixture { mixture: Vec<ComponentFile> },
}

#[derive(Deserialize)]
struct ComponentFile {
    #[serde(default = "whole")]
    weight: f64,
    #[serde(flatten)]
    shape: ShapeFile,
}

fn whole() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "shape")]
enum ShapeFile {
    Pareto { scale_ms: f64, alpha: f64 },
    Exponential { rate_per_ms: f64 },
    Fixed { delay_ms: f64 },
}

impl LegFile {
    fn delay(self) -> Result<Delay, InvalidDelay> {
        match self {
            Self::Measured { measured_ms } => Delay::measured(measured_ms),
            Self::Mixture { mixture } => {
                let components = mixture.into_iter().map(|component| Component {
                    weight: component.weight,
                    shape: match component.shape {
                        ShapeFile::Pareto { scale_ms, alpha } => Shape::Pareto { scale_ms, alpha },
                        ShapeFile::Exponential { rate_per_ms } => Shape::Exponential { rate_per_ms },
                        ShapeFile::Fixed { delay_ms } => Shape::Fixed { delay_ms },
                    },
                });
                Delay::mixture(components.collect())
            }
        }
    }
}

impl Latency {
    /// The preset of that name, or what the file of that name holds.
    pub(super) fn named(name: &str) -> Result<Self, LatencyError> {
        if let Some(preset) = Preset::named(name) {
            return Ok(Self { name: name.to_owned(), preset: Some(preset), legs: preset.legs() });
        }
        let text = std::fs::read_to_string(Path::new(name)).map_err(|cause| LatencyError::Read {
            given: name.to_owned(),
            accepted: Preset::ALL.map(Preset::name).join(", "),
            cause,
        })?;
        Ok(Self { name: name.to_owned(), preset: None, legs: parse(name, &text)? })
    }
}

fn parse(file: &str, text: &str) -> Result<Legs, LatencyError> {
    let File { write, ack, read, answer, between_sites_ms } =
        toml::from_str(text).map_err(|cause| LatencyError::Toml { file: file.to_owned(), cause })?;
    let leg = |leg, delay: LegFile| {
        delay.delay().map_err(|cause| LatencyError::Delay { file: file.to_owned(), leg, cause })
    };
    Ok(Legs {
        write: leg("write", write)?,
        ack: leg("ack", ack)?,
        read: leg("read", read)?,
        answer: leg("answer", answer)?,
        between_sites_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_each_leg_takes() {
        let leg = "mixture = [{ weight = 0.5, shape = 'pareto', scale_ms = 0.2, alpha = 10.0 }, \
                   { weight = 0.5, shape = 'exponential', rate_per_ms = 1.5 }]";
        let text = format!(
            "between_sites_ms = 20.0\n[write]\n{leg}\n[ack]\n{leg}\n[read]\nmeasured_ms = [0.3, 0.1]\n\
             [answer]\nmixture = [{{ shape = 'fixed', delay_ms = 1.0 }}]\n"
        );
        let legs = parse("x", &text).unwrap();
        assert_eq!(legs.read, Delay::measured(vec![0.1, 0.3]).unwrap());
        assert_eq!((legs.answer, legs.between_sites_ms), (Delay::fixed(1.0), 20.0));
        let broken = text.replace("alpha = 10.0", "alpha = -1.0");
        let error = parse("x", &broken).unwrap_err().to_string();
        assert!(error.contains("write") && error.contains("alpha = -1"), "{error}");
        let error = Latency::named("lan").unwrap_err().to_string();
        assert!(error.contains("lnkd-ssd") && error.contains("lan"), "{error}");
    }
}
