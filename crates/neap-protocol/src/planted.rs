//! Bugs that the simulator's own tests plant, to see that a checker finds them. Without the feature `planted` there are
//! none: every question whether a bug was planted is answered no when the program is compiled.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` is for tests of the simulator: a release build has no planted bugs");

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A replica acknowledges before its sync.
    AcknowledgeBeforeSync,
    /// A process goes on though a sync has failed.
    IgnoreFailedSync,
    /// A refusal counts as an acknowledgement.
    CountRefusals,
    /// Each start of a directory goes on under the same actor, from the first counter.
    ReuseCounters,
    /// The counter begins anew for a key whose value was deleted.
    RestartCounterOfDeletedKey,
    /// A clock begins where the wall clock stands, whatever its directory has issued.
    ForgetCeiling,
    /// What takes the place of a damaged record is written to under the same actor.
    KeepActorOfDamagedRecord,
    /// A merge keeps one of two siblings.
    DropSibling,
    /// A merge takes what came in for the whole.
    OverwriteOnMerge,
    /// A merge keeps versions that the other side has seen replaced.
    ResurrectReplaced,
    /// A dot that was seen stands for all before it.
    FillGaps,
    /// A blind write forgets what it overwrote.
    ForgetWhatWasOverwritten,
    /// All copies of a superseded write go with it, whatever else they had replaced.
    DropEveryCopy,
    /// The context of a reply covers all that the coordinator holds.
    ReplyCoversUnseen,
    /// A retry is carried out again, though its coordinator knows the write.
    AnswerRetryTwice,
    /// A write that may have been carried out is given to another coordinator.
    ForwardAfterSilence,
    /// A node that goes by an old ring, or old settings, answers for keys that are not its own.
    StaleRingAnswers,
    /// A home that may lack writes answers reads.
    IncompleteAnswers,
    /// A new directory is taken for complete at once.
    NewDirectoryIsComplete,
    /// A directory is taken for the first once a majority, this node among it, remembers no other.
    MajorityFounds,
    /// A refused run raises its ceiling all the same, and nothing is written down of the refusal.
    ForgetRefusal,
    /// Whoever lost its own memory says that a node had no other directory.
    MemorylessVouches,
    /// What lost power under `interval` is taken for complete.
    UncleanIsComplete,
    /// A home that may lack writes is pulled from as if it lacked none.
    LackingVouches,
    /// A pull goes by the bucket settings that happen to be known.
    SettingsUnheard,
    /// One home fewer is pulled from than must be.
    PullFromOneFewer,
    /// What is merged over a damaged record at a home that pulls is not pulled once more.
    PullOnceOverDamage,
    /// A damaged record is healed from a single other home.
    HealFromOne,
    /// A damaged record reads as nothing.
    DamagedIsEmpty,
    /// A read is answered with what the first home holds.
    AnswerWithFirst,
    /// A read waits for one home fewer than R.
    ReadOneFewer,
    /// A home that did not answer a probe is taken for one that has nothing newer.
    UnansweredIsFresh,
    /// What a home has when it answers a probe is taken for what it had when the read began.
    ProbeIsThen,
    /// A late verdict goes by what replicas had when they were asked again.
    LateIsThen,
    /// Reads that were not judged are left out of the interval of the stale-read rate.
    UnjudgedLeftOut,
    /// A version that came less than `clock.max_skew` before a read is taken for one that came after it.
    SkewIsTolerance,
    /// What is followed of writes is lost with their coordinator, and nobody says so.
    ForgetLostTracking,
    /// A home is taken to have a write when its acknowledgement comes.
    ReturnLegConverges,
    /// Writes are carried out however many bytes they leave.
    ObjectsUnbounded,
    /// Writes are carried out however many versions they leave.
    SiblingsUnbounded,
    /// A scan that meets an object too large to be sent is refused.
    LargeObjectHoldsUp,
    /// A home that was left without an object answers for what it has of it.
    LeftOutAnswers,
    /// A read that no quorum answers in time is answered late.
    ForgetDeadline,
    /// Operations stay in the table after they are over.
    LeakOperations,
    /// The order of what happens at the same time depends on where things lie in memory.
    UnstableOrder,
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug was planted.
#[inline(always)]
#[must_use]
pub fn has(bug: Bug) -> bool {
    #[cfg(feature = "planted")]
    {
        PLANTED.get() == Some(bug)
    }
    #[cfg(not(feature = "planted"))]
    {
        let _ = bug;
        false
    }
}

/// Runs something with a bug planted, in this thread.
#[cfg(feature = "planted")]
pub fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    PLANTED.set(Some(bug));
    let result = run();
    PLANTED.set(None);
    result
}
