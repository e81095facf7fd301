//! Verdicts on reads, held against the truth.

use super::checkers::sli;
use super::network::NodeIndex;
use super::queue::{SECONDS, Time};
use super::truth::{KeyIndex, VersionIndex};
use super::world::World;
use crate::protocol::coordinator::JudgedRead;
use crate::protocol::time::Moment;

/// How long the history of a node's clock matters after it kept its rate again.
const CLOCK_MATTERS: Time = 10 * SECONDS;

/// A read that was begun: at which node, at which key, and when by that node's clock.
pub type ReadPlace = (NodeIndex, KeyIndex, Moment);

impl World {
    /// Remembers what was committed when a read began.
    pub(super) fn read_begins(&mut self, at: NodeIndex, key: KeyIndex) {
        let Some(node) = self.nodes.get(at) else { return };
        let place = (at, key, node.clock.moment(self.now));
        let committed: Vec<VersionIndex> = sli::committed_now(&self.truth, key);
        // Of two reads that begin in the same microsecond it could not be told which was judged.
        self.reads_begun.entry(place).and_modify(|committed| *committed = None).or_insert(Some(committed));
    }

    /// A node has judged a read.
    pub(super) fn judged(&mut self, at: NodeIndex, read: &JudgedRead) {
        // What is read after everything was healed is no part of the workload.
        if !self.healing {
            *self.clients.tally.verdicts.entry(read.judgement.verdict.name()).or_default() += 1;
        }
        let Some(key) = self.names.key_index(&read.bucket, &read.key) else { return };
        let Some(Some(committed)) = self.reads_begun.remove(&(at, key, read.began)) else { return };
        let homes = self.truth.key(key).map(|key| key.homes.clone()).unwrap_or_default();
        let now = self.now;
        let keeps_time = |node: &NodeIndex| {
            self.nodes.get(*node).is_some_and(|node| node.clock_runs_wrong.is_none_or(|until| until < now))
        };
        if !std::iter::once(&at).chain(&homes).all(keeps_time) {
            return;
        }
        let checked = sli::verdict(&self.truth, key, &committed, &read.reply, read.judgement.verdict);
        self.note(Some(key), || format!("the read is {}", read.judgement.verdict.name()));
        self.check(checked);
    }

    /// A node's clocks begin to run at a rate of their own, or keep time again.
    pub(super) fn clock_runs(&mut self, at: NodeIndex, wrong: bool) {
        let until = if wrong { Time::MAX } else { self.now + CLOCK_MATTERS };
        if let Some(node) = self.nodes.get_mut(at) {
            node.clock_runs_wrong = Some(until);
        }
    }
}
