//! Bugs that tests plant, to see that a checker finds them. Outside of test builds there are none: the switch has no
//! size, and every question whether a bug was planted is answered no when the program is compiled.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A replica acknowledges before its sync.
    AcknowledgeBeforeSync,
    /// A start that follows a crash goes on under the same actor, from the first counter.
    ReuseCounters,
    /// The counter begins anew for a key whose value was deleted.
    RestartCounterOfDeletedKey,
    /// A merge keeps one of two siblings.
    DropSibling,
    /// A merge takes what came in for the whole.
    OverwriteOnMerge,
    /// A merge keeps versions that the other side has seen replaced.
    ResurrectReplaced,
    /// A node that goes by an old ring answers for keys that are not its own.
    StaleRingAnswers,
    /// A retry is carried out again, though its coordinator knows the write.
    AnswerRetryTwice,
    /// A write that may have been carried out is given to another coordinator.
    ForwardAfterSilence,
    /// A home that repeats itself counts twice.
    CountHomeTwice,
    /// A refusal counts as an acknowledgement.
    CountRefusals,
    /// A home that may lack writes answers reads.
    IncompleteAnswers,
    /// A new directory is taken for complete at once.
    NewDirectoryIsComplete,
    /// A run issues dots before anybody admitted it, and whoever refuses it.
    UnconfirmedIssuesDots,
    /// A clock begins where the wall clock stands, whatever its directory has issued.
    ForgetCeiling,
    /// The context of a reply covers all that the coordinator holds.
    ReplyCoversUnseen,
    /// A read that no quorum answers in time is never answered.
    ForgetDeadline,
    /// A read is answered before those that are behind are repaired, with what the first of them holds.
    AnswerWithFirst,
    /// A write without context does not remember what it overwrote.
    ForgetWhatWasOverwritten,
    /// Operations stay in the table after they are over.
    LeakOperations,
    /// The event queue breaks ties by where things lie in memory.
    UnstableOrder,
}

/// Which bug was planted, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planted {
    #[cfg(test)]
    bug: Option<Bug>,
}

impl Planted {
    /// Whether this bug was planted.
    #[must_use]
    #[inline(always)]
    pub fn has(self, bug: Bug) -> bool {
        #[cfg(test)]
        {
            self.bug == Some(bug)
        }
        #[cfg(not(test))]
        {
            let _ = bug;
            false
        }
    }

    /// Plants a bug.
    #[cfg(test)]
    #[must_use]
    pub fn bug(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }
}
