//! Frames, handshakes, and connections that break.

use super::checkers::{Invariant, Violation};
use super::drive::Task;
use super::network::{Arrivals, Leg, NodeIndex};
use super::process::PeerRequestId;
use super::queue::{MILLIS, SECONDS, Time};
use super::transport::{BACKOFF_MAX_US, BACKOFF_MIN_US, Owner, Sending};
use super::world::{Event, World};
use neap_protocol::bounds::{MessageBounds, write_bytes};
use neap_protocol::causality::{Body as VersionBody, Object, Version};
use neap_protocol::ids::{BucketName, Key, NodeId};
use neap_protocol::membership::{Identity, NotAdmitted};
use neap_protocol::message::{LeftOut, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest};
use neap_protocol::planted::{self, Bug};
use neap_protocol::time::{Hlc, Moment};

/// How long a dial waits for an answer.
const DIAL_TIMEOUT: Time = SECONDS;

/// How long a peer may be silent before its connection counts as broken; it is looked at about once a second.
const SILENCE_MAX: Time = 3 * SECONDS;

/// A frame under way.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The sender.
    pub from: NodeIndex,
    /// The receiver.
    pub to: NodeIndex,
    /// The connection.
    pub connection: u64,
    /// The request's number.
    pub id: u64,
    /// What the sender's clock showed.
    pub clock: Hlc,
    /// What.
    pub body: Body,
}

/// What a frame carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// A request.
    Request {
        /// What.
        request: PeerRequest,
        /// How long until nobody cares for the answer any more, in microseconds.
        time_left_us: u64,
    },
    /// An answer.
    Answer(PeerAnswer),
}

/// A handshake under way: the dialler claims, the other side welcomes or refuses it, the dialler says its verdict.
#[derive(Debug)]
pub struct Shake {
    /// Who dialled.
    pub from: NodeIndex,
    /// Its run.
    from_run: u64,
    /// Whom.
    pub to: NodeIndex,
    /// The connection.
    connection: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Claim(Identity),
    Welcome {
        claim: Identity,
        to_run: u64,
    },
    Verdict {
        to_run: u64,
    },
    /// The other side does not talk to the dialler.
    Refused(NotAdmitted),
    /// The dialler does not talk to the other side.
    Declined {
        refused: NotAdmitted,
        to_run: u64,
    },
}

impl Shake {
    /// The node that this step of it concerns.
    #[must_use]
    pub fn at(&self) -> NodeIndex {
        match self.stage {
            Stage::Claim(_) | Stage::Verdict { .. } | Stage::Declined { .. } => self.to,
            Stage::Welcome { .. } | Stage::Refused(_) => self.from,
        }
    }
}

impl World {
    /// Sends a request to the node of that name.
    pub fn send(
        &mut self,
        at: NodeIndex,
        to: &NodeId,
        (owner, tag): (Owner, u64),
        request: PeerRequest,
        deadline: Moment,
    ) {
        let Some(peer) = self.names.node(to) else { return };
        let now = self.now;
        let body = Body::Request { request, time_left_us: 0 };
        if is_too_large(self.settings.sizes.messages, &body) {
            self.count("frames_too_long", 1);
            let (from, answer) = (to.clone(), PeerAnswer::Refused(Refusal::TooLargeToSend));
            return self.tasks.push_back((at, Task::PeerAnswered { owner, from, tag, answer }));
        }
        let Body::Request { request, .. } = body else { return };
        let Some(node) = self.nodes.get_mut(at) else { return };
        let (moment, run) = (node.clock.moment(now), node.run);
        let Some(process) = &mut node.process else { return };
        match process.transport.send(moment, peer, (owner, tag), request, deadline) {
            Sending::Now { connection, id, request } => {
                self.send_request(at, (peer, connection), id, *request, deadline.micros_since(moment));
            }
            Sending::Waits => {
                let link = process.transport.links.entry(peer).or_default();
                if !std::mem::replace(&mut link.dialling, true) {
                    self.queue.push(now, Event::Dial { from: at, to: peer, run });
                }
            }
            Sending::Refused(refusal) => {
                let (from, answer) = (to.clone(), PeerAnswer::Refused(refusal));
                self.tasks.push_back((at, Task::PeerAnswered { owner, from, tag, answer }));
            }
        }
        self.arm(at);
    }

    fn send_request(
        &mut self,
        from: NodeIndex,
        (to, connection): (NodeIndex, u64),
        id: u64,
        request: PeerRequest,
        time_left_us: u64,
    ) {
        let leg = match &request {
            PeerRequest::Replica(_, ReplicaRequest::Apply(..)) => Leg::Write,
            _ => Leg::Read,
        };
        // TCP delivers a byte once. What may be asked twice without harm may come twice, to be sure of it.
        let may_repeat = matches!(request, PeerRequest::Replica(..));
        let clock = self.shown_clock(from);
        let body = Body::Request { request, time_left_us };
        self.put_on_wire(Frame { from, to, connection, id, clock, body }, leg, may_repeat);
    }

