//! Who a peer is, and whether it is who it says: what is remembered of the directories of each node.
//!
//! A data directory's starts and counters only rise. A directory that presents less than it has shown before
//! is a restored backup or a copy: its next dots would be names that are taken. It is refused until it is given
//! an id of its own.

use std::collections::BTreeMap;

use crate::protocol::ids::{ActorId, DirectoryId, NodeId, StartNumber};

/// How many directories are remembered of a node; the one seen longest ago is forgotten first.
pub const DIRECTORIES_MAX: usize = 16;

/// The most that a directory has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its highest start.
    pub start: StartNumber,
    /// The highest counter of that start.
    pub counter: u64,
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
    "the data directory {directory} of {node} presents start {start} with counter {counter}, and had come to start \
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
    /// The counter it presents.
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
    pub fn judge(&self, node: &NodeId, actor: ActorId, counter: u64) -> Result<Standing, IdentityRefused> {
        let directories = self.nodes.get(node);
        let known = directories.and_then(|directories| directories.get(&actor.directory));
        if let Some(known) = known
            && (actor.start, counter) < (known.start, known.counter)
        {
            return Err(IdentityRefused {
                node: node.clone(),
                directory: actor.directory,
                start: actor.start.0,
                counter,
                known_start: known.start.0,
                known_counter: known.counter,
            });
        }
        let others = directories.into_iter().flat_map(BTreeMap::keys);
        Ok(Standing { other_directory: others.into_iter().any(|known| *known != actor.directory) })
    }

    /// Remembers what a peer presented. Whether that was news.
    pub fn learn(&mut self, node: &NodeId, actor: ActorId, counter: u64) -> bool {
        let directories = self.nodes.entry(node.clone()).or_default();
        if let Some(known) = directories.get_mut(&actor.directory) {
            return raise(known, actor.start, counter);
        }
        if directories.len() >= DIRECTORIES_MAX
            && let Some(oldest) = directories.iter().min_by_key(|(_, shown)| shown.order).map(|(id, _)| *id)
        {
            directories.remove(&oldest);
        }
        let order = self.next_order;
        self.next_order += 1;
        directories.insert(actor.directory, Shown { start: actor.start, counter, order });
        true
    }

    /// Remembers that a dot of `actor` was seen in some version, whoever sent it. Only directories that were
    /// presented before are known by node; of others nothing is learnt. Whether that was news.
    pub fn saw_dot(&mut self, actor: ActorId, counter: u64) -> bool {
        let known = self.nodes.values_mut().find_map(|directories| directories.get_mut(&actor.directory));
        known.is_some_and(|known| raise(known, actor.start, counter))
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

fn raise(known: &mut Shown, start: StartNumber, counter: u64) -> bool {
    let news = (start, counter) > (known.start, known.counter);
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

    #[test]
    fn a_directory_that_presents_less_than_it_has_shown_is_refused() {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), actor(1, 3), 10);
        for (start, counter, refused) in
            [(3, 10, false), (3, 9, true), (2, 99, true), (4, 0, false), (3, 11, false)]
        {
            assert_eq!(
                known.judge(&node("a"), actor(1, start), counter).is_err(),
                refused,
                "{start} {counter}"
            );
        }
        known.saw_dot(actor(1, 3), 20);
        let refused = known.judge(&node("a"), actor(1, 3), 15).unwrap_err();
        assert!(refused.to_string().contains("--new-directory-id"), "{refused}");
    }

    #[test]
    fn another_directory_of_the_same_node_is_remembered() {
        let mut known = KnownIdentities::default();
        known.learn(&node("a"), actor(1, 1), 0);
        known.learn(&node("b"), actor(9, 1), 0);
        assert_eq!(known.judge(&node("a"), actor(1, 2), 0), Ok(Standing { other_directory: false }));
        assert_eq!(known.judge(&node("a"), actor(2, 1), 0), Ok(Standing { other_directory: true }));
        assert_eq!(known.judge(&node("c"), actor(5, 1), 0), Ok(Standing { other_directory: false }));
    }

    #[test]
    fn dots_of_directories_that_never_presented_themselves_teach_nothing() {
        let mut known = KnownIdentities::default();
        assert!(!known.saw_dot(actor(1, 1), 5));
        assert_eq!(known, KnownIdentities::default());
    }

    #[test]
    fn the_memory_of_a_node_is_bounded_and_forgets_the_oldest_directory() {
        let mut known = KnownIdentities::default();
        for directory in 0..=DIRECTORIES_MAX as u64 {
            known.learn(&node("a"), actor(directory, 1), 0);
        }
        let remembered: Vec<u64> = known.iter().map(|(_, id, _)| id.0).collect();
        assert_eq!(remembered, (1..=DIRECTORIES_MAX as u64).collect::<Vec<_>>());
        let entries = known.iter().map(|(node, id, shown)| (node.clone(), id, shown));
        assert_eq!(KnownIdentities::from_entries(entries.collect::<Vec<_>>()), known);
    }
}
