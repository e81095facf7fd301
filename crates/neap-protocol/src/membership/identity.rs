//! Who a peer is, and whether it is who it says: what is remembered of the directories of each node.
//!
//! Each run of a data directory has a number, one more than the last, and an id that is drawn for it. A run presents
//! the ids of the last runs of its directory, its own first. One whose past is not the past that a peer remembers is
//! a restored backup or a copy, and so is one that finds a lower clock ceiling than its directory has announced: a
//! ceiling is synced before it is announced, so that no crash takes it back. Such a run is refused until its
//! directory is given an id of its own.

use std::collections::BTreeMap;

use crate::ids::{DirectoryId, NodeId};
use crate::time::Hlc;

/// How many directories are remembered of a node; the one seen longest ago is forgotten first.
pub const DIRECTORIES_MAX: usize = 16;

/// How many runs of its directory a run presents, its own among them.
pub const HISTORY_MAX: usize = 16;

/// Drawn for each run of a node: two runs of one directory are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// The place of a run among the runs of its directory, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunNumber(pub u64);

/// What a run presents of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Its directory.
    pub directory: DirectoryId,
    /// The number of the run.
    pub number: RunNumber,
    /// The run, and those before it, the newest first.
    pub history: Vec<RunId>,
    /// The clock ceiling that the run found in its directory.
    pub found_ceiling: Hlc,
}

impl Presented {
    /// The run itself; none if it presents nothing.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.history.first().copied()
    }
}

/// The most that a directory has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its latest run.
    pub number: RunNumber,
    /// The id of that run.
    pub run: RunId,
    /// The highest clock ceiling that it announced.
    pub ceiling: Hlc,
    /// Rises with each directory that is new to this memory: which was seen longest ago.
    pub order: u64,
}

/// A directory presents less than it has shown before. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data directory {directory} of {node} {why}: it is a restored backup or a copy; \
     `neap node --new-directory-id` gives it an id of its own"
)]
pub struct IdentityRefused {
    /// The node.
    pub node: NodeId,
    /// Its directory.
    pub directory: DirectoryId,
    /// How that is known.
    pub why: WhyRefused,
}

/// How it is known that a directory presents less than it has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WhyRefused {
    /// Its run is not the latest, or its past is another one.
    #[error("presents run {given}, and is known to have come to run {known} by another way")]
    History {
        /// The run that it presents.
        given: u64,
        /// The run that is remembered.
        known: u64,
    },
    /// Its clock was further than it knows.
    #[error("found the clock ceiling {found:?}, and had announced {known:?}")]
    Ceiling {
        /// What it found.
        found: Hlc,
        /// What is remembered.
        known: Hlc,
    },
}

/// The memory, of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownIdentities {
    nodes: BTreeMap<NodeId, BTreeMap<DirectoryId, Shown>>,
    next_order: u64,
}

impl KnownIdentities {
    /// Judges what a peer presents.
    pub fn judge(&self, node: &NodeId, presented: &Presented) -> Result<(), IdentityRefused> {
        let known = self.nodes.get(node).and_then(|directories| directories.get(&presented.directory));
        match known.and_then(|known| known.refuses(presented)) {
            Some(why) => Err(IdentityRefused { node: node.clone(), directory: presented.directory, why }),
            None => Ok(()),
        }
    }

    /// Remembers what a peer that was not refused presented. Whether that was news.
    pub fn learn(&mut self, node: &NodeId, presented: &Presented) -> bool {
        let Some(run) = presented.run() else { return false };
        let directories = self.nodes.entry(node.clone()).or_default();
        if let Some(known) = directories.get_mut(&presented.directory) {
            let news = known.run != run;
            (known.number, known.run) = (presented.number, run);
            return news;
        }
        if directories.len() >= DIRECTORIES_MAX
            && let Some(oldest) = directories.iter().min_by_key(|(_, shown)| shown.order).map(|(id, _)| *id)
        {
            directories.remove(&oldest);
        }
        let order = self.next_order;
        self.next_order += 1;
        let shown = Shown { number: presented.number, run, ceiling: presented.found_ceiling, order };
        directories.insert(presented.directory, shown);
        true
    }

    /// A run of a node's directory has announced a clock ceiling. Whether that was news.
    pub fn announced(&mut self, node: &NodeId, directory: DirectoryId, ceiling: Hlc) -> bool {
        let known = self.nodes.get_mut(node).and_then(|directories| directories.get_mut(&directory));
        let Some(known) = known.filter(|known| ceiling > known.ceiling) else { return false };
        known.ceiling = ceiling;
        true
    }

