//! A read, coordinated by the node that was asked, home or not.

use super::probe_repair::{Known, ProbeRepair, Shown};
use super::read_plan::{FanOut, ReadPlan};
use super::{ApplyWhy, Effect, Input, RepairWhen};
use crate::bucket::ReadRepair;
use crate::causality::Object;
use crate::ids::NodeId;
use crate::message::{Refusal, ReplicaReply};
use crate::operation::{OperationError, Outcome, Participation, ReadReply};
use crate::planted::{self, Bug};
use crate::staleness::{BehindReply, HomeView, Question, SightedState, Sighting};
use crate::time::Moment;

#[derive(Debug, Clone)]
struct AskedHome {
    node: NodeId,
    at: Moment,
    hedged: bool,
    state: AskedState,
    /// Whether what it answered, too late to be part of the reply, holds nothing that the reply lacks.
    late: Option<bool>,
}

/// A home that was asked for its recent states.
#[derive(Debug, Clone)]
enum Probe {
    Waiting,
    Sighted(Box<Sighting>),
    Failed(Refusal),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AskedState {
    Fetching,
    Holds(Option<Object>),
    Repairing,
    /// Known to hold the merged state, or more.
    Confirmed,
    Refused(Refusal),
}

/// Fetches from R homes, asks another for one that is slow, joins what they hold, and repairs those that are
/// behind: before the reply those within R, after it the others (DeCandia et al., "Dynamo", section 5). What probes
/// found to differ is repaired after the verdict, once the driver has begun that ([`ReadMachine::repair_found`]).
#[derive(Debug, Clone)]
pub struct ReadMachine {
    plan: ReadPlan,
    asked: Vec<AskedHome>,
    next: usize,
    /// What the first R answers join to; fixed from then on.
    merged: Option<Option<Object>>,
    answered_by: Vec<NodeId>,
    replied: bool,
    began: Moment,
    probes: Vec<(NodeId, Probe)>,
    /// Replicas whose answer lacked something of the reply.
    behind: Vec<BehindReply>,
    /// Whether there is a verdict to come: the read was answered, and not judged yet.
    to_judge: bool,
    /// Whether it is to be looked yet what the replicas that are not among the R hold.
    to_compare: bool,
    /// Objects with more than the reply that came after the first R answers.
    late: Vec<(NodeId, Object)>,
    repair: Option<ProbeRepair>,
}

impl ReadMachine {
    /// A read to be started.
    #[must_use]
    pub fn new(plan: ReadPlan) -> Self {
        Self {
            plan,
            asked: Vec::new(),
            next: 0,
            merged: None,
            answered_by: Vec::new(),
            replied: false,
            began: Moment(0),
            probes: Vec::new(),
            behind: Vec::new(),
            to_judge: false,
            to_compare: false,
            late: Vec::new(),
            repair: None,
        }
    }

    /// How many homes must answer.
    #[must_use]
    pub fn r(&self) -> u8 {
        self.plan.r
    }

    /// Whether replicas answer with what they hold though something of it could not be sent to them.
    #[must_use]
    pub fn takes_anything(&self) -> bool {
        self.plan.as_is
    }

    /// Whether a verdict is to come once it is answered.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.plan.probe
    }

