//! What nodes say of reads and writes, held against the truth.

use super::checkers::sli;
use super::network::NodeIndex;
use super::queue::{MICROS, SECONDS, Time};
use super::truth::{KeyIndex, VersionIndex};
use super::world::World;
use neap_protocol::coordinator::{ConvergedWrite, JudgedRead};
use neap_protocol::staleness::Verdict;
use neap_protocol::time::Moment;

/// How long the history of a node's clock matters after it kept its rate again.
const CLOCK_MATTERS: Time = 10 * SECONDS;

/// A read that was begun: at which node, at which key, and when by that node's clock.
pub type ReadPlace = (NodeIndex, KeyIndex, Moment);

/// When it began, and what was committed then.
pub type ReadBegun = (Time, Vec<VersionIndex>);

impl World {
    /// Remembers what was committed when a read began.
    pub(super) fn read_begins(&mut self, at: NodeIndex, key: KeyIndex) -> Option<ReadPlace> {
        let node = self.nodes.get(at)?;
        let place = (at, key, node.clock.moment(self.now));
        let committed: Vec<VersionIndex> = sli::committed_now(&self.truth, key);
        // Of two reads that begin in the same microsecond it could not be told which was judged.
        let read = Some((self.now, committed));
        self.reads_begun.entry(place).and_modify(|read| *read = None).or_insert(read);
        Some(place)
    }

    /// Returns what is remembered of a read, and forgets it unless another verdict may follow. Its place stays taken: a
    /// read that began there in the same microsecond is not to be mistaken for it.
    pub(super) fn read_began(&mut self, place: ReadPlace, another_may_follow: bool) -> Option<ReadBegun> {
        let read = self.reads_begun.get_mut(&place)?;
        if another_may_follow { read.clone() } else { read.take() }
    }

    /// A node has judged a read.
    pub(super) fn judged(&mut self, at: NodeIndex, read: &JudgedRead) {
        // What is read after everything was healed is no part of the workload.
        if !self.healing {
            *self.clients.tally.verdicts.entry(read.judgement.verdict.name()).or_default() += 1;
        }
        let Some(key) = self.names.key_index(&read.bucket, &read.key) else { return };
        self.verdict_told(at, key, read);
        let place = (at, key, read.began);
        let may_be_judged_late = matches!(read.judgement.verdict, Verdict::Unknown(_));
        let Some((began, committed)) = self.read_began(place, may_be_judged_late) else { return };
        if !self.keep_time(at, key, self.now) {
            return;
        }
        self.compare(began, &committed, read);
        let checked = sli::verdict(&self.truth, key, &committed, &read.reply, read.judgement.verdict);
        self.note(Some(key), || format!("the read is {}", read.judgement.verdict.name()));
        self.check(checked);
        if let Some(since) = self.repaired {
            self.check(sli::after_repair(&self.truth, key, since, read.judgement.verdict));
        }
    }

    /// Notes what was said of a read beside what is true of it.
    fn compare(&mut self, began: Time, committed: &[VersionIndex], read: &JudgedRead) {
        let verdict = read.judgement.verdict;
        if self.healing || matches!(verdict, Verdict::Unknown(_)) {
            return;
        }
        let missed = sli::missed(&self.truth, committed, &read.reply, verdict);
        let compared = &mut self.clients.tally.compared;
        compared.reads += 1;
        match verdict {
            Verdict::Stale => compared.stale += 1,
            Verdict::Suspect => compared.suspect += 1,
            Verdict::Behind | Verdict::Fresh { .. } | Verdict::Unknown(_) => {}
        }
        if missed.is_empty() {
            return;
        }
        compared.truly_stale += 1;
        // How long ago a home had what it lost again nobody can know.
        let known = missed.iter().all(|version| sli::stays_applied(version));
        let committed = missed.iter().map(|version| version.committed_at);
        let written = missed.iter().map(|version| version.hlc.wall().0);
        let (Some(oldest), Some(newest)) = (committed.min(), written.max()) else { return };
        if verdict == Verdict::Stale && known {
            let exposure = began.saturating_sub(oldest);
            let older = read.returned.map_or(0, |returned| newest.saturating_sub(returned.wall().0));
            let said = read.judgement.exposure_us * MICROS;
            let age = older.saturating_mul(MICROS).max(exposure);
            if !read.judgement.exactly {
                compared.bounded_reads += 1;
                return;
            }
            compared.exposures.push((exposure, said));
            compared.ages.push((age, read.judgement.age_us * MICROS));
        }
    }

    /// Whether the clocks of a coordinator and of a key's homes have kept their rate since then, and some time before.
    pub(super) fn keep_time(&self, at: NodeIndex, key: KeyIndex, since: Time) -> bool {
        let homes = self.truth.key(key).map(|key| key.homes.as_slice()).unwrap_or_default();
        let keeps_time = |node: &NodeIndex| {
            let node = self.nodes.get(*node);
            node.is_some_and(|node| node.clock_runs_wrong.is_none_or(|until| until < since))
        };
        std::iter::once(&at).chain(homes).all(keeps_time)
    }

    /// A node says how long a write took to reach all homes.
    pub(super) fn converged(&mut self, at: NodeIndex, write: &ConvergedWrite) {
        // There a replica acknowledges a write of its own coordinator as applied when it was stamped, and has it only when
        // it has crossed the network.
        if self.settings.own_leg_crosses {
            return;
        }
        let Some(key) = self.names.key_index(&write.bucket, &write.key) else { return };
        let since = self.truth.named(write.dot).map_or(self.now, |(_, version)| version.written_at);
        if self.keep_time(at, key, since) {
            if let Some(took) = sli::took(&self.truth, write.dot).filter(|_| !self.healing) {
                let (said, compared) = (write.convergence.us * MICROS, &mut self.clients.tally.compared);
                if write.convergence.exactly {
                    compared.convergence.push((took, said));
                } else {
                    compared.bounded += 1;
                }
            }
            let checked = sli::convergence(&self.truth, write);
            self.check(checked);
        }
    }

    /// Holds what nodes say of writes that some home lacks against the truth.
    pub(super) fn look_at_unconverged(&mut self) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at).filter(|node| node.ghost_of.is_none()) else { continue };
            let Some(process) = &node.process else { continue };
            let observed = process.coordinator.unconverged(node.clock.moment(self.now));
            let reported = observed.ages.iter().map(|(_, count)| count).sum();
            let checked = sli::unconverged(&self.truth, (at, node.run), reported, process.untracked);
            self.check(checked);
        }
    }

    /// A node's clocks begin to run at a rate of their own, or keep time again.
    pub(super) fn clock_runs(&mut self, at: NodeIndex, wrong: bool) {
        let until = if wrong { Time::MAX } else { self.now + CLOCK_MATTERS };
        if let Some(node) = self.nodes.get_mut(at) {
            node.clock_runs_wrong = Some(until);
        }
    }
}