    /// Answers a request of a peer.
    pub fn answer_peer(&mut self, at: NodeIndex, request: PeerRequestId, answer: PeerAnswer) {
        let PeerRequestId { peer, connection, id } = request;
        let leg = match &answer {
            PeerAnswer::Replica(ReplicaReply::Applied { .. }) => Leg::Ack,
            _ => Leg::Answer,
        };
        let clock = self.shown_clock(at);
        let mut body = Body::Answer(answer);
        if is_too_large(self.settings.sizes.messages, &body) {
            self.count("frames_too_long", 1);
            body = Body::Answer(PeerAnswer::Refused(Refusal::TooLargeToSend));
        }
        let frame = Frame { from: at, to: peer, connection, id, clock, body };
        self.put_on_wire(frame, leg, true);
    }

    fn shown_clock(&self, at: NodeIndex) -> Hlc {
        let Some(node) = self.nodes.get(at) else { return Hlc::ZERO };
        let wall = node.wall(self.now);
        node.process.as_ref().map_or(Hlc::ZERO, |process| process.clock.read(wall))
    }

    fn put_on_wire(&mut self, frame: Frame, leg: Leg, may_repeat: bool) {
        let way = (frame.from, frame.to);
        let Arrivals { first, second } = self.network.send(self.now, way, leg, size_of(&frame.body));
        if let Some(at) = second.filter(|_| may_repeat) {
            self.queue.push(at, Event::Frame(Box::new(frame.clone())));
        }
        if let Some(at) = first {
            self.queue.push(at, Event::Frame(Box::new(frame)));
        }
    }

    pub(super) fn frame(&mut self, frame: Frame) {
        let Frame { from, to, connection, id, clock, .. } = frame;
        self.mix(id, connection);
        if self.network.is_cut(from, to) {
            return;
        }
        let now = self.now;
        let Some(node) = self.nodes.get_mut(to) else { return };
        let wall = node.wall(now);
        let Some(process) = &mut node.process else { return self.reset(from, to, connection) };
        match frame.body {
            Body::Request { .. } => {
                if process.transport.accepted.get(&from) != Some(&connection) {
                    return self.reset(from, to, connection);
                }
                self.serve_peer(to, PeerRequestId { peer: from, connection, id }, frame);
            }
            Body::Answer(answer) => {
                let Some(request) = process.transport.answered(from, connection, id) else { return };
                if process.clock.observe(clock, process.ceiling.readings(wall)).is_err() {
                    self.count("clock_skew_refused", 1);
                }
                let (owner, tag, from) = (request.owner, request.tag, self.names_of(from));
                self.tasks.push_back((to, Task::PeerAnswered { owner, from, tag, answer }));
            }
        }
    }

    /// Whoever sent a frame on a connection that is not there learns so.
    fn reset(&mut self, from: NodeIndex, to: NodeIndex, connection: u64) {
        let way = (to, from);
        if let Some(at) = self.network.send(self.now, way, Leg::Answer, 40).first {
            self.queue.push(at, Event::Broken { from, to, connection });
        }
    }

    pub(super) fn broken(&mut self, from: NodeIndex, to: NodeIndex, connection: u64) {
        let current = self.nodes.get(from).and_then(|node| node.process.as_ref());
        let current = current.and_then(|process| process.transport.links.get(&to));
        if current.is_some_and(|link| link.connection == Some(connection)) {
            self.link_down(from, to);
        }
    }

    /// A link has lost its connection, or did not get one.
    fn link_down(&mut self, at: NodeIndex, peer: NodeIndex) {
        let now = self.now;
        let from = self.names_of(peer);
        let Some(node) = self.nodes.get_mut(at) else { return };
        let (moment, run) = (node.clock.moment(now), node.run);
        let Some(process) = &mut node.process else { return };
        let stood = process.transport.is_up(peer);
        let ended = process.transport.down(moment, peer);
        if stood && let Some(event) = process.gate.connected(&from, false) {
            self.tasks.push_back((at, Task::Peer(event)));
        }
        for (request, refusal) in ended {
            let (owner, tag, answer) = (request.owner, request.tag, PeerAnswer::Refused(refusal));
            self.tasks.push_back((at, Task::PeerAnswered { owner, from: from.clone(), tag, answer }));
        }
        let backoff_us = {
            let link = process.transport.links.entry(peer).or_default();
            link.dialling = true;
            let backoff_us = link.backoff_us.max(BACKOFF_MIN_US);
            link.backoff_us = backoff_us.saturating_mul(2).min(BACKOFF_MAX_US);
            backoff_us
        };
        let wait = backoff_us / 2 + self.random.below(backoff_us / 2 + 1);
        self.queue.push(now + wait * 1_000, Event::Dial { from: at, to: peer, run });
    }

