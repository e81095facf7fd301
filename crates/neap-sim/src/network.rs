//! The network between nodes: how long each message takes, and whether it comes at all, or twice.

use std::collections::BTreeMap;

use super::queue::{MILLIS, Time};
use super::random::Random;
use neap_protocol::pbs::Legs;

/// A node's place in the world.
pub type NodeIndex = usize;

/// Which of the four delays a message has (see [`neap_protocol::pbs`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// A write, out.
    Write,
    /// Its acknowledgement.
    Ack,
    /// A read, out, and everything else that is asked.
    Read,
    /// Its answer, and every other.
    Answer,
}

/// What is wrong with one direction of the way between two nodes.
#[derive(Debug, Clone, PartialEq)]
struct Trouble {
    /// How many partitions cut it.
    cut: u32,
    /// The share of messages that are lost.
    loss: f64,
    /// The share of messages that come twice.
    twice: f64,
    /// What a message takes longer, at the most, in nanoseconds; how much is drawn for each, so that they overtake
    /// each other.
    slower: Time,
    /// Bytes a second, where they are few.
    bandwidth: Option<u64>,
    /// When the way is free again.
    free_at: Time,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { cut: 0, loss: 0.0, twice: 0.0, slower: 0, bandwidth: None, free_at: 0 }
    }
}

impl Trouble {
    fn is_over(&self) -> bool {
        let quiet = self.cut == 0 && self.loss <= 0.0 && self.twice <= 0.0;
        quiet && self.slower == 0 && self.bandwidth.is_none()
    }
}

/// When a message arrives: not at all, once, or twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// The first time.
    pub first: Option<Time>,
    /// The second.
    pub second: Option<Time>,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    legs: Legs,
    zones: Vec<usize>,
    /// Only ways in trouble.
    troubles: BTreeMap<(NodeIndex, NodeIndex), Trouble>,
    random: Random,
}

impl Network {
    /// A network in order, between nodes of these zones.
    #[must_use]
    pub fn new(seed: u64, legs: Legs, zones: Vec<usize>) -> Self {
        Self { legs, zones, troubles: BTreeMap::new(), random: Random::new(seed, "network") }
    }

    /// Another node, in `zone`.
    pub fn add_node(&mut self, zone: usize) {
        self.zones.push(zone);
    }

    /// The zone of a node.
    #[must_use]
    pub fn zone(&self, node: NodeIndex) -> usize {
        self.zones.get(node).copied().unwrap_or(0)
    }

    fn delay(&mut self, from: NodeIndex, to: NodeIndex, leg: Leg) -> Time {
        let delay = match leg {
            Leg::Write => &self.legs.write,
            Leg::Ack => &self.legs.ack,
            Leg::Read => &self.legs.read,
            Leg::Answer => &self.legs.answer,
        };
        let random = &mut self.random;
        let mut ms = delay.draw_ms(&mut || random.uniform());
        if self.zones.get(from) != self.zones.get(to) {
            ms += self.legs.between_sites_ms;
        }
        (ms * MILLIS as f64) as Time
    }

    /// Sends a message of so many bytes on its way.
    pub fn send(
        &mut self,
        now: Time,
        (from, to): (NodeIndex, NodeIndex),
        leg: Leg,
        bytes: usize,
    ) -> Arrivals {
        let delay = self.delay(from, to, leg);
        let Some(trouble) = self.troubles.get_mut(&(from, to)) else {
            return Arrivals { first: Some(now + delay), second: None };
        };
        if trouble.cut > 0 || self.random.chance(trouble.loss) {
            return Arrivals::default();
        }
        let mut leaves = now;
        if let Some(bandwidth) = trouble.bandwidth {
            let takes = (bytes as u64).saturating_mul(1_000_000_000) / bandwidth.max(1);
            leaves = now.max(trouble.free_at).saturating_add(takes);
            trouble.free_at = leaves;
        }
        let (slower, twice) = (trouble.slower, trouble.twice);
        let first = Some(leaves + delay + self.random.below(slower + 1));
        let again = self.random.chance(twice);
        let second =
            again.then(|| leaves + self.delay(from, to, leg) + self.random.below(slower + 10 * MILLIS));
        Arrivals { first, second }
    }

    /// When a message of a node to itself arrives, where even that crosses the network.
    pub fn own(&mut self, now: Time, node: NodeIndex, leg: Leg) -> Time {
        now + self.delay(node, node, leg)
    }

    /// How long a round trip takes just now, where nothing is wrong.
    pub fn round_trip(&mut self, from: NodeIndex, to: NodeIndex) -> Time {
        self.delay(from, to, Leg::Read) + self.delay(to, from, Leg::Answer)
    }

    /// Whether no message comes through from `from` to `to`.
    #[must_use]
    pub fn is_cut(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.troubles.get(&(from, to)).is_some_and(|trouble| trouble.cut > 0)
    }

    fn trouble(&mut self, way: (NodeIndex, NodeIndex), make: impl FnOnce(&mut Trouble)) {
        let trouble = self.troubles.entry(way).or_default();
        make(trouble);
        if trouble.is_over() {
            self.troubles.remove(&way);
        }
    }

    /// Cuts a way, or mends one cut of it.
    pub fn cut(&mut self, from: NodeIndex, to: NodeIndex, cut: bool) {
        self.trouble((from, to), |trouble| {
            trouble.cut = if cut { trouble.cut + 1 } else { trouble.cut.saturating_sub(1) };
        });
    }

    /// Lets a way lose, or no longer lose, a share of its messages.
    pub fn lose(&mut self, from: NodeIndex, to: NodeIndex, share: f64) {
        self.trouble((from, to), |trouble| trouble.loss = share);
    }

    /// Lets a share of messages come twice.
    pub fn repeat(&mut self, from: NodeIndex, to: NodeIndex, share: f64) {
        self.trouble((from, to), |trouble| trouble.twice = share);
    }

    /// Makes a way slower, by up to so much.
    pub fn slow(&mut self, from: NodeIndex, to: NodeIndex, by: Time) {
        self.trouble((from, to), |trouble| trouble.slower = by);
    }

    /// Makes a way narrow, or as wide as ever.
    pub fn narrow(&mut self, from: NodeIndex, to: NodeIndex, bytes_per_second: Option<u64>) {
        self.trouble((from, to), |trouble| trouble.bandwidth = bytes_per_second);
    }

    /// Ends all trouble.
    pub fn heal(&mut self) {
        self.troubles.clear();
    }
}
