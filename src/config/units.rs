//! Durations and sizes as people write them: `250ms`, `20MiB`. The one place that reads and writes them.

use std::fmt;
use std::time::Duration;

/// The longest duration that is accepted: ten years of 365 days.
pub const DURATION_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// The largest size that is accepted: 1 PiB.
pub const SIZE_MAX: u64 = 1 << 50;

const DURATION_UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Text that is no duration, or no size. Its message says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a whole number followed by a unit of time.
    #[error("{given:?} is not a duration; accepted: {}", Accepted::Duration)]
    Duration {
        /// What was given.
        given: String,
    },
    /// Longer than [`DURATION_MAX`].
    #[error("{given:?} is too long; accepted: {}", Accepted::Duration)]
    TooLong {
        /// What was given.
        given: String,
    },
    /// No time at all, where some is needed.
    #[error("{given:?} is no time; accepted: 1ms or more, such as 10s")]
    NoTime {
        /// What was given.
        given: String,
    },
    /// Not a whole number, with or without a unit of size.
    #[error("{given:?} is not a size; accepted: {}", Accepted::Size)]
    Size {
        /// What was given.
        given: String,
    },
    /// Larger than [`SIZE_MAX`].
    #[error("{given:?} is too large; accepted: {}", Accepted::Size)]
    TooLarge {
        /// What was given.
        given: String,
    },
}

/// What is accepted, as text for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Of durations.
    Duration,
    /// Of sizes.
    Size,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duration => {
                "a whole number and its unit, ms, s, m, h or d, such as 250ms, 2s or 3h; at most 3650d"
            }
            Self::Size => {
                "a whole number of bytes, or one with its unit, B, KiB, MiB, GiB or TiB, such as 64KiB or 20MiB; \
                 at most 1024TiB"
            }
        })
    }
}

/// Reads a duration: digits and one of `ms`, `s`, `m`, `h`, `d`, nothing between. `0s` is one; `0` is not.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration { given: text.to_owned() };
    let (digits, unit) = split(text).ok_or_else(wrong)?;
    let (_, unit_ms) = DURATION_UNITS_MS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    scaled(digits, *unit_ms)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| UnitError::TooLong { given: text.to_owned() })
}

/// The same, of what takes some time: not 0.
pub fn parse_time_taken(text: &str) -> Result<Duration, UnitError> {
    let duration = parse_duration(text)?;
    if duration.is_zero() { Err(UnitError::NoTime { given: text.to_owned() }) } else { Ok(duration) }
}

/// Reads a size in bytes: digits, alone or with one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::Size { given: text.to_owned() };
    let (digits, unit) = split(text).ok_or_else(wrong)?;
    let unit_bytes = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
    };
    scaled(digits, unit_bytes)
        .filter(|bytes| *bytes <= SIZE_MAX)
        .ok_or_else(|| UnitError::TooLarge { given: text.to_owned() })
}

/// Writes a duration in the largest unit that keeps it whole, in milliseconds at the finest.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 { "0s".to_owned() } else { in_largest_unit(ms, &DURATION_UNITS_MS) }
}

/// Writes a size in the largest unit that keeps it whole.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { in_largest_unit(bytes, &SIZE_UNITS) }
}

fn in_largest_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| amount.is_multiple_of(unit.1);
    units
        .iter()
        .find(fits)
        .map_or_else(|| amount.to_string(), |(name, unit)| format!("{}{name}", amount / unit))
}

/// The leading digits, of which there is one at least, and the rest.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

/// None when the product is beyond 64 bits.
fn scaled(digits: &str, unit: u64) -> Option<u64> {
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, ms) in
            [("250ms", 250), ("2s", 2_000), ("5m", 300_000), ("3h", 10_800_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("3650d"), Ok(DURATION_MAX));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_is_accepted() {
        for text in ["", "5", "0", "-5s", "+5s", "1.5s", "5 s", " 5s", "5s ", "5S", "5us", "s", "5sec", "٣s"]
        {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(error, UnitError::Duration { given: text.to_owned() });
            assert!(error.to_string().contains("such as 250ms"), "{error}");
        }
        for text in ["3651d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), Err(UnitError::TooLong { given: text.to_owned() }));
        }
    }

    #[test]
    fn what_takes_time_takes_some() {
        assert_eq!(parse_time_taken("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_time_taken("5"), Err(UnitError::Duration { given: "5".to_owned() }));
        for text in ["0s", "0ms"] {
            let error = parse_time_taken(text).unwrap_err();
            assert_eq!(error, UnitError::NoTime { given: text.to_owned() });
            assert!(error.to_string().contains("1ms or more"), "{error}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [("64KiB", 65_536), ("20MiB", 20 << 20), ("4GiB", 4 << 30), ("1TiB", 1 << 40)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(parse_size("1048577"), Ok(1_048_577));
        assert_eq!(parse_size("1024TiB"), Ok(SIZE_MAX));
        assert_eq!(format_size(1_048_577), "1048577B");
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_is_accepted() {
        for text in ["", "-1", "1.5MiB", "1MB", "1 MiB", "1mib", "MiB", "1K"] {
            let error = parse_size(text).unwrap_err();
            assert_eq!(error, UnitError::Size { given: text.to_owned() });
            assert!(error.to_string().contains("such as 64KiB"), "{error}");
        }
        for text in ["1025TiB", "18446744073709551616", "18446744073709551615TiB"] {
            assert_eq!(parse_size(text), Err(UnitError::TooLarge { given: text.to_owned() }));
        }
    }
}
