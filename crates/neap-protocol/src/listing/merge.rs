//! One listing: rounds of pages, joined as far as R replicas of each partition speak.

use bytes::Bytes;

use super::round::{Deciders, Round, Through};
use super::{KeyPage, KeyRange, ListError, ListReply, ListedKey, PageRequest, StatesRequest};
use crate::bucket::BucketSettings;
use crate::causality::shown;
use crate::ids::{Key, NodeId};
use crate::message::Refusal;
use crate::ring::{NodeIndex, Ring};
use crate::time::{Hlc, Moment, WallMicros};

/// How many bytes of keys and states an answer of a node holds, about.
const PAGE_BYTES: u32 = 1 << 20;
/// Keys that a round asks for at the least after one that brought keys which no reader is shown: where replicas have
/// missed deletes there may be many of them.
const KEYS_AFTER_HIDDEN: usize = 1_024;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask every member this, which begins a round; what earlier rounds asked for counts no more.
    Ask(PageRequest),
    /// Ask these members this, as part of the round.
    AskStates(Vec<(NodeIndex, StatesRequest)>),
    /// Wait for more answers of this round.
    Wait,
    /// Tell the client. The listing is over.
    Tell(Result<ListReply, ListError>),
}

/// The times of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListTimes {
    /// The wall clock when it begins: what has expired by then is not listed.
    pub began: WallMicros,
    /// When the client is told, whatever is there by then.
    pub deadline: Moment,
}

/// A listing of the keys of a range, up to a number of them.
#[derive(Debug)]
pub struct Listing {
    range: KeyRange,
    limit: usize,
    settings: BucketSettings,
    times: ListTimes,
    keys: Vec<ListedKey>,
    /// Whether some round is over, so that there is something to tell.
    advanced: bool,
    /// Keys that a round asks for at the least.
    keys_a_round: usize,
    round: Round,
    round_began: Moment,
    /// How long the longest round took, in microseconds.
    longest_us: u64,
}

impl Listing {
    /// A listing of up to `limit` keys (at least one) of a bucket with these settings.
    ///
    /// # Errors
    ///
    /// There are fewer nodes than N.
    pub fn new(
        ring: &Ring,
        settings: BucketSettings,
        range: KeyRange,
        limit: usize,
        times: ListTimes,
    ) -> Result<Self, ListError> {
        let members = u16::try_from(ring.members().len()).unwrap_or(u16::MAX);
        let n = settings.quorum.n;
        if u16::from(n) > members {
            return Err(ListError::TooFewMembers { n, members });
        }
        Ok(Self {
            range,
            limit: limit.max(1),
            settings,
            times,
            keys: Vec::new(),
            advanced: false,
            keys_a_round: 0,
            round: Round::default(),
            round_began: Moment(0),
            longest_us: 0,
        })
    }

