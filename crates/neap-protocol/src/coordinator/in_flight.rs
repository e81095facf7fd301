//! One operation in flight: its machine, and what that wants turned into messages.

use super::answer::{Kind, tag};
use super::observe::{read_observed, write_observed};
use super::plan::Surroundings;
use super::told::{ConvergedWrite, CoordinatorCount, CoordinatorEffect, JudgedRead};
use super::unconverged::Standing;
use super::{
    ApplyWhy, Asked, Bunch, BunchConverged, ClientWrite, Effect, HealMachine, Input, LateProbeMachine,
    ReadMachine, RepairWhen, TrackMachine, Unfollowed, WriteMachine,
};
use crate::bucket::{BucketSettings, SettingsVersion};
use crate::ids::{BucketName, Dot, Key, NodeId, OperationId, WriteId};
use crate::message::{Coordinate, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, Target};
use crate::operation::Write;
use crate::sli::{ConvergedObserved, Observation};
use crate::staleness::{Convergence, Evidence, Judgement, Place, Question};
use crate::time::{Hlc, Moment, WallMicros};

type Effects<C> = Vec<CoordinatorEffect<C>>;

/// Which operation takes a step, and how long its late answers are followed, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    pub(super) id: OperationId,
    pub(super) follow_us: u64,
}

/// The refusal with which a node that is known to be down answers, as nothing is sent to it; none if the effect asks no
/// such node.
fn refused_as_down(around: Surroundings<'_>, effect: &Effect) -> Option<Input> {
    let (Effect::Fetch { to } | Effect::Probe { to } | Effect::Apply { to, .. } | Effect::Forward { to }) =
        effect
    else {
        return None;
    };
    if !(around.is_down)(to) {
        return None;
    }
    let (from, reply) = (to.clone(), ReplicaReply::Refused(Refusal::Down));
    Some(match effect {
        Effect::Probe { .. } => Input::Probed { from, result: Err(Refusal::Down) },
        Effect::Forward { .. } => Input::Forwarded { from, result: Box::new(Err(Refusal::Down)) },
        Effect::Apply { .. } => Input::Replica { from, to: Asked::Apply, reply },
        _ => Input::Replica { from, to: Asked::Fetch, reply },
    })
}

/// The machine of an operation.
#[derive(Debug)]
pub(super) enum Machine {
    Read(Box<ReadMachine>),
    Write(Box<ClientWrite>),
    Heal(Box<HealMachine>),
    LateProbe(Box<LateProbeMachine>),
    Track(Box<TrackMachine>),
}

/// What a write needs again when it is stamped or handed on.
#[derive(Debug)]
pub(super) struct WriteDetails {
    /// None once it is stamped: the object has its value then, and nobody else is to have it in memory for as long as a home
    /// that hangs is followed.
    pub(super) write: Option<Write>,
    pub(super) write_id: WriteId,
    pub(super) w: u8,
    pub(super) settings: BucketSettings,
    /// Whether another node handed it on.
    pub(super) forwarded: bool,
}

/// An operation in flight, or followed.
#[derive(Debug)]
pub(super) struct Operation<C> {
    pub(super) machine: Machine,
    pub(super) client: Option<C>,
    pub(super) bucket: BucketName,
    pub(super) key: Key,
    pub(super) version: SettingsVersion,
    pub(super) details: Option<Box<WriteDetails>>,
    pub(super) asked: Vec<(NodeId, Kind, Moment)>,
    pub(super) began: Moment,
    pub(super) wake: Moment,
    pub(super) deadline: Moment,
}

impl<C> Operation<C> {
    pub(super) fn new(
        machine: Machine,
        client: Option<C>,
        (bucket, key, version): (BucketName, Key, SettingsVersion),
        details: Option<Box<WriteDetails>>,
        (began, deadline): (Moment, Moment),
    ) -> Self {
        let (asked, wake) = (Vec::new(), deadline);
        Self { machine, client, bucket, key, version, details, asked, began, wake, deadline }
    }

