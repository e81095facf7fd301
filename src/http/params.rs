//! Query parameters. Each call names those it knows; any other is refused.

use std::borrow::Cow;
use std::time::Duration;

use super::error::Problem;
use super::keys::LIMIT_MAX;
use super::target::{KEY64, percent_decode};
use crate::config::units::{Accepted, format_duration, parse_duration};
use crate::protocol::slo::SloScope;

/// The longest time to live, in microseconds: ten years of 365 days.
pub const TTL_MAX_US: u64 = 3_650 * 86_400 * 1_000_000;

/// The shortest duration that is accepted anywhere, in microseconds.
const SHORTEST_US: u64 = 1_000;

/// A query parameter of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// `r`: the R of a read.
    R,
    /// `w`: the W of a write.
    W,
    /// `ttl`: how long a value is shown.
    Ttl,
    /// `timeout`: how long the operation may take.
    Timeout,
    /// `key64`: the key, as base64url.
    Key64,
    /// `scope`: of whom the objectives are shown.
    Scope,
    /// `prefix`: what listed keys start with.
    Prefix,
    /// `start`: the least key that is listed.
    Start,
    /// `limit`: how many keys are listed.
    Limit,
    /// `token`: where a listing goes on.
    Token,
    /// `on_left_out`: whether replicas answer a read that lack what could not be sent to them.
    OnLeftOut,
    /// `max_staleness`: not built.
    MaxStaleness,
    /// `on_stale`: not built.
    OnStale,
}

impl Parameter {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R => "r",
            Self::W => "w",
            Self::Ttl => "ttl",
            Self::Timeout => "timeout",
            Self::Key64 => KEY64,
            Self::Scope => "scope",
            Self::Prefix => "prefix",
            Self::Start => "start",
            Self::Limit => "limit",
            Self::Token => "token",
            Self::OnLeftOut => "on_left_out",
            Self::MaxStaleness => "max_staleness",
            Self::OnStale => "on_stale",
        }
    }

    /// Whether it has an effect.
    pub const fn is_built(self) -> bool {
        !matches!(self, Self::MaxStaleness | Self::OnStale)
    }
}

/// The query parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// `r`, not yet judged against the bucket's N.
    pub r: Option<u8>,
    /// `w`, not yet judged against the bucket's N and `w_min`.
    pub w: Option<u8>,
    /// `ttl`, in microseconds.
    pub ttl_us: Option<u64>,
    /// `timeout`, in microseconds.
    pub timeout_us: Option<u64>,
    /// `key64`, as it came.
    pub key64: Option<Cow<'a, str>>,
    /// `scope`.
    pub scope: Option<SloScope>,
    /// `prefix`, decoded.
    pub prefix: Option<Vec<u8>>,
    /// `start`, decoded.
    pub start: Option<Vec<u8>>,
    /// `limit`.
    pub limit: Option<u16>,
    /// `token`, as it came.
    pub token: Option<Cow<'a, str>>,
    /// Whether `on_left_out` is `serve`.
    pub serve_left_out: Option<bool>,
}

/// Reads a query, of which the call knows `known`. `timeout_max_us` is `limits.timeout`.
///
/// # Errors
///
/// A parameter that is unknown, given twice, malformed, out of range, or not built.
pub fn parse<'a>(
    query: Option<&'a str>,
    known: &[Parameter],
    timeout_max_us: u64,
) -> Result<Parameters<'a>, Problem> {
    let mut parameters = Parameters::default();
    for piece in query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
        let (name, raw) = piece.split_once('=').unwrap_or((piece, ""));
        let parameter = known.iter().copied().find(|parameter| parameter.name() == name);
        let parameter = parameter.ok_or_else(|| Problem::unknown(name, list(known)))?;
        if !parameter.is_built() {
            return Err(Problem::not_built(parameter.name()));
        }
        parameters.set(parameter, raw, timeout_max_us)?;
    }
    Ok(parameters)
}

impl<'a> Parameters<'a> {
    fn set(&mut self, parameter: Parameter, raw: &'a str, timeout_max_us: u64) -> Result<(), Problem> {
        let name = parameter.name();
        let bytes = percent_decode(raw.as_bytes()).ok_or_else(|| not_decoded(name, raw, "bytes"))?;
        // Of keys any bytes, of all else text.
        let fresh = match parameter {
            Parameter::Prefix => self.prefix.replace(bytes.into_owned()).is_none(),
            Parameter::Start => self.start.replace(bytes.into_owned()).is_none(),
            _ => self.set_text(parameter, text(name, raw, bytes)?, timeout_max_us)?,
        };
        if fresh { Ok(()) } else { Err(Problem::invalid(name, "the parameter twice", "the parameter once")) }
    }

    /// Whether it was not there yet.
    fn set_text(
        &mut self,
        parameter: Parameter,
        value: Cow<'a, str>,
        timeout_max_us: u64,
    ) -> Result<bool, Problem> {
        let name = parameter.name();
        Ok(match parameter {
            Parameter::R => self.r.replace(count(name, &value)?).is_none(),
            Parameter::W => self.w.replace(count(name, &value)?).is_none(),
            Parameter::Ttl => self.ttl_us.replace(span(name, &value, TTL_MAX_US)?).is_none(),
            Parameter::Timeout => self.timeout_us.replace(span(name, &value, timeout_max_us)?).is_none(),
            Parameter::Key64 => self.key64.replace(value).is_none(),
            Parameter::Scope => self.scope.replace(scope(name, &value)?).is_none(),
            Parameter::Limit => self.limit.replace(limit(name, &value)?).is_none(),
            Parameter::Token => self.token.replace(value).is_none(),
            Parameter::OnLeftOut => self.serve_left_out.replace(serves(name, &value)?).is_none(),
            Parameter::Prefix | Parameter::Start | Parameter::MaxStaleness | Parameter::OnStale => {
                return Err(Problem::not_built(name));
            }
        })
    }
}

