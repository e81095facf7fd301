//! Who a peer is, and whether it is who it says: what is remembered of the directories of each node.
//!
//! A data directory's starts and counters only rise. A run of a node presents the start and the counter that it
//! *began* from, and a number drawn for the run. One that began from less than its directory has shown before is
//! a restored backup or a copy: its next dots would be names that are taken. It is refused until its directory is
//! given an id of its own. What a run began from never changes, so that it can neither catch up with what is
//! remembered of it, nor fall behind while its own new dots reach a peer before its handshake does.

use std::collections::BTreeMap;

use crate::protocol::ids::{ActorId, DirectoryId, NodeId, StartNumber};

/// How many directories are remembered of a node; the one seen longest ago is forgotten first.
pub const DIRECTORIES_MAX: usize = 16;

/// Drawn for each run of a node: two runs of one directory are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// What a run presents of itself; it stays the same but for a start renewed within the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented {
    /// Its directory and start.
    pub actor: ActorId,
    /// The counter that the run began from.
    pub began: u64,
    /// The run.
    pub run: RunId,
}

/// The most that a directory has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its highest start.
    pub start: StartNumber,
    /// The highest counter of that start.
    pub counter: u64,
    /// The run that presented that start last; none while the start is known by its dots alone.
    pub run: Option<RunId>,
    /// Rises with each directory that is new to this memory: which was seen longest ago.
    pub order: u64,
}

/// What is known of a peer beside what it presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether another directory of the same node is remembered.
    pub other_directory: bool,
}

/// A directory presented less than it has shown before. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data directory {directory} of {node} began start {start} from counter {counter}, and had come to start \
     {known_start} with counter {known_counter}: it is a restored backup or a copy; \
     `neap node --new-directory-id` gives it an id of its own"
)]
pub struct IdentityRefused {
    /// The node.
    pub node: NodeId,
    /// Its directory.
    pub directory: DirectoryId,
    /// The start it presents.
    pub start: u32,
    /// The counter it began from.
    pub counter: u64,
    /// The highest start remembered.
    pub known_start: u32,
    /// The highest counter of that start.
    pub known_counter: u64,
}

/// The memory, of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownIdentities {
    nodes: BTreeMap<NodeId, BTreeMap<DirectoryId, Shown>>,
    next_order: u64,
}

impl KnownIdentities {
    /// Judges what a peer presents.
    pub fn judge(&self, node: &NodeId, presented: Presented) -> Result<Standing, IdentityRefused> {
        let Presented { actor, began, run } = presented;
        let directories = self.nodes.get(node);
        if let Some(known) = directories.and_then(|directories| directories.get(&actor.directory)) {
            let another_run = known.run.is_some_and(|known| known != run);
            let less = actor.start < known.start
                || (actor.start == known.start && another_run && began < known.counter);
            if less {
                return Err(IdentityRefused {
                    node: node.clone(),
                    directory: actor.directory,
                    start: actor.start.0,
                    counter: began,
                    known_start: known.start.0,
                    known_counter: known.counter,
                });
            }
        }
        let others = directories.into_iter().flat_map(BTreeMap::keys);
        Ok(Standing { other_directory: others.into_iter().any(|known| *known != actor.directory) })
    }

    /// Remembers what a peer that was not refused presented. Whether that was news.
    pub fn learn(&mut self, node: &NodeId, presented: Presented) -> bool {
        let Presented { actor, began, run } = presented;
        let directories = self.nodes.entry(node.clone()).or_default();
        if let Some(known) = directories.get_mut(&actor.directory) {
            let news = raise(known, actor.start, began) || known.run != Some(run);
            known.run = Some(run);
            return news;
        }
        if directories.len() >= DIRECTORIES_MAX
            && let Some(oldest) = directories.iter().min_by_key(|(_, shown)| shown.order).map(|(id, _)| *id)
        {
            directories.remove(&oldest);
        }
        let order = self.next_order;
        self.next_order += 1;
        let shown = Shown { start: actor.start, counter: began, run: Some(run), order };
        directories.insert(actor.directory, shown);
        true
    }