    /// Begins.
    pub fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.began = now;
        let at_once = match self.plan.fan_out {
            FanOut::R => usize::from(self.plan.r),
            FanOut::All => self.plan.candidates.len(),
        };
        for _ in 0..at_once {
            self.ask_next(now, effects);
        }
        if self.plan.probe {
            let others = self.plan.candidates.iter().skip(self.next).map(|candidate| candidate.node.clone());
            self.probes = others.map(|node| (node, Probe::Waiting)).collect();
            effects.extend(self.probes.iter().map(|(node, _)| Effect::Probe { to: node.clone() }));
        }
        self.give_up_if_hopeless(effects);
    }

    /// Takes an answer.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        let (from, reply) = match input {
            Input::Replica { from, reply, .. } => (from, Some(reply)),
            Input::Applied { from, .. } => (from, None),
            Input::Probed { from, result } => return self.probed(now, &from, result, effects),
            Input::Coordinated(_) | Input::Forwarded { .. } => return,
        };
        if self.belongs_to_repair(&from, reply.as_ref(), effects) {
            return self.advance(now, effects);
        }
        let Some(at) = self.asked.iter().position(|asked| asked.node == from) else { return };
        match reply {
            Some(ReplicaReply::Fetched(object)) => self.fetched(at, object, effects),
            None => self.set(at, AskedState::Confirmed),
            Some(ReplicaReply::Refused(refusal)) => self.refused(now, at, refusal, effects),
            Some(ReplicaReply::Applied { .. } | ReplicaReply::Probed(_)) => {}
        }
        self.advance(now, effects);
    }

    /// Takes an answer to what the repair asked, if it is one. A replica that is being repaired for another reason, too,
    /// answers that first: both answers are waited for.
    fn belongs_to_repair(
        &mut self,
        from: &NodeId,
        reply: Option<&ReplicaReply>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let busy = |asked: &AskedHome| {
            asked.node == *from && matches!(asked.state, AskedState::Fetching | AskedState::Repairing)
        };
        let Some(repair) = self.repair.as_mut().filter(|_| !self.asked.iter().any(busy)) else {
            return false;
        };
        match reply {
            Some(ReplicaReply::Fetched(object)) => {
                repair.fetched(from, object.as_ref(), self.plan.clock, effects)
            }
            Some(ReplicaReply::Refused(_)) => repair.refused(from, effects),
            None => repair.applied(from),
            Some(ReplicaReply::Applied { .. } | ReplicaReply::Probed(_)) => false,
        }
    }

    /// Whether replicas were found to differ that are not among the R, and nothing was begun about it.
    #[must_use]
    pub fn has_found_differences(&self) -> bool {
        self.repair.as_ref().is_some_and(ProbeRepair::is_found)
    }

    /// Begins to repair what was found to differ.
    pub fn repair_found(&mut self, effects: &mut Vec<Effect>) {
        if let Some(repair) = &mut self.repair {
            repair.begin(effects);
        }
    }

    /// Leaves what was found to differ to a later read.
    pub fn leave_found(&mut self) {
        self.repair = None;
    }

    fn probed(
        &mut self,
        now: Moment,
        from: &NodeId,
        result: Result<Box<Sighting>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some((_, probe)) = self.probes.iter_mut().find(|(node, _)| node == from) {
            *probe = match result {
                Ok(sighting) => Probe::Sighted(sighting),
                Err(refusal) => Probe::Failed(refusal),
            };
        }
        self.advance(now, effects);
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.hedge(now, effects);
        self.advance(now, effects);
    }

    /// When [`ReadMachine::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        if self.replied {
            return self.plan.follow_until;
        }
        let hedges = self.asked.iter().filter_map(|asked| self.hedge_at(asked));
        hedges.fold(self.deadline(), Moment::min)
    }

    fn deadline(&self) -> Moment {
        if planted::has(Bug::ForgetDeadline) { self.plan.follow_until } else { self.plan.deadline }
    }

    /// How many homes must have answered.
    fn needed(&self) -> usize {
        let fewer = u8::from(planted::has(Bug::ReadOneFewer));
        usize::from(self.plan.r.saturating_sub(fewer).max(1))
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn finished(&self) -> bool {
        let waiting = |asked: &AskedHome| matches!(asked.state, AskedState::Fetching | AskedState::Repairing);
        let repairing = self.repair.as_ref().is_some_and(ProbeRepair::goes_on);
        self.replied && !self.asked.iter().any(waiting) && !self.probing() && !repairing
    }

    fn probing(&self) -> bool {
        self.probes.iter().any(|(_, probe)| matches!(probe, Probe::Waiting))
    }

    fn ask_next(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let Some(candidate) = self.plan.candidates.get(self.next) else { return false };
        self.next += 1;
        let node = candidate.node.clone();
        effects.push(Effect::Fetch { to: node.clone() });
        self.asked.push(AskedHome { node, at: now, hedged: false, state: AskedState::Fetching, late: None });
        true
    }

    fn hedge_at(&self, asked: &AskedHome) -> Option<Moment> {
        if asked.hedged || asked.state != AskedState::Fetching || self.next >= self.plan.candidates.len() {
            return None;
        }
        let candidate = self.plan.candidates.iter().find(|candidate| candidate.node == asked.node)?;
        Some(asked.at.plus_micros(candidate.hedge_after_us))
    }

    fn hedge(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.merged.is_some() || self.replied {
            return;
        }
        for at in 0..self.asked.len() {
            let due = self.asked.get(at).and_then(|asked| self.hedge_at(asked)).is_some_and(|due| now >= due);
            if due
                && self.ask_next(now, effects)
                && let Some(asked) = self.asked.get_mut(at)
            {
                asked.hedged = true;
            }
        }
    }

    fn set(&mut self, at: usize, state: AskedState) {
        if let Some(asked) = self.asked.get_mut(at) {
            asked.state = state;
        }
    }

    fn fetched(&mut self, at: usize, object: Option<Object>, effects: &mut Vec<Effect>) {
        let fetching = self.asked.get(at).is_some_and(|asked| asked.state == AskedState::Fetching);
        if !fetching {
            return;
        }
        if self.merged.is_none() {
            self.answered_by.extend(self.asked.get(at).map(|asked| asked.node.clone()));
            self.set(at, AskedState::Holds(object));
            return;
        }
        let reply = self.merged.iter().flatten().next().map(Object::context);
        let nothing = object.as_ref().is_none_or(|object| {
            reply.is_some_and(|reply| reply.covers_all(object.context())) || object.context().is_empty()
        });
        if let Some(asked) = self.asked.get_mut(at) {
            asked.late = Some(nothing);
        }
        self.compare(at, object.as_ref(), effects);
        let exceeds = object.filter(|object| match self.merged.iter().flatten().next() {
            _ if self.plan.repair == ReadRepair::Off => false,
            Some(reply) => reply.lacks(object),
            None => !object.context().is_empty(),
        });
        if let (Some(object), Some(asked)) = (exceeds, self.asked.get(at)) {
            self.late.push((asked.node.clone(), object));
        }
    }

    fn refused(&mut self, now: Moment, at: usize, refusal: Refusal, effects: &mut Vec<Effect>) {
        if let Some(asked) = self.asked.get(at)
            && let AskedState::Fetching | AskedState::Repairing = asked.state
        {
            self.set(at, AskedState::Refused(refusal));
            if !self.replied {
                self.ask_next(now, effects);
            }
        }
    }

    /// Compares what a home holds with the merged state and repairs it if it is behind.
    fn compare(&mut self, at: usize, object: Option<&Object>, effects: &mut Vec<Effect>) {
        let Some(merged) = self.merged.clone() else { return };
        let behind = match (&merged, object) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(merged), Some(object)) => object.lacks(merged),
        };
        if let Some(asked) = self.asked.get(at).filter(|_| behind && self.plan.probe) {
            let newest = object.and_then(Object::newest);
            self.behind.push(BehindReply { node: asked.node.clone(), newest });
        }
        let when = match self.plan.repair {
            _ if !behind => None,
            ReadRepair::Off => None,
            ReadRepair::Async => Some(RepairWhen::Async),
            ReadRepair::Blocking if self.replied => Some(RepairWhen::Async),
            ReadRepair::Blocking => Some(RepairWhen::Blocking),
        };
        let (Some(when), Some(object), Some(asked)) = (when, merged, self.asked.get_mut(at)) else {
            self.set(at, AskedState::Confirmed);
            return;
        };
        asked.state = AskedState::Repairing;
        effects.push(Effect::Apply { to: asked.node.clone(), object, why: ApplyWhy::Repair(when) });
    }

    fn advance(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.join_if_enough(effects);
        if !self.replied && self.ready() {
            self.reply(effects);
        }
        self.give_up_if_hopeless(effects);
        if !self.replied && now >= self.deadline() {
            let error = self.not_repaired(true).unwrap_or_else(|| OperationError::Deadline {
                answered: u8::try_from(self.answered_by.len()).unwrap_or(u8::MAX),
                needed: self.plan.r,
                total: self.total(),
                outcome: Outcome::NotApplied,
            });
            self.answer(Err(error), effects);
        }
        if now >= self.plan.follow_until {
            for at in 0..self.asked.len() {
                if self
                    .asked
                    .get(at)
                    .is_some_and(|asked| matches!(asked.state, AskedState::Fetching | AskedState::Repairing))
                {
                    self.set(at, AskedState::Refused(Refusal::NoAnswer));
                }
            }
            for (_, probe) in &mut self.probes {
                if matches!(probe, Probe::Waiting) {
                    *probe = Probe::Failed(Refusal::NoAnswer);
                }
            }
        }
        let fetching = self.asked.iter().any(|asked| asked.state == AskedState::Fetching);
        if fetching || self.probing() {
            return;
        }
        if std::mem::take(&mut self.to_compare) {
            self.repair = self.differences();
        }
        if now >= self.plan.follow_until {
            self.repair = None;
        }
        if std::mem::take(&mut self.to_judge) {
            self.judge(effects);
        }
    }

    /// What is to be repaired of what others than the R hold; none if nothing is, as nearly always.
    fn differences(&self) -> Option<ProbeRepair> {
        let shown = Shown { reply: self.merged.as_ref().and_then(Option::as_ref), began: self.plan.clock };
        let differs = self.seen().any(|(_, seen)| shown.differs_from(seen));
        if !differs && !self.late.iter().any(|(_, object)| shown.is_settled(object.newest())) {
            return None;
        }
        let holds =
            |node: &NodeId| self.has_answered(node) && !self.late.iter().any(|(late, _)| late == node);
        let asked = self.asked.iter().map(|asked| &asked.node);
        let (holders, seen) = (asked.filter(|node| holds(node)).collect(), self.seen().collect());
        Some(ProbeRepair::new(shown, Known { holders, seen, late: &self.late }))
    }

    /// The states that replicas told of, except those that sent their objects.
    fn seen(&self) -> impl Iterator<Item = (&NodeId, &SightedState)> {
        let sighted = self.probes.iter().filter(|(node, _)| !self.has_answered(node));
        sighted.filter_map(|(node, probe)| match probe {
            Probe::Sighted(sighting) => sighting.states.last().map(|state| (node, state)),
            Probe::Waiting | Probe::Failed(_) => None,
        })
    }

    fn has_answered(&self, node: &NodeId) -> bool {
        let answered =
            |asked: &AskedHome| matches!(asked.state, AskedState::Confirmed | AskedState::Repairing);
        self.asked.iter().any(|asked| asked.node == *node && answered(asked))
    }

    fn judge(&mut self, effects: &mut Vec<Effect>) {
        let mut probes = std::mem::take(&mut self.probes);
        let homes = self.plan.candidates.iter();
        let homes = homes.map(|home| (home.node.clone(), self.view_of(&home.node, &mut probes)));
        let homes = homes.collect();
        let reply = self.merged.as_ref().and_then(Option::as_ref);
        effects.push(Effect::Judge(Box::new(Question {
            began: self.began,
            began_hlc: self.plan.clock,
            reply: reply.map(|object| object.context().clone()).unwrap_or_default(),
            returned: reply.and_then(Object::newest),
            w_min: self.plan.w_min,
            settled: self.plan.settled,
            answered_by: self.answered_by.clone(),
            homes,
            behind: std::mem::take(&mut self.behind),
        })));
    }

    fn view_of(&self, home: &NodeId, probes: &mut Vec<(NodeId, Probe)>) -> HomeView {
        if self.answered_by.contains(home) {
            return HomeView::InReply;
        }
        let asked = self.asked.iter().find(|asked| asked.node == *home);
        let probe = probes.iter().position(|(node, _)| node == home).map(|at| probes.swap_remove(at).1);
        match (probe, asked) {
            (Some(Probe::Sighted(sighting)), _) => HomeView::Sighted(*sighting),
            (_, Some(AskedHome { late: Some(true), .. })) => HomeView::InReply,
            (Some(Probe::Failed(refusal)), _) => HomeView::Unanswered(refusal),
            (_, Some(AskedHome { state: AskedState::Refused(refusal), .. })) => {
                HomeView::Unanswered(*refusal)
            }
            _ => HomeView::Unanswered(Refusal::NoAnswer),
        }
    }

    /// Joins what the homes hold once R of them answered, and compares each with the result.
    fn join_if_enough(&mut self, effects: &mut Vec<Effect>) {
        if self.merged.is_some() || self.answered_by.len() < self.needed() {
            return;
        }
        let mut merged: Option<Object> = None;
        let all = if planted::has(Bug::AnswerWithFirst) { 1 } else { self.asked.len() };
        for asked in self.asked.iter().take(all) {
            if let AskedState::Holds(Some(object)) = &asked.state {
                match &mut merged {
                    None => merged = Some(object.clone()),
                    Some(merged) => merged.merge(object, self.plan.clock),
                }
            }
        }
        self.merged = Some(merged);
        let repair = self.plan.repair;
        if repair == ReadRepair::Async || repair == ReadRepair::Off {
            self.reply(effects);
        }
        for at in 0..self.asked.len() {
            let held = self.asked.get_mut(at).and_then(|asked| match &mut asked.state {
                AskedState::Holds(object) => Some(object.take()),
                _ => None,
            });
            if let Some(held) = held {
                self.compare(at, held.as_ref(), effects);
            }
        }
    }

    fn ready(&self) -> bool {
        self.merged.is_some() && self.confirmed() >= self.needed()
    }

    fn confirmed(&self) -> usize {
        self.asked.iter().filter(|asked| asked.state == AskedState::Confirmed).count()
    }

    /// Why a read ends to which enough homes have answered: not all of them could be repaired. None before that.
    fn not_repaired(&self, late: bool) -> Option<OperationError> {
        self.merged.as_ref()?;
        Some(OperationError::NotRepaired {
            current: u8::try_from(self.confirmed()).unwrap_or(u8::MAX),
            needed: self.plan.r,
            total: self.total(),
            late,
            refusals: self.refusals(),
        })
    }

    fn reply(&mut self, effects: &mut Vec<Effect>) {
        let preference = self.plan.candidates.iter().map(|candidate| &candidate.node);
        let acked_by = preference.filter(|node| self.answered_by.contains(node)).cloned().collect();
        let reply = ReadReply {
            object: self.merged.clone().flatten(),
            participation: Participation { acked_by, required: self.plan.r, total: self.total() },
            resolution: self.plan.resolution,
        };
        self.answer(Ok(reply), effects);
    }

    /// Ends the read when the homes that may still answer are too few.
    fn give_up_if_hopeless(&mut self, effects: &mut Vec<Effect>) {
        let refused = self.refusals().len();
        if self.replied
            || self.plan.candidates.len() - refused.min(self.plan.candidates.len())
                >= usize::from(self.plan.r)
        {
            return;
        }
        let error = self.not_repaired(false).unwrap_or_else(|| OperationError::NotReached {
            answered: u8::try_from(self.answered_by.len()).unwrap_or(u8::MAX),
            needed: self.plan.r,
            total: self.total(),
            outcome: Outcome::NotApplied,
            refusals: self.refusals(),
        });
        self.answer(Err(error), effects);
    }

    fn refusals(&self) -> Vec<(NodeId, Refusal)> {
        let refused = self.asked.iter().filter_map(|asked| match asked.state {
            AskedState::Refused(refusal) => Some((asked.node.clone(), refusal)),
            _ => None,
        });
        refused.collect()
    }

    fn total(&self) -> u8 {
        u8::try_from(self.plan.candidates.len()).unwrap_or(u8::MAX)
    }

    fn answer(&mut self, result: Result<ReadReply, OperationError>, effects: &mut Vec<Effect>) {
        if !self.replied {
            self.replied = true;
            self.to_judge = self.plan.probe && result.is_ok();
            self.to_compare = self.plan.repair != ReadRepair::Off && result.is_ok();
            effects.push(Effect::ReplyRead(result));
        }
    }
}