    /// What is remembered of one node, by directory.
    pub fn of(&self, node: &NodeId) -> impl Iterator<Item = (DirectoryId, Shown)> {
        self.nodes.get(node).into_iter().flatten().map(|(id, shown)| (*id, *shown))
    }

    /// All that is remembered, by node and directory.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, DirectoryId, Shown)> {
        let nodes = self.nodes.iter();
        nodes.flat_map(|(node, directories)| directories.iter().map(move |(id, shown)| (node, *id, *shown)))
    }

    /// Puts a memory together again.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = (NodeId, DirectoryId, Shown)>) -> Self {
        let mut known = Self::default();
        for (node, directory, shown) in entries {
            known.next_order = known.next_order.max(shown.order + 1);
            known.nodes.entry(node).or_default().insert(directory, shown);
        }
        known
    }
}

impl Shown {
    fn refuses(&self, presented: &Presented) -> Option<WhyRefused> {
        let (given, known) = (presented.number.0, self.number.0);
        let history = WhyRefused::History { given, known };
        let Some(back) = given.checked_sub(known) else { return Some(history) };
        // Runs further back than it presents were long ago.
        let then = usize::try_from(back).ok().and_then(|back| presented.history.get(back));
        if then.is_some_and(|then| *then != self.run) {
            return Some(history);
        }
        let (found, known) = (presented.found_ceiling, self.ceiling);
        // The run that announced it has found less when it began, as it should.
        let another = presented.run() != Some(self.run);
        (another && found < known).then_some(WhyRefused::Ceiling { found, known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn presented(directory: u64, history: &[u64], found_ceiling: u64) -> Presented {
        Presented {
            directory: DirectoryId(directory),
            number: RunNumber(history.len() as u64),
            history: history.iter().rev().map(|run| RunId(*run)).collect(),
            found_ceiling: Hlc(found_ceiling),
        }
    }

    fn known(history: &[u64]) -> KnownIdentities {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), &presented(1, history, 0));
        known
    }

    #[test]
    fn a_run_whose_past_is_another_one_is_refused() {
        let known = known(&[7, 8, 9]);
        for (history, refused) in [
            (vec![7, 8, 9], false),
            (vec![7, 8, 9, 10], false),
            (vec![7, 8, 9, 10, 11], false),
            (vec![7, 8], true),
            (vec![7, 8, 12], true),
            (vec![7, 8, 12, 13], true),
            (vec![7, 8, 12, 13, 14], true),
        ] {
            let judged = known.judge(&node("a"), &presented(1, &history, 0));
            assert_eq!(judged.is_err(), refused, "{history:?}");
        }
        let refused = known.judge(&node("a"), &presented(1, &[7], 0)).unwrap_err();
        assert!(refused.to_string().contains("--new-directory-id"), "{refused}");
    }

    #[test]
    fn a_run_that_was_missed_for_long_is_admitted() {
        let known = known(&[7]);
        let mut long = presented(1, &(7..60).collect::<Vec<_>>(), 0);
        long.history.truncate(HISTORY_MAX);
        assert!(known.judge(&node("a"), &long).is_ok());
    }

    #[test]
    fn a_run_that_finds_less_than_its_directory_has_announced_is_refused() {
        let mut known = known(&[7]);
        assert!(known.announced(&node("a"), DirectoryId(1), Hlc(500)));
        assert!(!known.announced(&node("a"), DirectoryId(1), Hlc(400)));
        let judged = |history: &[u64], found| known.judge(&node("a"), &presented(1, history, found)).is_ok();
        assert!(judged(&[7, 8], 500) && judged(&[7, 8], 900));
        assert!(!judged(&[7, 8], 499), "a backup of the run that announced it");
        assert!(judged(&[7], 0), "the run that announced it, connecting again");
    }

    #[test]
    fn the_memory_of_a_node_is_bounded_and_forgets_the_oldest_directory() {
        let mut known = KnownIdentities::default();
        for directory in 0..=DIRECTORIES_MAX as u64 {
            known.learn(&node("a"), &presented(directory, &[1], 0));
        }
        let remembered: Vec<u64> = known.iter().map(|(_, id, _)| id.0).collect();
        assert_eq!(remembered, (1..=DIRECTORIES_MAX as u64).collect::<Vec<_>>());
        let entries = known.iter().map(|(node, id, shown)| (node.clone(), id, shown));
        assert_eq!(KnownIdentities::from_entries(entries.collect::<Vec<_>>()), known);
    }
}
