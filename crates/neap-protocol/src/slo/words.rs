//! Numbers as a tired person reads them.

/// A time in microseconds, in one unit: `1h`, `30m`, `36s`, `250ms`.
#[must_use]
pub fn span(us: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];
    let whole = UNITS.iter().find(|(_, unit)| us >= *unit && us.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", us / unit),
        None => seconds(us as f64 / 1e6).replace(' ', ""),
    }
}

/// Seconds, in the unit that fits: `0 ms`, `12.3 ms`, `4.20 s`, `2.5 min`, `1.0 h`.
#[must_use]
pub fn seconds(s: f64) -> String {
    if s < 0.000_000_5 {
        "0 ms".to_owned()
    } else if s < 0.010 {
        format!("{:.2} ms", s * 1e3)
    } else if s < 0.1 {
        format!("{:.1} ms", s * 1e3)
    } else if s < 1.0 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 120.0 {
        format!("{s:.2} s")
    } else if s < 3_600.0 {
        format!("{:.1} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3_600.0)
    }
}

/// A share: `0 %`, `0.042 %`, `0.42 %`, `12.3 %`.
#[must_use]
pub fn share(of: f64) -> String {
    let percent = of * 100.0;
    if percent == 0.0 {
        "0 %".to_owned()
    } else if percent < 0.1 {
        format!("{percent:.3} %")
    } else if percent < 10.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// An interval, as one number where its ends read alike.
#[must_use]
pub fn between(low: &str, high: &str) -> String {
    if low == high { high.to_owned() } else { format!("{low} to {high}") }
}

/// A count: `12,400`.
#[must_use]
pub fn count(of: u64) -> String {
    let digits = of.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        assert_eq!(
            count(0) + " " + &count(999) + " " + &count(12_400) + " " + &count(1_234_567),
            "0 999 12,400 1,234,567"
        );
        for (us, text) in [(3_600_000_000, "1h"), (36_000_000, "36s"), (90_000_000, "90s"), (1_500, "1.50ms")]
        {
            assert_eq!(span(us), text);
        }
        for (s, text) in
            [(0.0, "0 ms"), (0.0042, "4.20 ms"), (0.5, "500 ms"), (5.0, "5.00 s"), (3_600.0, "1.0 h")]
        {
            assert_eq!(seconds(s), text);
        }
        for (of, text) in
            [(0.0, "0 %"), (0.001, "0.10 %"), (0.0005, "0.050 %"), (0.0042, "0.42 %"), (0.5, "50.0 %")]
        {
            assert_eq!(share(of), text);
        }
        assert_eq!(between("1 s", "1 s") + ", " + &between("1 s", "2 s"), "1 s, 1 s to 2 s");
    }
}
