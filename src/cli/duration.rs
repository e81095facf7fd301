//! Durations as people write them.

use std::time::Duration;

/// Reads `250ms`, `2s`, `5m` or `3h`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let total_ms = number.parse::<u64>().ok().zip(unit_ms).and_then(|(n, ms)| n.checked_mul(ms));
    total_ms
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration: 250ms, 2s, 5m and 3h are accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("3h"), Ok(Duration::from_secs(10_800)));
        for wrong in ["", "5", "s", "-1s", "1.5s", "2 s", "99999999999999999999s", "99999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
