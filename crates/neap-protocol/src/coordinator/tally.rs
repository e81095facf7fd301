//! The count of a quorum: answers in; enough, hopeless, or neither, out.

use crate::ids::NodeId;
use crate::message::Refusal;

/// Who has answered, and how. A home is counted once, whatever else it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    homes: Vec<(NodeId, Option<Result<(), Refusal>>)>,
    needed: u8,
}

impl Tally {
    /// Of `homes`, `needed` must say yes.
    #[must_use]
    pub fn new(homes: impl IntoIterator<Item = NodeId>, needed: u8) -> Self {
        Self { homes: homes.into_iter().map(|home| (home, None)).collect(), needed }
    }

    /// Counts an answer of `home`. Whether it was the home's first that counts; a yes after a no counts, as
    /// the home then has done what was asked.
    pub fn add(&mut self, home: &NodeId, answer: Result<(), Refusal>) -> bool {
        let Some((_, slot)) = self.homes.iter_mut().find(|(node, _)| node == home) else { return false };
        let counts = match slot {
            None => true,
            Some(Err(_)) => answer.is_ok(),
            Some(Ok(())) => false,
        };
        if counts {
            *slot = Some(answer);
        }
        counts
    }

    /// Homes that said yes, in the order they were given.
    #[must_use]
    pub fn yes(&self) -> Vec<NodeId> {
        let yes = self.homes.iter().filter(|(_, slot)| matches!(slot, Some(Ok(()))));
        yes.map(|(home, _)| home.clone()).collect()
    }

    /// How many said yes.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.counted(|slot| matches!(slot, Some(Ok(()))))
    }

    /// How many are needed.
    #[must_use]
    pub fn needed(&self) -> u8 {
        self.needed
    }

    /// How many homes there are.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.counted(|_| true)
    }

    /// Whether enough said yes.
    #[must_use]
    pub fn enough(&self) -> bool {
        self.count() >= self.needed
    }

    /// Whether too many said no for the rest to be enough.
    #[must_use]
    pub fn hopeless(&self) -> bool {
        self.counted(|slot| !matches!(slot, Some(Err(_)))) < self.needed
    }

    /// Whether `home` has answered.
    #[must_use]
    pub fn has_answered(&self, home: &NodeId) -> bool {
        self.homes.iter().any(|(node, slot)| node == home && slot.is_some())
    }

    /// Whether every home has answered.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.homes.iter().all(|(_, slot)| slot.is_some())
    }

    /// Homes that have not said yes.
    #[must_use]
    pub fn lacking(&self) -> Vec<NodeId> {
        let lacking = self.homes.iter().filter(|(_, slot)| !matches!(slot, Some(Ok(()))));
        lacking.map(|(home, _)| home.clone()).collect()
    }

    /// Homes that said no, with their reasons.
    #[must_use]
    pub fn refusals(&self) -> Vec<(NodeId, Refusal)> {
        let no = self.homes.iter().filter_map(|(home, slot)| match slot {
            Some(Err(refusal)) => Some((home.clone(), *refusal)),
            _ => None,
        });
        no.collect()
    }

    fn counted(&self, mut wanted: impl FnMut(&Option<Result<(), Refusal>>) -> bool) -> u8 {
        u8::try_from(self.homes.iter().filter(|(_, slot)| wanted(slot)).count()).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| NodeId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_home_that_answers_twice_counts_once() {
        let names = homes(&["a", "b", "c"]);
        let mut tally = Tally::new(names.clone(), 2);
        assert!(tally.add(&names[0], Ok(())));
        assert!(!tally.add(&names[0], Ok(())));
        assert!(!tally.enough());
        assert!(tally.add(&names[2], Ok(())));
        assert!(tally.enough());
        assert_eq!(tally.yes(), homes(&["a", "c"]));
    }

    #[test]
    fn a_stranger_never_counts() {
        let mut tally = Tally::new(homes(&["a"]), 1);
        assert!(!tally.add(&NodeId::new("z").unwrap(), Ok(())));
        assert!(!tally.enough());
    }

    #[test]
    fn a_quorum_is_hopeless_only_when_the_rest_cannot_reach_it() {
        let names = homes(&["a", "b", "c"]);
        let mut tally = Tally::new(names.clone(), 2);
        tally.add(&names[0], Err(Refusal::NotSent));
        assert!(!tally.hopeless());
        tally.add(&names[1], Err(Refusal::DiskFull));
        assert!(tally.hopeless());
        assert_eq!(tally.refusals().len(), 2);
    }

    #[test]
    fn a_yes_after_a_no_counts_and_a_no_after_a_yes_does_not() {
        let names = homes(&["a", "b"]);
        let mut tally = Tally::new(names.clone(), 1);
        tally.add(&names[0], Err(Refusal::NoAnswer));
        assert!(tally.add(&names[0], Ok(())));
        assert!(!tally.add(&names[0], Err(Refusal::NoAnswer)));
        assert_eq!(tally.count(), 1);
    }
}