    /// Remembers that a dot of `actor` was seen in some version, whoever sent it. Only directories that were
    /// presented before are known by node; of others nothing is learnt. Gives the node if that was news.
    pub fn saw_dot(&mut self, actor: ActorId, counter: u64) -> Option<NodeId> {
        let (node, known) = self.nodes.iter_mut().find_map(|(node, directories)| {
            directories.get_mut(&actor.directory).map(|known| (node, known))
        })?;
        raise(known, actor.start, counter).then(|| node.clone())
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

/// A start that was never presented is of a run that is not known yet.
fn raise(known: &mut Shown, start: StartNumber, counter: u64) -> bool {
    let news = (start, counter) > (known.start, known.counter);
    if start > known.start {
        known.run = None;
    }
    if news {
        (known.start, known.counter) = (start, counter);
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn actor(directory: u64, start: u32) -> ActorId {
        ActorId { directory: DirectoryId(directory), start: StartNumber(start) }
    }

    fn presented(directory: u64, start: u32, began: u64, run: u64) -> Presented {
        Presented { actor: actor(directory, start), began, run: RunId(run) }
    }

    #[test]
    fn a_run_that_began_from_less_than_its_directory_has_shown_is_refused() {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), presented(1, 3, 10, 1));
        for (start, began, refused) in
            [(3, 10, false), (3, 9, true), (2, 99, true), (4, 0, false), (3, 11, false)]
        {
            let judged = known.judge(&node("a"), presented(1, start, began, 2));
            assert_eq!(judged.is_err(), refused, "{start} {began}");
        }
        known.saw_dot(actor(1, 3), 20);
        let refused = known.judge(&node("a"), presented(1, 3, 15, 2)).unwrap_err();
        assert!(refused.to_string().contains("--new-directory-id"), "{refused}");
    }

    #[test]
    fn a_run_is_never_refused_for_its_own_dots_however_early_they_come() {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), presented(1, 3, 10, 1));
        known.saw_dot(actor(1, 3), 5_000);
        assert!(known.judge(&node("a"), presented(1, 3, 10, 1)).is_ok());
        // After a crash, a dot of the new start may come by way of others, before its handshake.
        known.saw_dot(actor(1, 4), 7);
        assert!(known.judge(&node("a"), presented(1, 4, 0, 2)).is_ok());
        known.learn(&node("a"), presented(1, 4, 0, 2));
        assert!(known.judge(&node("a"), presented(1, 4, 0, 2)).is_ok());
        assert!(known.judge(&node("a"), presented(1, 4, 0, 3)).is_err(), "another run of the same start");
    }

    #[test]
    fn another_directory_of_the_same_node_is_remembered() {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), presented(1, 1, 0, 1));
        known.learn(&node("b"), presented(9, 1, 0, 2));
        let standing = |name: &str, directory, known: &KnownIdentities| {
            known.judge(&node(name), presented(directory, 2, 0, 3)).unwrap().other_directory
        };
        assert!(!standing("a", 1, &known) && standing("a", 2, &known) && !standing("c", 5, &known));
    }

    #[test]
    fn dots_of_directories_that_never_presented_themselves_teach_nothing() {
        let mut known = KnownIdentities::default();
        assert_eq!(known.saw_dot(actor(1, 1), 5), None);
        assert_eq!(known, KnownIdentities::default());
    }

    #[test]
    fn the_memory_of_a_node_is_bounded_and_forgets_the_oldest_directory() {
        let mut known = KnownIdentities::default();
        for directory in 0..=DIRECTORIES_MAX as u64 {
            known.learn(&node("a"), presented(directory, 1, 0, 1));
        }
        let remembered: Vec<u64> = known.iter().map(|(_, id, _)| id.0).collect();
        assert_eq!(remembered, (1..=DIRECTORIES_MAX as u64).collect::<Vec<_>>());
        let entries = known.iter().map(|(node, id, shown)| (node.clone(), id, shown));
        assert_eq!(KnownIdentities::from_entries(entries.collect::<Vec<_>>()), known);
    }
}
