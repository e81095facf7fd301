//! Durations as people write them: `250ms`, `2s`, `3h`.

/// What [`parse_duration`] accepts, for messages.
pub const ACCEPTED: &str = "a whole number with a unit of ms, s, m or h, such as 250ms or 2s";

const UNITS: [(&str, u64); 4] = [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// Reads a duration; the result is in microseconds. None if it has no unit, an unknown one, anything but
/// digits before it, or does not fit.
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// Writes a duration of `micros` microseconds in the largest unit that shows it exactly; what is finer
/// than a millisecond is cut off.
#[must_use]
pub fn format_duration(micros: u64) -> String {
    let exact = UNITS.iter().rev().find(|(_, scale)| micros >= *scale && micros.is_multiple_of(*scale));
    match exact {
        Some((unit, scale)) => format!("{}{unit}", micros / scale),
        None => format!("{}ms", micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_digits_and_a_known_unit() {
        for (text, micros) in [("1ms", 1_000), ("250ms", 250_000), ("2s", 2_000_000), ("3h", 10_800_000_000)]
        {
            assert_eq!(parse_duration(text), Some(micros), "{text}");
        }
        for text in ["", "5", "s", "-1s", "+1s", "1.5s", "1 s", "1d", "1S", "1sec", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_in_the_largest_exact_unit() {
        for text in ["1ms", "250ms", "2s", "90s", "5m", "3h"] {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(text));
        }
    }
}