    /// A connection that nothing was heard on for too long is given up: it is looked whether that is so.
    pub fn will_look_for_life(&mut self, from: NodeIndex, to: NodeIndex) {
        let link = self.nodes.get(from).and_then(|node| node.process.as_ref());
        let connection = link.and_then(|process| process.transport.links.get(&to)?.connection);
        if let Some(connection) = connection {
            let at = self.now + SILENCE_MAX + self.random.below(SECONDS);
            self.queue.push(at, Event::LookForLife { from, to, connection });
        }
    }

    pub(super) fn look_for_life(&mut self, from: NodeIndex, to: NodeIndex, connection: u64) {
        let silent = self.network.is_cut(from, to)
            || self.network.is_cut(to, from)
            || self.nodes.get(to).is_none_or(|node| node.process.is_none() || node.paused);
        if silent {
            self.broken(from, to, connection);
        }
    }

    pub(super) fn dial(&mut self, from: NodeIndex, to: NodeIndex, run: u64) {
        let Some(node) = self.nodes.get_mut(from).filter(|node| node.run == run) else { return };
        let Some(process) = &mut node.process else { return };
        let link = process.transport.links.entry(to).or_default();
        if link.connection.is_some() || std::mem::replace(&mut link.shaking, true) {
            return;
        }
        let claim = process.identity(&node.id, &node.ring);
        let cut = self.network.is_cut(from, to) || self.network.is_cut(to, from);
        let listens = self.nodes.get(to).is_some_and(|peer| peer.process.is_some() && !peer.paused);
        if cut || !listens {
            // Nobody there answers at once; nothing there at all takes a while to find out.
            let machine = self.nodes.get(to).is_some_and(|peer| !peer.paused);
            let wait = if cut || !machine { DIAL_TIMEOUT } else { MILLIS };
            self.mix(run, wait);
            let failed = Shake { from, from_run: run, to, connection: 0, stage: no_answer() };
            return self.queue.push(self.now + wait, Event::Shake(Box::new(failed)));
        }
        self.connections += 1;
        // Connecting and the exchange of nonces are a round trip each.
        let there = self.network.round_trip(from, to) * 2 + self.network.round_trip(from, to) / 2;
        let (connection, stage) = (self.connections, Stage::Claim(claim));
        let shake = Shake { from, from_run: run, to, connection, stage };
        self.queue.push(self.now + there, Event::Shake(Box::new(shake)));
    }

    pub(super) fn shake(&mut self, shake: Shake) {
        let Shake { from, from_run, to, connection, stage } = shake;
        match stage {
            Stage::Claim(claim) => self.claimed((from, from_run, to, connection), claim),
            Stage::Welcome { claim, to_run } => {
                self.welcomed((from, from_run, to, connection), &claim, to_run);
            }
            Stage::Verdict { to_run } => {
                let by = self.names_of(from);
                self.admitted(to, to_run, &by);
            }
            Stage::Refused(refused) => {
                if self.nodes.get(from).is_none_or(|node| node.run != from_run) {
                    return;
                }
                self.identity_refused(from, &refused);
                self.link_down(from, to);
            }
            Stage::Declined { refused, to_run } => {
                if self.nodes.get(to).is_some_and(|node| node.run == to_run) {
                    self.identity_refused(to, &refused);
                }
            }
        }
    }

    fn identity_refused(&mut self, at: NodeIndex, refused: &NotAdmitted) {
        if !refused.identity {
            return;
        }
        let id = self.names_of(at);
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        if process.gate.refused(&refused.reason) {
            node.refused_since.get_or_insert(now);
            node.known_as_backup |= node.is_backup;
            // A disk that fails ends the process at its next sync.
            let _ = (!planted::has(Bug::ForgetRefusal)).then(|| process.bookkeeping.mark_refused());
            let reason = refused.reason.clone();
            self.note(None, || format!("{id} is refused: {reason}"));
        }
    }

    fn claimed(
        &mut self,
        (from, from_run, to, connection): (NodeIndex, u64, NodeIndex, u64),
        claim: Identity,
    ) {
        let back = self.network.round_trip(to, from) / 2;
        let Some(node) = self.nodes.get_mut(to) else { return };
        let (to_run, id, ring) = (node.run, node.id.clone(), node.ring.clone());
        let stage = match &mut node.process {
            None => no_answer(),
            Some(process) => match process.gate.admit(&ring, &claim) {
                Err(refused) => Stage::Refused(refused),
                Ok(()) => {
                    process.transport.accepted.insert(from, connection);
                    let own = process.identity(&id, &ring);
                    // Whoever shows itself is worth dialling now.
                    let waits = process.transport.links.entry(from).or_default();
                    let waits = waits.connection.is_none() && waits.dialling && waits.backoff_us > 0;
                    if waits && from < self.names.nodes().len() {
                        let dial = Event::Dial { from: to, to: from, run: to_run };
                        self.queue.push(self.now + 20 * MILLIS, dial);
                    }
                    Stage::Welcome { claim: own, to_run }
                }
            },
        };
        self.remember_admitted(to);
        let shake = Shake { from, from_run, to, connection, stage };
        self.queue.push(self.now + back, Event::Shake(Box::new(shake)));
    }