fn list(known: &[Parameter]) -> String {
    let names: Vec<_> = known.iter().filter(|parameter| parameter.is_built()).map(|p| p.name()).collect();
    if names.is_empty() { "no parameter".to_owned() } else { names.join(", ") }
}

/// What was decoded from `raw`, as text.
fn text<'a>(name: &'static str, raw: &'a str, decoded: Cow<'a, [u8]>) -> Result<Cow<'a, str>, Problem> {
    match decoded {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(raw)),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_decoded(name, raw, "UTF-8"))
        }
    }
}

fn not_decoded(name: &'static str, raw: &str, what: &str) -> Problem {
    Problem::invalid(name, raw, format!("percent-encoded {what}"))
}

fn limit(name: &'static str, value: &str) -> Result<u16, Problem> {
    let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    let number = number.filter(|limit| (1..=LIMIT_MAX).contains(limit));
    number.ok_or_else(|| Problem::invalid(name, value, format!("a whole number, 1 to {LIMIT_MAX}")))
}

/// A count of homes. One too great to be any is out of range, and one that is no number is malformed.
fn count(name: &'static str, value: &str) -> Result<u8, Problem> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::invalid(name, value, "a whole number of homes, 1 to the bucket's n"));
    }
    value.parse().map_err(|_| Problem::out_of_range(name, value, "1 to the bucket's n"))
}

/// Whether what is in doubt is served.
fn serves(name: &'static str, value: &str) -> Result<bool, Problem> {
    match value {
        "fail" => Ok(false),
        "serve" => Ok(true),
        _ => Err(Problem::invalid(name, value, "fail or serve")),
    }
}

/// Of whom objectives are shown.
fn scope(name: &'static str, value: &str) -> Result<SloScope, Problem> {
    let known = SloScope::ALL.into_iter().find(|scope| scope.name() == value);
    known.ok_or_else(|| Problem::invalid(name, value, SloScope::ALL.map(SloScope::name).join(" or ")))
}

/// A duration of 1 ms to `max_us`, in microseconds.
///
/// # Errors
///
/// Malformed, or outside the range.
pub fn span(name: &'static str, value: &str, max_us: u64) -> Result<u64, Problem> {
    let micros = parse_duration(value).ok().and_then(|duration| u64::try_from(duration.as_micros()).ok());
    micros.filter(|micros| (SHORTEST_US..=max_us).contains(micros)).ok_or_else(|| {
        let most = format_duration(Duration::from_micros(max_us));
        Problem::invalid(name, value, format!("1ms to {most}, as {}", Accepted::Duration))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Parameter; 6] = [
        Parameter::R,
        Parameter::W,
        Parameter::Ttl,
        Parameter::Timeout,
        Parameter::OnLeftOut,
        Parameter::Key64,
    ];

    fn ok(query: &str) -> Parameters<'_> {
        parse(Some(query), &ALL, 2_000_000).unwrap()
    }

    #[test]
    fn every_parameter_is_read() {
        let read = ok("r=1&w=2&ttl=3h&timeout=250ms&key64=YQ%3D%3D");
        assert_eq!((read.r, read.w), (Some(1), Some(2)));
        assert_eq!((read.ttl_us, read.timeout_us), (Some(10_800_000_000), Some(250_000)));
        assert_eq!(read.key64.as_deref(), Some("YQ=="));
        assert_eq!(ok(""), Parameters::default());
        assert_eq!(ok("&&"), Parameters::default());
    }

    #[test]
    fn what_a_call_does_not_know_is_named_in_the_refusal() {
        for (query, name) in [
            ("x=1", "x"),
            ("R=1", "R"),
            ("r", "r"),
            ("r=", "r"),
            ("r=-1", "r"),
            ("r=+1", "r"),
            ("r=1.0", "r"),
            ("r=300", "r"),
            ("r=1&r=1", "r"),
            ("w=two", "w"),
            ("w=%zz", "w"),
            ("ttl=0s", "ttl"),
            ("ttl=5", "ttl"),
            ("ttl=3651d", "ttl"),
            ("timeout=0ms", "timeout"),
            ("timeout=2001ms", "timeout"),
            ("timeout=18446744073709551615h", "timeout"),
            ("on_left_out=yes", "on_left_out"),
            ("key64=%FF", "key64"),
        ] {
            let problem = format!("{:?}", parse(Some(query), &ALL, 2_000_000).unwrap_err());
            assert!(problem.contains(&format!("parameter: Some({name:?})")), "{query}: {problem}");
        }
    }

    #[test]
    fn the_ends_of_a_range_are_accepted() {
        assert_eq!(ok("timeout=1ms").timeout_us, Some(1_000));
        assert_eq!(ok("timeout=2s").timeout_us, Some(2_000_000));
        assert_eq!(ok("ttl=3650d").ttl_us, Some(TTL_MAX_US));
    }
}
