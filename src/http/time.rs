//! Moments as RFC 3339 text, in UTC, to the microsecond.

use ::time::OffsetDateTime;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::protocol::time::{Hlc, WallMicros};

/// The wall clock, now.
#[must_use]
pub fn now() -> WallMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The microsecond of `hlc`, such as `2025-01-31T09:07:05.000042Z`.
#[must_use]
pub fn rfc3339(hlc: Hlc) -> String {
    // An HLC holds 52 bits of microseconds, which end in the year 2112, so the conversion cannot fail.
    let nanos = i128::from(hlc.wall().0) * 1_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_six_digits_and_a_z() {
        let at = |micros| rfc3339(Hlc::from_wall(WallMicros(micros)));
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_738_314_425_000_042), "2025-01-31T09:07:05.000042Z");
        assert_eq!(at(951_782_400_123_456), "2000-02-29T00:00:00.123456Z");
        assert_eq!(rfc3339(Hlc(u64::MAX)), "2112-09-17T23:53:47.370495Z");
    }
}
