//! How long the parts of this coordinator's operations take, by what answers say of when.

use super::answer::AnswerBody;
use crate::message::{CoordinateReply, PeerAnswer, ReplicaReply};
use crate::sli::{Leg, LegsObserved};
use crate::staleness::{AppliedAt, Digest};
use crate::time::Moment;

/// When a peer did what it was asked, by its own clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// It applied a state.
    Applied(AppliedAt),
    /// It looked.
    Probed(Moment),
}

/// What a peer's answer says of when; none if it says nothing.
pub(super) fn told(answer: &AnswerBody) -> Option<Told> {
    let AnswerBody::Peer(PeerAnswer::Replica(reply)) = answer else { return None };
    match reply {
        ReplicaReply::Applied { when, .. } => Some(Told::Applied(*when)),
        ReplicaReply::Probed(digest) => {
            let Digest { at, .. } = **digest;
            Some(Told::Probed(at))
        }
        ReplicaReply::Fetched(_) | ReplicaReply::Refused(_) => None,
    }
}

/// A peer answered. Its clock is ahead of this node's by about `offset_us`: the middle of what is known of it, since a
/// bound of either side would make one way the longer and the other the shorter.
pub(super) fn peer(legs: &mut LegsObserved, told: Told, offset_us: i64, (sent, received): (Moment, Moment)) {
    let here = |moment: Moment| Moment(moment.0.saturating_add_signed(offset_us.saturating_neg()));
    match told {
        // What it had before it was asked says nothing of this way.
        Told::Applied(when) if when.exactly && when.applied >= when.arrived => {
            legs.record(Leg::Write, here(when.applied).micros_since(sent));
            legs.record(Leg::Sync, when.answered.micros_since(when.applied));
            legs.record(Leg::Ack, received.micros_since(here(when.answered)));
        }
        Told::Applied(_) => {}
        Told::Probed(at) => {
            legs.record(Leg::Read, here(at).micros_since(sent));
            legs.record(Leg::Answer, received.micros_since(here(at)));
        }
    }
}

/// What this node's own replica answered. Its acknowledgement of a write counts from when that was sent on: what is
/// returned is the moment to remember for it.
pub(super) fn own(
    legs: &mut LegsObserved,
    answer: &AnswerBody,
    writes: bool,
    (asked, now): (Moment, Moment),
) -> Option<Moment> {
    let us = now.micros_since(asked);
    match answer {
        AnswerBody::Coordinated(reply) => {
            let stamped = matches!(**reply, CoordinateReply::Stamped { again: false, .. });
            if stamped {
                legs.record(Leg::OwnWrite, us);
            }
            stamped.then_some(now)
        }
        AnswerBody::Own(ReplicaReply::Applied { .. }) if writes => {
            legs.record(Leg::OwnAck, us);
            None
        }
        AnswerBody::Own(ReplicaReply::Fetched(_)) => {
            legs.record(Leg::OwnRead, us);
            None
        }
        AnswerBody::Own(_) | AnswerBody::Peer(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sli::Path;

    fn seen(legs: &LegsObserved) -> Vec<(&'static str, u64)> {
        let times = |leg: Leg| legs.of(leg).map(move |(us, _)| (leg.name(), us));
        Leg::ALL.into_iter().flat_map(times).collect()
    }

    fn applied(arrived: u64, applied: u64, answered: u64) -> Told {
        Told::Applied(AppliedAt {
            clock: 1,
            arrived: Moment(arrived),
            applied: Moment(applied),
            exactly: true,
            answered: Moment(answered),
            path: Path::Direct,
        })
    }

    #[test]
    fn an_acknowledgement_splits_into_the_way_out_the_sync_and_the_way_back() {
        let mut legs = LegsObserved::default();
        peer(&mut legs, applied(5_000_070, 5_000_070, 5_000_100), 5_000_000, (Moment(20), Moment(110)));
        assert_eq!(seen(&legs), [("write", 50), ("sync", 30), ("ack", 10)]);
    }

    #[test]
    fn a_probe_gives_the_two_ways_of_a_read() {
        let mut legs = LegsObserved::default();
        peer(&mut legs, Told::Probed(Moment(100)), -1_000, (Moment(1_040), Moment(1_125)));
        assert_eq!(seen(&legs), [("read", 60), ("answer", 25)]);
    }

    #[test]
    fn what_a_home_had_before_it_was_asked_gives_nothing() {
        let mut legs = LegsObserved::default();
        peer(&mut legs, applied(500, 300, 500), 0, (Moment(400), Moment(600)));
        assert!(legs.is_empty());
    }

    #[test]
    fn a_way_is_never_shorter_than_nothing_however_far_clocks_are_off() {
        let mut legs = LegsObserved::default();
        peer(&mut legs, applied(50, 50, 50), 20, (Moment(40), Moment(60)));
        assert!(legs.of(Leg::Write).all(|(us, _)| us == 0), "{:?}", seen(&legs));
    }

    #[test]
    fn a_read_of_the_own_replica_counts_there_and_back_and_a_repair_of_it_does_not() {
        let mut legs = LegsObserved::default();
        let fetched = AnswerBody::Own(ReplicaReply::Fetched(None));
        assert_eq!(own(&mut legs, &fetched, false, (Moment(5), Moment(12))), None);
        let Told::Applied(when) = applied(1, 1, 1) else { unreachable!("it was applied") };
        let repaired = AnswerBody::Own(ReplicaReply::Applied { siblings: 1, when });
        assert_eq!(own(&mut legs, &repaired, false, (Moment(5), Moment(12))), None);
        assert_eq!(seen(&legs), [("own_read", 7)]);
        own(&mut legs, &repaired, true, (Moment(5), Moment(14)));
        assert_eq!(seen(&legs), [("own_ack", 9), ("own_read", 7)]);
    }
}