    fn welcomed(
        &mut self,
        (from, from_run, to, connection): (NodeIndex, u64, NodeIndex, u64),
        claim: &Identity,
        to_run: u64,
    ) {
        let there = self.network.round_trip(from, to) / 2;
        let now = self.now;
        let Some(node) = self.nodes.get_mut(from).filter(|node| node.run == from_run) else { return };
        let (ring, moment) = (node.ring.clone(), node.clock.moment(now));
        let Some(process) = &mut node.process else { return };
        let stage = match process.gate.admit(&ring, claim) {
            Err(refused) => {
                self.link_down(from, to);
                Stage::Declined { refused, to_run }
            }
            Ok(()) => {
                let pending = process.transport.up(to, connection);
                let event = process.gate.connected(&claim.node, true);
                for waiting in pending {
                    let left_us = waiting.deadline.micros_since(moment);
                    self.send_request(from, (to, connection), waiting.id, waiting.request, left_us);
                }
                let by = claim.node.clone();
                self.admitted(from, from_run, &by);
                self.tasks.extend(event.map(|event| (from, Task::Peer(event))));
                Stage::Verdict { to_run }
            }
        };
        self.remember_admitted(from);
        let shake = Shake { from, from_run, to, connection, stage };
        self.queue.push(now + there, Event::Shake(Box::new(shake)));
    }

    /// `by` has admitted a node's run.
    fn admitted(&mut self, at: NodeIndex, run: u64, by: &NodeId) {
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let Some(process) = &mut node.process else { return };
        process.gate.admitted(&node.ring, by);
        if process.gate.is_confirmed() && node.known_as_backup {
            let id = self.names_of(at);
            let what = format!("{id} was refused as a restored backup, and counts again as it is");
            self.check(Err(Violation::of(Invariant::Overlap, what)));
        }
    }
}

/// Nobody answered, which is nobody's fault.
fn no_answer() -> Stage {
    Stage::Refused(NotAdmitted { reason: String::new(), identity: false })
}

/// Whether a message is larger than one may be.
fn is_too_large(messages: MessageBounds, body: &Body) -> bool {
    let name = |bucket: &BucketName, key: &Key| bucket.as_str().len() + key.as_bytes().len();
    let bytes = match body {
        Body::Request { request: PeerRequest::Replica(_, ReplicaRequest::Apply(applied, _)), .. } => {
            applied.message_bytes()
        }
        Body::Request { request: PeerRequest::Forward(write, ..), .. } => write_bytes(write),
        Body::Answer(PeerAnswer::Replica(ReplicaReply::Fetched(Some(fetched)))) => fetched.message_bytes(),
        Body::Answer(PeerAnswer::Scanned(page)) => {
            let objects = page.objects.iter();
            let objects = objects.map(|(bucket, key, object)| name(bucket, key) + object.message_bytes());
            let left_out = page
                .left_out
                .iter()
                .map(|LeftOut { bucket, key, seen }| name(bucket, key) + seen.message_bytes());
            objects.chain(left_out).sum()
        }
        Body::Request { .. } | Body::Answer(_) => 0,
    };
    bytes > messages.message_bytes()
}

/// About how many bytes a frame has.
fn size_of(body: &Body) -> usize {
    const HEAD: usize = 100;
    /// With a value of the usual size; a larger one takes as much more.
    const VERSION: usize = 120;
    const USUAL_VALUE: usize = 16;
    let version = |version: &Version| match &version.body {
        VersionBody::Value(value) => VERSION + value.bytes.len().saturating_sub(USUAL_VALUE),
        VersionBody::Tombstone => VERSION,
    };
    let object = |object: &Object| -> usize { object.versions().iter().map(version).sum() };
    HEAD + match body {
        Body::Request { request: PeerRequest::Replica(_, ReplicaRequest::Apply(applied, _)), .. } => {
            object(applied)
        }
        Body::Answer(PeerAnswer::Replica(ReplicaReply::Fetched(Some(fetched)))) => object(fetched),
        Body::Answer(PeerAnswer::Scanned(page)) => page.objects.iter().map(|(.., found)| object(found)).sum(),
        Body::Request { .. } | Body::Answer(_) => 0,
    }
}