    /// When the client is told, whatever is there by then.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.times.deadline
    }

    /// Begins a round: every member is to be asked this.
    pub fn ask(&mut self, ring: &Ring, now: Moment) -> PageRequest {
        (self.round, self.round_began) = (Round::begin(ring), now);
        let wanted = self.limit.saturating_sub(self.keys.len()).saturating_add(1).max(self.keys_a_round);
        PageRequest {
            range: self.range.clone(),
            n: self.settings.quorum.n,
            now: self.times.began,
            max_keys: u32::try_from(wanted).unwrap_or(u32::MAX),
            max_bytes: PAGE_BYTES,
        }
    }

    /// Takes a member's answer to this round's request for pages.
    pub fn answered(
        &mut self,
        ring: &Ring,
        now: Moment,
        from: &NodeId,
        answer: Result<KeyPage, Refusal>,
    ) -> Next {
        let Some(index) = ring.index_of(from).filter(|index| self.round.expects_page_of(*index)) else {
            return Next::Wait;
        };
        let goes_on =
            |page: &KeyPage| page.through.as_ref().is_none_or(|key| key.as_bytes() > &self.range.after[..]);
        match answer {
            Ok(page) if goes_on(&page) => self.round.page(index, page),
            // A page that gets nowhere is none.
            Ok(_) => self.round.refused(index, from.clone(), Refusal::NoAnswer),
            Err(refusal) => self.round.refused(index, from.clone(), refusal),
        }
        self.conclude(ring, now)
    }

    /// Takes a member's answer to this round's request for states.
    pub fn states_answered(
        &mut self,
        ring: &Ring,
        now: Moment,
        from: &NodeId,
        answer: Result<KeyPage, Refusal>,
    ) -> Next {
        let Some(index) = ring.index_of(from) else { return Next::Wait };
        match answer {
            Ok(states) => self.round.states(index, states),
            Err(refusal) => self.round.refused(index, from.clone(), refusal),
        }
        self.conclude(ring, now)
    }

    /// The deadline has passed: what is there is told, else why there is nothing.
    pub fn ended(self, ring: &Ring) -> Result<ListReply, ListError> {
        if self.advanced {
            return Ok(ListReply { keys: self.keys, more_after: Some(self.range.after) });
        }
        let lacking = self.round.lacking(self.deciders(ring)).max(1);
        let (partitions, needed) = (ring.partitions(), self.settings.quorum.r);
        Err(ListError::Deadline { lacking, partitions, needed })
    }

    fn deciders<'a>(&'a self, ring: &'a Ring) -> Deciders<'a> {
        Deciders { ring, bucket: &self.range.bucket, quorum: self.settings.quorum }
    }

    /// Ends the round, if enough is known.
    fn conclude(&mut self, ring: &Ring, now: Moment) -> Next {
        let deciders = Deciders { ring, bucket: &self.range.bucket, quorum: self.settings.quorum };
        let Some(reach) = self.round.reach(deciders) else {
            if self.round.lacks_pages() {
                return Next::Wait;
            }
            let lacking = self.round.lacking(deciders);
            return self.tell_what_is_there(ring, lacking);
        };
        let asks = self.round.ask_states(deciders, &reach, PAGE_BYTES);
        if !asks.is_empty() {
            return Next::AskStates(asks);
        }
        if self.round.lacks_states() {
            return Next::Wait;
        }
        self.join(ring, now, reach)
    }

    /// Takes over the keys up to `reach`.
    fn join(&mut self, ring: &Ring, now: Moment, reach: Through) -> Next {
        let room = self.limit.saturating_sub(self.keys.len());
        let (mut listed, mut hidden, mut damaged) = (Vec::with_capacity(room), false, false);
        let (mut last, mut more) = (None, reach != Through::End);
        for key in self.round.keys_through(&reach) {
            if listed.len() == room {
                more = true;
                break;
            }
            match self.judge(ring, key) {
                Ok(Some(key)) => listed.push(key),
                Ok(None) => hidden = true,
                // Too few sound copies are here, and another replica may yet answer.
                Err(_) if self.round.lacks_pages() => return Next::Wait,
                Err(_) => {
                    damaged = true;
                    break;
                }
            }
            last = Some(key);
        }
        let full = listed.len() == room;
        let after = match (&last, &reach) {
            (Some(key), _) if full || damaged => Some(bytes_of(key)),
            (None, _) if damaged => None,
            (_, Through::Key(through)) => Some(bytes_of(through)),
            (_, Through::End) => None,
        };
        self.keys.append(&mut listed);
        if hidden {
            self.keys_a_round = KEYS_AFTER_HIDDEN;
        }
        if let Some(after) = after {
            (self.range.after, self.advanced) = (after, true);
        }
        if damaged {
            return self.tell_what_is_there(ring, 1);
        }
        self.longest_us = self.longest_us.max(now.micros_since(self.round_began));
        let time_is_over = now.plus_micros(self.longest_us) > self.times.deadline;
        if more && !full && !time_is_over {
            return Next::Ask(self.ask(ring, now));
        }
        Next::Tell(Ok(self.take_reply(more)))
    }

    fn take_reply(&mut self, more: bool) -> ListReply {
        let more_after = more.then(|| self.range.after.clone());
        ListReply { keys: std::mem::take(&mut self.keys), more_after }
    }

    /// Nothing more comes of this round: what earlier ones brought is told, else why there is nothing.
    fn tell_what_is_there(&mut self, ring: &Ring, lacking: u32) -> Next {
        if self.advanced {
            return Next::Tell(Ok(self.take_reply(true)));
        }
        let (partitions, needed) = (ring.partitions(), self.settings.quorum.r);
        let refusals = self.round.refusals().to_vec();
        Next::Tell(Err(ListError::Lacking { lacking, partitions, needed, refusals }))
    }

    /// The key as it is listed, if its replicas' states show a value.
    fn judge(&self, ring: &Ring, key: &Key) -> Result<Option<ListedKey>, super::round::Damaged> {
        let ListTimes { began, .. } = self.times;
        let joined = self.round.joined(self.deciders(ring), key, Hlc::from_wall(began))?;
        let versions = shown(&joined, self.settings.resolution, began).versions();
        let newest = versions.iter().map(|version| version.hlc).max();
        Ok(newest.map(|newest| ListedKey { key: key.clone(), newest, versions: versions.len() }))
    }
}

fn bytes_of(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}
