//! The addresses of members, as far as their host names tell: connections from there have handshake slots of their own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::counters::TransportCounters;

/// Interval between two resolutions of all names, since hosts move.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The same while one of them was never resolved: the name of a host that has not started yet may not exist.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// Longest time to resolve one name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that count.
const ADDRESSES_MAX: usize = 64;

/// The addresses of members.
pub struct MemberAddresses {
    literal: BTreeSet<IpAddr>,
    /// By host name; what was known of a name stays while it cannot be resolved.
    resolved: RefCell<BTreeMap<String, Vec<IpAddr>>>,
    counters: Arc<TransportCounters>,
}

impl MemberAddresses {
    /// Those of members at `host:port` each. Names are known once [`Self::keep_resolved`] has resolved them.
    #[must_use]
    pub fn new(members: &[String], counters: Arc<TransportCounters>) -> Self {
        let (mut literal, mut resolved) = (BTreeSet::new(), BTreeMap::new());
        for member in members {
            let host = member.rsplit_once(':').map_or(member.as_str(), |(host, _)| host);
            match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
                Ok(address) => drop(literal.insert(address.to_canonical())),
                Err(_) => drop(resolved.insert(host.to_owned(), Vec::new())),
            }
        }
        Self { literal, resolved: RefCell::new(resolved), counters }
    }

    /// Tells whether a member has this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.literal.contains(&address)
            || self.resolved.borrow().values().any(|addresses| addresses.contains(&address))
    }

    /// Resolves all names, now and again, for as long as this is polled.
    pub async fn keep_resolved(&self) {
        let names: Vec<String> = self.resolved.borrow().keys().cloned().collect();
        loop {
            for name in &names {
                self.resolve(name).await;
            }
            let all_known = self.resolved.borrow().values().all(|addresses| !addresses.is_empty());
            tokio::time::sleep(if all_known { RESOLVE_EVERY } else { RETRY_EVERY }).await;
        }
    }

    async fn resolve(&self, name: &str) {
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
        let Ok(Ok(found)) = found else { return self.counters.members_unresolved.add() };
        let addresses = found.map(|found| found.ip().to_canonical()).take(ADDRESSES_MAX).collect();
        self.resolved.borrow_mut().insert(name.to_owned(), addresses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_known_by_their_literal_addresses_at_once_and_by_their_names_once_resolved() {
        let members = ["10.0.0.1:7101", "[2001:db8::1]:7101", "localhost:7101"].map(str::to_owned);
        let counters = Arc::new(TransportCounters::default());
        let addresses = MemberAddresses::new(&members, counters);
        let contains = |text: &str| addresses.contains(text.parse().unwrap());
        assert!(contains("10.0.0.1") && contains("::ffff:10.0.0.1") && contains("2001:db8::1"));
        assert!(!contains("10.0.0.2") && !contains("127.0.0.1"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(addresses.resolve("localhost"));
        assert!(contains("127.0.0.1") || contains("::1"));
        assert!(!contains("127.0.0.2"));
    }

    #[test]
    fn a_name_that_nobody_knows_is_counted_and_takes_no_known_address_away() {
        let counters = Arc::new(TransportCounters::default());
        let addresses = MemberAddresses::new(&["nowhere.invalid:1".to_owned()], counters.clone());
        let known = IpAddr::from([10, 0, 0, 1]);
        addresses.resolved.borrow_mut().insert("nowhere.invalid".to_owned(), vec![known]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(addresses.resolve("nowhere.invalid"));
        assert_eq!((counters.members_unresolved.get(), addresses.contains(known)), (1, true));
    }
}