    /// Turns what the machine wants into what the node is to do. Returns the answer of a node that is known to be down,
    /// which is not asked.
    pub(super) fn turn(
        &mut self,
        around: Surroundings<'_>,
        following: Following,
        effect: Effect,
        effects: &mut Effects<C>,
    ) -> Option<Input> {
        if let Some(down) = refused_as_down(around, &effect) {
            return Some(down);
        }
        let id = following.id;
        match effect {
            Effect::Coordinate => self.coordinate(around, id, effects),
            Effect::Fetch { to } => {
                let as_is = self.machine.takes_anything();
                let request = if as_is { ReplicaRequest::FetchAsIs } else { ReplicaRequest::Fetch };
                self.ask(around, following, to, Asked::Fetch, request, effects);
            }
            Effect::Probe { to } => {
                self.ask(around, following, to, Asked::Probe, ReplicaRequest::Probe, effects);
            }
            Effect::Apply { to, object, why } => {
                let via = why.via();
                let count = match why {
                    ApplyWhy::Repair(RepairWhen::Blocking) => Some(CoordinatorCount::ReadRepairsBlocking),
                    ApplyWhy::Repair(RepairWhen::Async) => Some(CoordinatorCount::ReadRepairsAsync),
                    ApplyWhy::Write(_) => None,
                };
                effects.extend(count.map(|count| CoordinatorEffect::Count(count, 1)));
                let request = ReplicaRequest::Apply(object, via);
                self.ask(around, following, to, Asked::Apply, request, effects);
            }
            Effect::Heal { gathered } => {
                let (bucket, key, tag) = (self.bucket.clone(), self.key.clone(), tag(id, Kind::Apply));
                effects.push(CoordinatorEffect::HealOwn { bucket, key, gathered, tag });
            }
            Effect::Forward { to } => self.forward(around.now, id, to, effects),
            Effect::ReplyRead(result) => {
                let client = self.client.take()?;
                if let Machine::Read(read) = &self.machine {
                    let observed = read_observed(around, &self.bucket, (read, self.began), &result);
                    effects.push(CoordinatorEffect::Observed(observed));
                }
                effects.push(CoordinatorEffect::AnswerRead { client, result });
            }
            Effect::ReplyWrite(result) => {
                let client = self.client.take()?;
                if let (Machine::Write(write), Some(details)) = (&self.machine, &self.details) {
                    let duration_us = (!details.forwarded).then(|| around.now.micros_since(self.began));
                    let resolution = details.settings.resolution;
                    let observed = write_observed(&self.bucket, write, (duration_us, resolution), &result);
                    effects.push(CoordinatorEffect::Observed(observed));
                }
                effects.push(CoordinatorEffect::AnswerWrite { client, result });
            }
            Effect::Converged(dot, convergence) => effects.push(self.converged(id, dot, convergence)),
            Effect::Followed(id, dot, convergence) => effects.push(self.converged(id, dot, convergence)),
            Effect::BunchConverged(BunchConverged { writes, us: convergence_us, path }) => {
                let bucket = self.bucket.clone();
                let converged = ConvergedObserved { bucket, path, convergence_us, writes };
                effects.push(CoordinatorEffect::Observed(Observation::Converged(converged)));
            }
            // The table sees to them.
            Effect::Judge(_) | Effect::Unfollowed(_) | Effect::SightedLate(_) => {}
        }
        None
    }

    /// The key that it is about.
    pub(super) fn place(&self) -> Place {
        Place { bucket: self.bucket.clone(), key: self.key.clone() }
    }

    /// All that can be known of a read that was answered is known.
    pub(super) fn judged(
        &self,
        id: OperationId,
        question: Question,
        judgement: Judgement,
        effects: &mut Effects<C>,
    ) {
        let (bucket, key, silent) = (self.bucket.clone(), self.key.clone(), question.silent());
        let Question { began, began_hlc, reply, returned, answered_by, homes, behind, .. } = question;
        let evidence = Evidence { began, began_hlc, replicas: homes, behind };
        let age = |hlc: Hlc| began_hlc.wall().0.saturating_sub(hlc.wall().0);
        let (value_age_us, r) = (returned.map(age), self.machine.r());
        effects.push(CoordinatorEffect::Judged(Box::new(JudgedRead {
            id,
            bucket,
            key,
            began,
            reply,
            returned,
            value_age_us,
            r,
            answered_by,
            silent,
            judgement,
            evidence,
        })));
    }

    /// What was stamped is never handed on.
    pub(super) fn forget_what_is_stamped(&mut self) {
        if let (Machine::Write(write), Some(details)) = (&self.machine, &mut self.details)
            && details.write.is_some()
            && write.here().is_some_and(WriteMachine::stamped)
        {
            details.write = None;
        }
    }

    fn converged<D>(&self, id: OperationId, dot: Dot, convergence: Convergence) -> CoordinatorEffect<D> {
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        CoordinatorEffect::Converged(Box::new(ConvergedWrite { id, bucket, key, dot, convergence }))
    }

    fn coordinate(&mut self, around: Surroundings<'_>, id: OperationId, effects: &mut Effects<C>) {
        let Some(details) = &self.details else { return };
        let Some(write) = &details.write else { return };
        self.asked.push((around.view.me.clone(), Kind::Apply, around.now));
        let ttl_us = write.ttl_us.or(details.settings.ttl_us);
        let coordinate = Box::new(Coordinate {
            write: write.clone(),
            w: details.w,
            blind: details.settings.blind_write,
            write_id: details.write_id,
            // By the hybrid clock, which readers go by: it may be ahead of a wall clock that was set back.
            expires_at: ttl_us.map(|ttl| WallMicros(around.clock.wall().0.saturating_add(ttl))),
            trace: None,
        });
        effects.push(CoordinatorEffect::Coordinate { coordinate, tag: tag(id, Kind::Apply) });
    }

