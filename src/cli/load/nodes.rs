//! The nodes that a steady load goes to: connections that wait for their next use, and who is let alone for a while.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::RawConnection;
use crate::client::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take. More than the usual `limits.timeout`, and no more than what a node that hangs, at its
/// share of the rate, may hold up of the operations under way.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node is passed over that took no connection, or did not answer in time. Then one operation at a time, so
/// often, finds out whether it serves again.
const SHUNNED_FOR: Duration = Duration::from_secs(1);

/// Why an operation has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// No node took a connection; nothing was sent.
    NotReached,
    /// The connection ended; whether the operation was carried out is not known.
    Broken,
    /// No answer in time; whether the operation was carried out is not known.
    TimedOut,
}

struct Node {
    endpoint: Endpoint,
    idle: RefCell<Vec<RawConnection>>,
    /// Set from a failure to the next answer.
    shunned_until: Cell<Option<Instant>>,
}

impl Node {
    fn shun(&self) {
        self.shunned_until.set(Some(Instant::now() + SHUNNED_FOR));
    }
}

/// Several nodes, asked in turn.
pub struct Nodes {
    nodes: Vec<Node>,
    turn: Cell<usize>,
}

impl Nodes {
    /// The nodes at `endpoints`.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        let node = |endpoint| Node { endpoint, idle: RefCell::default(), shunned_until: Cell::new(None) };
        Self { nodes: endpoints.into_iter().map(node).collect(), turn: Cell::new(0) }
    }

    /// Sends a request to the next node that takes it; the status of its answer. What may have been sent is not sent
    /// again.
    pub async fn ask(&self, request: &[u8]) -> Result<u16, Unanswered> {
        for _ in 0..self.nodes.len() {
            let Some(node) = self.next() else { break };
            let idle = node.idle.borrow_mut().pop();
            let mut connection = match idle {
                Some(idle) => idle,
                None => match RawConnection::open(&node.endpoint, CONNECT_TIMEOUT).await {
                    Ok(open) => open,
                    Err(_) => {
                        node.shun();
                        continue;
                    }
                },
            };
            let exchanged = tokio::time::timeout(REPLY_TIMEOUT, connection.exchange(request)).await;
            let status = exchanged.map(|reply| reply.map(|reply| reply.status));
            return match status {
                Ok(Ok(status)) => {
                    node.shunned_until.set(None);
                    node.idle.borrow_mut().push(connection);
                    Ok(status)
                }
                Ok(Err(_)) => {
                    // What ended one connection has most likely ended the others: one error is enough for all.
                    node.idle.borrow_mut().clear();
                    Err(Unanswered::Broken)
                }
                Err(_) => {
                    node.shun();
                    Err(Unanswered::TimedOut)
                }
            };
        }
        Err(Unanswered::NotReached)
    }

    /// The next in turn that is not shunned; if all are, the next. One that was is shunned again until it has answered.
    fn next(&self) -> Option<&Node> {
        let (now, from) = (Instant::now(), self.turn.get());
        let turns = (0..self.nodes.len()).filter_map(|step| {
            let at = (from + step) % self.nodes.len();
            self.nodes.get(at).map(|node| (at, node))
        });
        let in_turn =
            turns.clone().find(|(_, node)| node.shunned_until.get().is_none_or(|until| until <= now));
        let (at, node) = in_turn.or_else(|| turns.clone().next())?;
        self.turn.set(at + 1);
        if node.shunned_until.get().is_some() {
            node.shun();
        }
        Some(node)
    }
}
