//! What names a span, as the `traceparent` header has it, and which traces are kept from the start.
//!
//! W3C Trace Context, level 1: <https://www.w3.org/TR/trace-context-1/#traceparent-header>.

use std::fmt;

/// What version 00 is long; later versions may be longer.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
/// Of a trace id, how many of its low bits are taken to be random.
const RANDOM_BITS: u32 = 56;

/// Names a trace and a span of it (W3C Trace Context, level 1). The protocol carries it, and goes by nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether the trace is kept from the start.
    pub sampled: bool,
}

impl TraceContext {
    /// Of a header. None if it is not one: then a trace begins here, and the header is as if it was not there.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        // A later version may say more after what version 00 says.
        let (known, rest) = header.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let ends_well = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let valid = parts.next().is_none() && ends_well && trace != 0 && span != 0;
        valid.then_some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// A trace that begins here, of random numbers that the caller draws. It is kept if the random part of its id is
    /// among the `ratio` highest, so that every node and collector that goes by the id decides alike.
    #[must_use]
    pub fn fresh(trace: u128, span: u64, ratio: f64) -> Self {
        Self { trace: trace.max(1), span: span.max(1), sampled: is_kept(trace, ratio) }
    }

    /// As a header's value. By hand: it is made for every traced request, and formatting costs as much as the rest of a
    /// reply's headers.
    #[must_use]
    pub fn header(self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        let mut put = |from: usize, digits: usize, number: u128| {
            let places = text.iter_mut().skip(from).take(digits).rev();
            for (place, at) in places.zip(0u32..) {
                let digit = (number >> (4 * at)) as u8 & 0xf;
                *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            }
        };
        put(0, 2, 0);
        put(3, 32, self.trace);
        put(36, 16, self.span.into());
        put(53, 2, self.sampled.into());
        text
    }

    /// Of a span under this one, in the same trace.
    #[must_use]
    pub fn child(self, span: u64) -> Self {
        Self { span: span.max(1), ..self }
    }
}

/// As a header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.header()))
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != digits || !lower { None } else { u128::from_str_radix(text, 16).ok() }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^56, which a float holds with the precision of a ratio"
)]
fn is_kept(trace: u128, ratio: f64) -> bool {
    let random = trace as u64 & ((1 << RANDOM_BITS) - 1);
    let threshold = (1.0 - ratio.clamp(0.0, 1.0)) * (1_u64 << RANDOM_BITS) as f64;
    random >= threshold as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written_alike() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span, 0x00f0_67aa_0ba9_02b7);
        assert!(context.sampled);
        assert_eq!(context.to_string(), HEADER);
        assert_eq!(context.header(), HEADER.as_bytes());
        let unsampled = HEADER.replace("-01", "-00");
        assert_eq!(TraceContext::parse(&unsampled).unwrap().to_string(), unsampled);
    }

    #[test]
    fn of_the_flags_only_the_sampled_one_is_known() {
        assert!(TraceContext::parse(&HEADER.replace("-01", "-ff")).unwrap().sampled);
        assert!(!TraceContext::parse(&HEADER.replace("-01", "-fe")).unwrap().sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in ["01-", "cc-", "fe-"] {
            let later = HEADER.replacen("00-", later, 1);
            assert_eq!(TraceContext::parse(&later), TraceContext::parse(HEADER));
            assert_eq!(TraceContext::parse(&format!("{later}-what-comes")), TraceContext::parse(HEADER));
            assert_eq!(TraceContext::parse(&format!("{later}.what")), None);
        }
    }

    #[test]
    fn what_is_no_header_is_none() {
        let zero_trace = HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = HEADER.replace("00f067aa0ba902b7", &"0".repeat(16));
        let faults = [
            "",
            "00",
            &zero_trace,
            &zero_span,
            &HEADER.to_uppercase(),
            &HEADER.replacen("00-", "ff-", 1),
            &format!("{HEADER}-more"),
            &format!("{HEADER} "),
            &HEADER.replace('-', "_"),
            &HEADER.replace("-01", "-0x"),
            &HEADER.replace("4bf92", "+bf92"),
            &HEADER.replacen("00-4bf9", "004-bf9", 1),
            &HEADER.replace("-01", "-0é"),
        ];
        for fault in faults {
            assert_eq!(TraceContext::parse(fault), None, "{fault:?}");
        }
    }

    #[test]
    fn no_trace_is_kept_at_a_ratio_of_nothing_and_every_one_at_one() {
        for trace in [0, 1, u128::MAX, 0x00ff_ffff_ffff_ffff] {
            assert!(!TraceContext::fresh(trace, 1, 0.0).sampled, "{trace:x}");
            assert!(TraceContext::fresh(trace, 1, 1.0).sampled, "{trace:x}");
        }
    }

    #[test]
    fn whether_a_trace_is_kept_depends_on_the_low_56_bits_of_its_id_alone() {
        let at_the_threshold = 0x00c0_0000_0000_0000;
        for high in [0_u128, 0xffff_ffff_ffff_ffff_ff00_0000_0000_0000] {
            assert!(TraceContext::fresh(high | at_the_threshold, 1, 0.25).sampled);
            assert!(!TraceContext::fresh(high | (at_the_threshold - 1), 1, 0.25).sampled);
        }
    }

    #[test]
    fn ids_are_never_0_and_a_child_stays_in_its_trace() {
        let context = TraceContext::fresh(0, 0, 1.0);
        assert_eq!((context.trace, context.span), (1, 1));
        assert_eq!(context.child(0), TraceContext { trace: 1, span: 1, sampled: true });
        assert_eq!(context.child(9), TraceContext { trace: 1, span: 9, sampled: true });
    }
}
