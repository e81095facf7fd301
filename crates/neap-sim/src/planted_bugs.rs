//! Each checker can fail: bugs are planted in the code under test, and it is seen after how many operations they are
//! found, and by which checker. ARCHITECTURE.md has the table.
//!
//! Most are found within a few seeds, whatever else changes. The rest need an unlikely story, which is written down; some
//! of them are found in many seeds as well.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::checkers::{Invariant, determinism};
use super::faults::Level;
use super::file::File;
use super::run::Outcome;
use super::scenario::{Scenario, Wanted};
use super::shrink::{Effort, shrink};
use neap_protocol::pbs::Preset;
use neap_protocol::planted::{self, Bug};
use neap_protocol::quorum::Quorum;

/// Seeds after which a bug counts as not found.
const SEEDS: u64 = 60;
/// Seeds after which a rare bug counts as not found.
const MANY_SEEDS: u64 = 2_000;
/// Operations of a seed.
const OPERATIONS: u64 = 5_000;

/// Which checker is expected to find a bug that any few seeds show.
const COMMON: [(Bug, Invariant); 36] = {
    use Bug as B;
    use Invariant::{Causality, Determinism, Durability, Endings, Overlap, Sli};
    [
        (B::AcknowledgeBeforeSync, Durability),
        (B::IgnoreFailedSync, Durability),
        (B::CountRefusals, Durability),
        (B::ReuseCounters, Causality),
        (B::RestartCounterOfDeletedKey, Causality),
        (B::ForgetCeiling, Causality),
        (B::KeepActorOfDamagedRecord, Causality),
        (B::DropSibling, Causality),
        (B::OverwriteOnMerge, Causality),
        (B::ResurrectReplaced, Causality),
        (B::FillGaps, Causality),
        (B::ForgetWhatWasOverwritten, Causality),
        (B::DropEveryCopy, Causality),
        (B::ReplyCoversUnseen, Causality),
        (B::AnswerRetryTwice, Causality),
        (B::ForwardAfterSilence, Causality),
        (B::StaleRingAnswers, Overlap),
        (B::IncompleteAnswers, Overlap),
        (B::NewDirectoryIsComplete, Overlap),
        (B::UncleanIsComplete, Overlap),
        (B::PullFromOneFewer, Overlap),
        (B::DamagedIsEmpty, Overlap),
        (B::AnswerWithFirst, Overlap),
        (B::ReadOneFewer, Overlap),
        (B::UnansweredIsFresh, Sli),
        (B::ProbeIsThen, Sli),
        (B::LateIsThen, Sli),
        (B::UnjudgedLeftOut, Sli),
        (B::SkewIsTolerance, Sli),
        (B::ForgetLostTracking, Sli),
        (B::ReturnLegConverges, Sli),
        (B::ForgetDeadline, Endings),
        (B::LeakOperations, Endings),
        (B::ObjectsUnbounded, Endings),
        (B::SiblingsUnbounded, Endings),
        (B::UnstableOrder, Determinism),
    ]
};

/// Bugs that need an unlikely story, and the story, under `tests/regressions` or `tests/planted`.
const RARE: [(Bug, Invariant, &str); 9] = {
    use Invariant::{Endings, Overlap};
    [
        (
            Bug::MajorityFounds,
            Overlap,
            "regressions/a_majority_does_not_know_whether_a_directory_is_the_first.toml",
        ),
        (
            Bug::MemorylessVouches,
            Overlap,
            "regressions/who_came_back_with_a_new_disk_vouches_for_nobody.toml",
        ),
        (Bug::ForgetRefusal, Overlap, "regressions/a_refused_backup_stays_refused.toml"),
        (
            Bug::PullOnceOverDamage,
            Overlap,
            "regressions/what_is_put_over_a_damaged_record_is_pulled_again.toml",
        ),
        (Bug::LackingVouches, Overlap, "planted/lacking_vouches.toml"),
        (Bug::SettingsUnheard, Overlap, "planted/settings_unheard.toml"),
        (Bug::HealFromOne, Overlap, "planted/heal_from_one.toml"),
        (Bug::LeftOutAnswers, Overlap, "planted/left_out_answers.toml"),
        (Bug::LargeObjectHoldsUp, Endings, "planted/left_out_answers.toml"),
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
type Found = Option<(Invariant, u64, String)>;

fn find(bug: Bug, seeds: u64) -> Found {
    let mut before = 0;
    let ring = Scenario::drawn(1, &wanted()).ring().unwrap();
    for seed in 1..=seeds {
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

/// Looks for all of `bugs`, two at once, prints what was found, and fails unless the checkers expected found them.
fn find_all(bugs: Vec<(Bug, Invariant)>, seeds: u64) {
    let left = Mutex::new(bugs);
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((bug, expected)) = { left.lock().unwrap().pop() } {
                    let found = find(bug, seeds);
                    println!("{bug:?}: {found:?}");
                    if found.as_ref().is_none_or(|(invariant, ..)| *invariant != expected) {
                        missed.lock().unwrap().push(format!("{bug:?}: {found:?}"));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found by their checkers: {missed:#?}");
}

#[test]
fn every_common_bug_is_found_by_its_checker_in_a_few_seeds() {
    find_all(COMMON.to_vec(), SEEDS);
}

#[test]
fn some_rare_bugs_are_found_in_many_seeds_too() {
    let some = RARE.iter().filter(|(bug, ..)| matches!(bug, Bug::LackingVouches | Bug::HealFromOne));
    find_all(some.map(|(bug, invariant, _)| (*bug, *invariant)).collect(), MANY_SEEDS);
}

#[test]
fn every_rare_bug_is_found_by_its_checker_in_its_story_and_nothing_else_is() {
    for (bug, expected, story) in RARE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(story);
        let file = File::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let scenario = file.scenario(Preset::named(&file.latency).unwrap().legs()).unwrap();
        let run = || -> Outcome { scenario.run(scenario.ring().unwrap()).unwrap() };
        let found = planted::with(bug, run).violation;
        println!("{bug:?}: {found:?}");
        let by = found.map(|(violation, _)| violation.invariant);
        assert_eq!(by, Some(expected), "{bug:?} in {story}");
        assert_eq!(run().violation, None, "{story}");
    }
}

#[test]
fn a_failing_schedule_is_made_short_and_written_down_still_fails() {
    let scenario = Scenario::drawn(1, &wanted());
    let ring = scenario.ring().unwrap();
    planted::with(Bug::DropSibling, || {
        let (violation, operations) = scenario.run(ring.clone()).unwrap().violation.unwrap();
        let effort = Effort { runs: 5_000, time: Duration::from_secs(60) };
        let short = shrink(&scenario, ring.clone(), (violation.invariant, operations), effort);
        assert!(short.steps().count() <= 6 && short.faults.len() <= 2, "{short:?}");
        let file = File::parse(&File::of(&short, "lnkd-ssd").text()).unwrap();
        let told = file.scenario(Preset::LnkdSsd.legs()).unwrap();
        let (short, told) = (short.run(ring.clone()).unwrap(), told.run(ring.clone()).unwrap());
        assert_eq!(short.violation.unwrap().0.invariant, violation.invariant);
        assert_eq!(short.hash, told.hash);
    });
}
