//! A lane: one owner's connections, one to each peer.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::counters::TransportCounters;
use super::link::{Link, LinkConfig};
use super::{
    AnswerSink, Answered, Gatekeeper, LanePurpose, MonotonicClock, Outgoing, PeerMemory, Reconnects, Secret,
};
use crate::protocol::ids::NodeId;
use crate::protocol::message::Refusal;

/// How often deadlines and silence are looked at, and patient requests leave.
const TICK: Duration = Duration::from_millis(10);

/// What a lane needs.
#[derive(Clone)]
pub struct LaneConfig {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's secret.
    pub secret: Secret,
    /// The peers, each with its `host:port`.
    pub peers: Vec<(NodeId, String)>,
    /// What the lane is used for.
    pub purpose: LanePurpose,
    /// Who judges peers.
    pub gatekeeper: Arc<dyn Gatekeeper>,
    /// Who waits to dial whom.
    pub reconnects: Arc<Reconnects>,
    /// What is counted.
    pub counters: Arc<TransportCounters>,
    /// This node's monotonic clock.
    pub now: MonotonicClock,
    /// Memory of what is sent.
    pub memory: PeerMemory,
}

/// One owner's connections. Lives on the thread it was started on; dropping it closes them.
pub struct Lane {
    links: HashMap<NodeId, Rc<Link>>,
    sink: Rc<dyn AnswerSink>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lane({} peers)", self.links.len())
    }
}

impl Lane {
    /// Starts dialling every peer, on this thread's runtime. Answers go to `sink`.
    #[must_use]
    pub fn start(config: LaneConfig, sink: Rc<dyn AnswerSink>) -> Self {
        let mut links = HashMap::new();
        let mut tasks = Vec::new();
        for (peer, address) in config.peers.clone() {
            let link_config = LinkConfig { lane: config.clone(), peer: peer.clone(), address };
            let link = Rc::new(Link::new(link_config, sink.clone()));
            tasks.push(tokio::task::spawn_local(link.clone().keep_connected()));
            links.insert(peer, link);
        }
        let ticked: Vec<Rc<Link>> = links.values().cloned().collect();
        tasks.push(tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                ticked.iter().for_each(|link| link.tick());
            }
        }));
        Self { links, sink, tasks }
    }

    /// Sends a request. Never blocks; the sink gets exactly one answer to it: the peer's, or a refusal, by
    /// the deadline and a tick.
    pub fn send(&self, to: &NodeId, outgoing: Outgoing) {
        match self.links.get(to) {
            Some(link) => link.send(outgoing),
            None => self.sink.answer(to, Answered::refused(outgoing.tag, Refusal::NotSent)),
        }
    }

    /// Whether a connection to `peer` stands.
    #[must_use]
    pub fn is_up(&self, peer: &NodeId) -> bool {
        self.links.get(peer).is_some_and(|link| link.is_up())
    }

    /// Whether `peer` is known to be down: no connection stands, and the last dial failed.
    #[must_use]
    pub fn is_down(&self, peer: &NodeId) -> bool {
        self.links.get(peer).is_some_and(|link| link.is_down())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        self.links.values().for_each(|link| link.close());
    }
}
