//! Each checker can fail: bugs are planted in the code under test, and it is seen after how many operations they are
//! found, and by which checker. ARCHITECTURE.md has the table.

use std::sync::Mutex;

use super::checkers::{Invariant, determinism};
use super::faults::Level;
use super::scenario::{Scenario, Wanted};
use crate::planted::{self, Bug};
use crate::protocol::pbs::Preset;
use crate::protocol::quorum::Quorum;

/// Seeds until a bug counts as not found.
const SEEDS: u64 = 3000;
/// Operations of a seed.
const OPERATIONS: u64 = 5_000;

const PLANTED: [(Bug, &[Invariant]); 31] = {
    use Bug as B;
    use Invariant::{Causality, Determinism, Durability, Endings, Overlap};
    [
        (B::AcknowledgeBeforeSync, &[Durability]),
        (B::IgnoreFailedSync, &[Durability]),
        (B::CountRefusals, &[Durability]),
        (B::ReuseCounters, &[Causality]),
        (B::RestartCounterOfDeletedKey, &[Causality]),
        (B::ForgetCeiling, &[Causality]),
        (B::KeepActorOfDamagedRecord, &[Causality]),
        (B::DropSibling, &[Causality]),
        (B::OverwriteOnMerge, &[Causality]),
        (B::ResurrectReplaced, &[Causality]),
        (B::FillGaps, &[Causality]),
        (B::ForgetWhatWasOverwritten, &[Causality]),
        (B::DropEveryCopy, &[Causality]),
        (B::ReplyCoversUnseen, &[Causality]),
        (B::AnswerRetryTwice, &[Causality]),
        (B::ForwardAfterSilence, &[Causality]),
        (B::StaleRingAnswers, &[Overlap]),
        (B::IncompleteAnswers, &[Overlap]),
        (B::NewDirectoryIsComplete, &[Overlap]),
        (B::MemorylessVouches, &[Overlap]),
        (B::UncleanIsComplete, &[Overlap]),
        (B::LackingVouches, &[Overlap]),
        (B::SettingsUnheard, &[Overlap]),
        (B::PullFromOneFewer, &[Overlap]),
        (B::HealFromOne, &[Overlap]),
        (B::DamagedIsEmpty, &[Overlap]),
        (B::AnswerWithFirst, &[Overlap]),
        (B::ReadOneFewer, &[Overlap]),
        (B::ForgetDeadline, &[Endings]),
        (B::LeakOperations, &[Endings]),
        (B::UnstableOrder, &[Determinism]),
    ]
};

fn wanted() -> Wanted {
    Wanted {
        nodes: 5,
        zones: 1,
        quorum: Quorum { n: 3, r: 2, w: 2 },
        legs: Preset::LnkdSsd.legs(),
        level: Level::Heavy,
        operations: OPERATIONS,
    }
}

/// What found a bug, and after how many operations.
fn find(bug: Bug) -> Option<(Invariant, u64, String)> {
    let mut before = 0;
    let ring = Scenario::drawn(1, &wanted()).ring().unwrap();
    for seed in 1..=SEEDS {
        let scenario = Scenario::drawn(seed, &wanted());
        let outcome = planted::with(bug, || scenario.run(ring.clone()).unwrap());
        if bug == Bug::UnstableOrder {
            let again = planted::with(bug, || scenario.run(ring.clone()).unwrap());
            if let Err(violation) = determinism::same(outcome.hash, again.hash) {
                return Some((violation.invariant, before + 2 * outcome.operations, violation.what));
            }
        }
        if let Some((violation, operations)) = outcome.violation {
            return Some((violation.invariant, before + operations, violation.what));
        }
        before += outcome.operations;
    }
    None
}

#[test]
fn every_planted_bug_is_found_by_its_checker() {
    let left = Mutex::new(PLANTED.to_vec());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((bug, expected)) = { left.lock().unwrap().pop() } {
                    let found = find(bug);
                    println!("{bug:?}: {found:?}");
                    if !found.as_ref().is_some_and(|(invariant, ..)| expected.contains(invariant)) {
                        faults.lock().unwrap().push(format!("{bug:?}: {found:?}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "not found by {faults:#?}");
}
