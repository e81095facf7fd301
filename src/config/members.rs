//! Founders and addresses, as text: `n1@host:port;zone=a;weight=1.0`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::protocol::ids::NodeId;

/// The zone of a node that nobody gave one.
pub const DEFAULT_ZONE: &str = "a";

/// The weight of a node that nobody gave one.
pub const DEFAULT_WEIGHT: f64 = 1.0;

/// The weights that are accepted.
pub(super) const WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1_000.0;

/// What an entry of `cluster.members` looks like.
pub(super) const ACCEPTED_MEMBERS: &str = "a list of id@host:port, each with ;zone= and ;weight= where wanted, such as \"n1@10.0.0.1:7101;zone=a\"; \
     at most 1000, ids and addresses unique, weights from 0.001 to 1000";

/// What an address looks like.
pub(super) const ACCEPTED_ADDRESS: &str =
    "host:port, the host a name, an IPv4 address or an IPv6 address in brackets, the port from 1 to 65535";

/// The most founders a cluster may have.
pub(super) const MEMBERS_MAX: usize = 1_000;

/// Where a node is reached: `host:port`. The host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Reads `host:port`; none if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port_ok = digits && port.parse::<u16>().is_ok_and(|port| port != 0);
        (port_ok && is_host(host)).then(|| Self(text.to_owned()))
    }

    /// Where a node is when its host has its name.
    pub(super) fn of_node(node: &NodeId, port: u16) -> Self {
        Self(format!("{node}:{port}"))
    }

    /// The address of a node that listens at `listen`.
    pub(super) fn of_listener(listen: SocketAddr) -> Self {
        Self(listen.to_string())
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host)
    }

    /// Tells whether only this machine reaches the host: `localhost` and literal loopback addresses. No name is resolved.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        host.eq_ignore_ascii_case("localhost") || literal.is_ok_and(is_loopback)
    }
}

/// Tells whether only this machine reaches an address; an IPv4 address within IPv6 counts as itself.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Whether `zone` is a zone's name: 1..=64 characters of `[A-Za-z0-9_-]`, as a node's is.
pub(super) fn is_zone(zone: &str) -> bool {
    NodeId::new(zone).is_ok()
}

/// A founder, as `cluster.members` has it. What its entry leaves out has the default, on every node alike: all
/// nodes must build the same record from the same list.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberConfig {
    /// Its name.
    pub id: NodeId,
    /// Where its peers reach it.
    pub address: Address,
    /// What fails together with it.
    pub zone: String,
    /// Its share of the ring, beside the others'.
    pub weight: f64,
}

impl MemberConfig {
    /// Reads one entry; else what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?} {what}");
        let mut parts = text.split(';').map(str::trim);
        let (id, address) = parts
            .next()
            .and_then(|place| place.split_once('@'))
            .ok_or_else(|| wrong("is not id@host:port"))?;
        let id = NodeId::new(id).map_err(|error| wrong(&format!("has a bad id: {error}")))?;
        let address = Address::parse(address).ok_or_else(|| wrong("has a bad address"))?;
        let (mut zone, mut weight) = (None, None);
        for part in parts {
            let again = match part.split_once('=') {
                Some(("zone", value)) if is_zone(value) => zone.replace(value.to_owned()).is_some(),
                Some(("weight", value)) => {
                    let value = value.parse().ok().filter(|value| WEIGHTS.contains(value));
                    weight.replace(value.ok_or_else(|| wrong("has a bad weight"))?).is_some()
                }
                Some(("zone", _)) => return Err(wrong("has a bad zone")),
                _ => return Err(wrong(&format!("has {part:?}, which is neither zone= nor weight="))),
            };
            if again {
                return Err(wrong(&format!("says {part:?} after it was said")));
            }
        }
        let zone = zone.unwrap_or_else(|| DEFAULT_ZONE.to_owned());
        Ok(Self { id, address, zone, weight: weight.unwrap_or(DEFAULT_WEIGHT) })
    }
}

impl fmt::Display for MemberConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, address, zone, weight } = self;
        write!(f, "{id}@{address};zone={zone};weight={weight:?}")
    }
}

/// The first two members that share a name or an address, in a word.
pub(super) fn shared_by_two(members: &[MemberConfig]) -> Option<String> {
    members.iter().enumerate().find_map(|(place, member)| {
        let mut earlier = members.iter().take(place);
        earlier.find_map(|other| {
            if other.id == member.id {
                Some(format!("{} is there twice", member.id))
            } else if other.address == member.address {
                Some(format!("{} and {} have one address, {}", other.id, member.id, member.address))
            } else {
                None
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_with_and_without_its_options() {
        let plain = MemberConfig::parse("n1@n1:7101").unwrap();
        assert_eq!(plain.to_string(), "n1@n1:7101;zone=a;weight=1.0");
        let full = MemberConfig::parse("n2@[::1]:7102;weight=0.5;zone=b").unwrap();
        assert_eq!(full.to_string(), "n2@[::1]:7102;zone=b;weight=0.5");
        assert_eq!(MemberConfig::parse(&full.to_string()), Ok(full));
    }

    #[test]
    fn loopback_is_told_from_what_is_beyond_it_without_resolving() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.8.7", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(Address::parse(&format!("{host}:1")).unwrap().is_loopback(), "{host}");
        }
        for host in ["n1", "localhost.example", "0.0.0.0", "10.0.0.1", "128.0.0.1", "[::]", "[fe80::1]"] {
            assert!(!Address::parse(&format!("{host}:1")).unwrap().is_loopback(), "{host}");
        }
    }

    #[test]
    fn a_bad_member_is_refused_for_what_is_wrong_with_it() {
        for (text, what) in [
            ("n1", "is not id@host:port"),
            ("", "is not id@host:port"),
            ("n 1@h:1", "bad id"),
            ("@h:1", "bad id"),
            ("n1@h", "bad address"),
            ("n1@:1", "bad address"),
            ("n1@h:0", "bad address"),
            ("n1@h:+1", "bad address"),
            ("n1@h:65536", "bad address"),
            ("n1@::1:7101", "bad address"),
            ("n1@[::1:7101", "bad address"),
            ("n1@a..b:1", "bad address"),
            ("n1@h:1;zone=", "bad zone"),
            ("n1@h:1;weight=0", "bad weight"),
            ("n1@h:1;weight=NaN", "bad weight"),
            ("n1@h:1;rack=3", "neither zone= nor weight="),
            ("n1@h:1;", "neither zone= nor weight="),
            ("n1@h:1;zone=a;zone=b", "after it was said"),
        ] {
            let wrong = MemberConfig::parse(text).unwrap_err();
            assert!(wrong.contains(what), "{text}: {wrong}");
        }
    }
}
