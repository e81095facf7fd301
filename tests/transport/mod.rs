//! Connections between nodes, on real sockets over loopback.

mod bytes;
mod handshake;
mod requests;
mod sizes;
mod strangers;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use neap::protocol::ids::{BucketName, DirectoryId, Epoch, NodeId};
use neap::protocol::membership::{Identity, NotAdmitted, Presented, RunId, RunNumber};
use neap::protocol::message::{PeerAnswer, PeerRequest, Refusal, RingStamp};
use neap::protocol::time::{Hlc, Moment};
use neap::transport::{
    Acceptor, AcceptorBounds, AcceptorConfig, AnswerSink, Answered, Connection, Gatekeeper, Incoming, Lane,
    LaneConfig, LanePurpose, Outgoing, PeerMemory, PeerService, Reconnects, Responder, Secret,
    TransportCounters,
};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test));
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn now() -> Moment {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Moment(1_000_000 + START.get_or_init(Instant::now).elapsed().as_micros() as u64)
}

/// A gatekeeper that admits everyone, or nobody, and writes down what it hears.
pub struct Gate {
    me: NodeId,
    pub refuse: Option<NotAdmitted>,
    pub heard: Mutex<Vec<String>>,
}

impl Gate {
    pub fn new(me: &str) -> Self {
        Self { me: node(me), refuse: None, heard: Mutex::default() }
    }

    pub fn has_heard(&self, what: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|line| line.contains(what))
    }

    fn hear(&self, line: String) {
        self.heard.lock().unwrap().push(line);
    }
}

impl Gatekeeper for Gate {
    fn identity(&self) -> Identity {
        let presented = Presented {
            directory: DirectoryId(1),
            number: RunNumber(7),
            history: vec![RunId(8), RunId(6)],
            found_ceiling: Hlc(5),
        };
        Identity { node: self.me.clone(), presented, fingerprint: 9 }
    }

    fn admit(&self, peer: &Identity) -> Result<(), NotAdmitted> {
        let own = self.identity();
        assert_eq!((&peer.presented, peer.fingerprint), (&own.presented, own.fingerprint));
        self.hear(format!("asked to admit {}", peer.node));
        self.refuse.clone().map_or(Ok(()), Err)
    }

    fn identity_refused(&self, reason: &str) {
        self.hear(format!("identity refused: {reason}"));
    }

    fn admitted(&self, by: &NodeId) {
        self.hear(format!("admitted by {by}"));
    }

    fn ceiling(&self) -> Hlc {
        Hlc(77)
    }

    fn announced(&self, peer: &NodeId, ceiling: Hlc) {
        self.hear(format!("{peer} has announced {ceiling:?}"));
    }

    fn connected(&self, peer: &NodeId, up: bool) {
        self.hear(format!("{peer} {}", if up { "up" } else { "down" }));
    }
}

/// Answers `HoldsBucket(b)` with whether the bucket is named "yes", never answers one named "never", drops the
/// way back of one named "drop", and closes nothing.
pub struct Service;

impl PeerService for Service {
    fn serve(&self, incoming: Incoming, responder: Box<dyn Responder>) {
        let PeerRequest::HoldsBucket(bucket) = incoming.request else {
            return responder.respond(PeerAnswer::Refused(Refusal::WrongRing), incoming.clock);
        };
        match bucket.as_str() {
            "never" => std::mem::forget(responder),
            "drop" => drop(responder),
            name => responder.respond(PeerAnswer::HoldsBucket(name == "yes"), Hlc(5)),
        }
    }
}

/// What came back, by tag.
#[derive(Default, Clone)]
pub struct Answers(pub Rc<RefCell<BTreeMap<u64, Vec<Answered>>>>);

impl AnswerSink for Answers {
    fn answer(&self, _: &NodeId, answered: Answered) {
        self.0.borrow_mut().entry(answered.tag).or_default().push(answered);
    }
}

impl Answers {
    pub async fn wait_for(&self, count: usize) {
        eventually("answers", || self.0.borrow().len() >= count).await;
    }

    pub fn of(&self, tag: u64) -> Vec<PeerAnswer> {
        let all = self.0.borrow().get(&tag).cloned().unwrap_or_default();
        all.into_iter().map(|answered| answered.answer).collect()
    }

    /// When the request left, if it was patient.
    pub fn left(&self, tag: u64) -> Option<Moment> {
        self.0.borrow().get(&tag).and_then(|all| all.first()?.left)
    }
}

pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A node that accepts.
pub struct Server {
    pub address: String,
    pub counters: Arc<TransportCounters>,
    pub gate: Arc<Gate>,
    task: tokio::task::JoinHandle<()>,
    connections: Rc<RefCell<Vec<tokio::task::JoinHandle<()>>>>,
}

impl Server {
    pub async fn start(gate: Gate, cluster: &str, secret: &str, address: &str) -> Self {
        Self::start_with(gate, cluster, secret, address, &[]).await
    }

    /// The same, which knows of members at these addresses.
    pub async fn start_with(
        gate: Gate,
        cluster: &str,
        secret: &str,
        address: &str,
        members: &[&str],
    ) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (counters, gate) = (Arc::new(TransportCounters::default()), Arc::new(gate));
        let acceptor = Acceptor::new(AcceptorConfig {
            cluster: cluster.to_owned(),
            secret: Secret::new(secret),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            gatekeeper: gate.clone(),
            reconnects: Arc::new(Reconnects::default()),
            counters: counters.clone(),
            now,
            bounds: AcceptorBounds::default(),
            memory: PeerMemory::default(),
        });
        let connections = Rc::new(RefCell::new(Vec::new()));
        let running = connections.clone();
        let dispatch = move |connection: Connection| {
            let task = tokio::task::spawn_local(connection.run(Arc::new(Service)));
            running.borrow_mut().push(task);
        };
        let task = tokio::task::spawn_local(acceptor.run(listener, dispatch));
        Self { address, counters, gate, task, connections }
    }

    /// Ends it with all its connections.
    pub async fn stop(self) -> String {
        self.task.abort();
        self.connections.borrow().iter().for_each(tokio::task::JoinHandle::abort);
        let _ = self.task.await;
        self.address
    }
}

pub fn lane_to(
    peers: &[(&str, &str)],
    gate: Arc<Gate>,
    secret: &str,
) -> (Lane, Answers, Arc<TransportCounters>) {
    let (answers, counters) = (Answers::default(), Arc::new(TransportCounters::default()));
    let config = LaneConfig {
        cluster: "test".to_owned(),
        secret: Secret::new(secret),
        peers: peers.iter().map(|(name, address)| (node(name), (*address).to_owned())).collect(),
        purpose: LanePurpose::Data { shard: 3 },
        gatekeeper: gate,
        reconnects: Arc::new(Reconnects::default()),
        counters: counters.clone(),
        now,
        memory: PeerMemory::default(),
    };
    (Lane::start(config, Rc::new(answers.clone())), answers, counters)
}

pub fn ask(bucket: &str, tag: u64, within: Duration) -> Outgoing {
    Outgoing {
        request: PeerRequest::HoldsBucket(BucketName::new(bucket).unwrap()),
        deadline: now().plus_micros(within.as_micros() as u64),
        clock: Hlc(1),
        ring: RingStamp { epoch: Epoch(1) },
        trace: None,
        tag,
        patient: false,
    }
}