    fn ask(
        &mut self,
        around: Surroundings<'_>,
        following: Following,
        to: NodeId,
        asked: Asked,
        request: ReplicaRequest,
        effects: &mut Effects<C>,
    ) {
        let target =
            Target { bucket: self.bucket.clone(), key: self.key.clone(), settings: self.version.clone() };
        let deadline = self.deadline.max(around.now).plus_micros(following.follow_us / 2);
        let kind = Kind::of(asked);
        let tag = tag(following.id, kind);
        self.asked.push((to.clone(), kind, around.now));
        if to == *around.view.me {
            return effects.push(CoordinatorEffect::AskOwn { target, request, deadline, tag });
        }
        let request = PeerRequest::Replica(target, request);
        effects.push(CoordinatorEffect::Send { to, request, deadline, tag });
    }

    fn forward(&self, now: Moment, id: OperationId, to: NodeId, effects: &mut Effects<C>) {
        let Some(details) = &self.details else { return };
        let Some(write) = &details.write else { return };
        // The home must know the id too, so that a retry through another home finds it.
        let mut write = write.clone();
        write.w = Some(details.w);
        let request = PeerRequest::Forward(write, details.write_id, self.version.clone());
        let deadline = self.deadline.max(now);
        effects.push(CoordinatorEffect::Send { to, request, deadline, tag: tag(id, Kind::Forward) });
    }
}

impl Machine {
    pub(super) fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.start(now, effects),
            Self::Write(write) => write.start(now, effects),
            Self::Heal(heal) => heal.start(effects),
            Self::LateProbe(probe) => probe.start(effects),
            // It waits for its time from the beginning.
            Self::Track(_) => {}
        }
    }

    pub(super) fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.handle(now, input, effects),
            Self::Write(write) => write.handle(now, input, effects),
            Self::Heal(heal) => heal.handle(input, effects),
            Self::LateProbe(probe) => probe.handle(input, effects),
            Self::Track(track) => track.handle(input, effects),
        }
    }

    pub(super) fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.tick(now, effects),
            Self::Write(write) => write.tick(now, effects),
            Self::Heal(heal) => heal.tick(now),
            Self::LateProbe(probe) => probe.tick(now, effects),
            Self::Track(track) => track.tick(now, effects),
        }
    }

    /// Whether homes are to say what they hold though they may lack something.
    fn takes_anything(&self) -> bool {
        match self {
            Self::Read(read) => read.takes_anything(),
            Self::Heal(heal) => heal.takes_anything(),
            Self::Write(_) | Self::LateProbe(_) | Self::Track(_) => false,
        }
    }

    pub(super) fn finished(&self) -> bool {
        match self {
            Self::Read(read) => read.finished(),
            Self::Write(write) => write.finished(),
            Self::Heal(heal) => heal.finished(),
            Self::LateProbe(probe) => probe.finished(),
            Self::Track(track) => track.finished(),
        }
    }

    pub(super) fn wake_at(&self) -> Moment {
        match self {
            Self::Read(read) => read.wake_at(),
            Self::Write(write) => write.wake_at(),
            Self::Heal(heal) => heal.wake_at(),
            Self::LateProbe(probe) => probe.wake_at(),
            Self::Track(track) => track.wake_at(),
        }
    }

    /// Whether it is a read that has found replicas that differ.
    pub(super) fn has_found_differences(&self) -> bool {
        matches!(self, Self::Read(read) if read.has_found_differences())
    }

    /// The read, if it has found replicas that differ.
    pub(super) fn found_differences(&mut self) -> Option<&mut ReadMachine> {
        match self {
            Self::Read(read) => Some(read.as_mut()).filter(|read| read.has_found_differences()),
            Self::Write(_) | Self::Heal(_) | Self::LateProbe(_) | Self::Track(_) => None,
        }
    }

    /// The R of a read; 0 of anything else.
    pub(super) fn r(&self) -> u8 {
        match self {
            Self::Read(read) => read.r(),
            Self::Write(_) | Self::Heal(_) | Self::LateProbe(_) | Self::Track(_) => 0,
        }
    }

    /// The writes that were stamped here and that some home lacks, or may lack.
    pub(super) fn unconverged(&self) -> Vec<Standing> {
        let lagging = |homes: &[NodeId]| u8::try_from(homes.len()).unwrap_or(u8::MAX);
        let single = |write: &Unfollowed| Standing {
            since: write.since(),
            writes: 1,
            lagging: lagging(&write.lacking),
        };
        match self {
            Self::Write(write) => {
                let write = write.here().and_then(WriteMachine::unfollowed);
                write.iter().filter(|write| !write.lacking.is_empty()).map(single).collect()
            }
            Self::Track(track) => {
                let bunch = |bunch: &Bunch| Standing {
                    since: bunch.since(),
                    writes: bunch.writes(),
                    lagging: lagging(bunch.lacking()),
                };
                let all = track.single().iter().map(|(_, write)| single(write));
                all.chain(track.bunches().map(bunch)).collect()
            }
            Self::Read(_) | Self::Heal(_) | Self::LateProbe(_) => Vec::new(),
        }
    }
}
