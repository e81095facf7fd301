//! A client of the REST contract, as the commands use it.
//!
//! [`Connection`] is one keep-alive HTTP/1.1 connection to one node. [`Client`] is a list of nodes, tried in
//! turn: with a read, and with a write that has an id, until one answers; with any other write only for as long as
//! nothing was sent, since it is not safe to repeat.

mod call;
mod connection;
mod endpoint;
mod error;
mod reply;
mod target;

use std::time::Duration;

pub use call::Call;
pub use connection::Connection;
pub use endpoint::{Endpoint, InvalidUrl, parse_urls};
pub use error::{ClientError, Problem};
pub use reply::{ReplicaCount, Reply, StalenessBound};
pub use target::{append_query, kv_target, ring_key_target};

/// The environment variable that says where the commands go.
pub const URL_VARIABLE: &str = "NEAP_URL";

/// Where the commands go if nothing says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8101";

/// How long a node may take to accept a connection before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a reply is waited for: above any `limits.timeout` in use, so that the node's own deadline, which
/// knows the outcome, comes first.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it is waited for while there is another node to ask, which answers at once if this one hangs.
const MOVE_ON_AFTER: Duration = Duration::from_secs(5);

/// The nodes at `urls` (comma-separated), else at `NEAP_URL`, else at the default.
pub fn endpoints_of(urls: Option<&str>) -> Result<Vec<Endpoint>, InvalidUrl> {
    let from_environment = std::env::var(URL_VARIABLE).ok().filter(|value| !value.is_empty());
    let urls = urls.map(str::to_owned).or(from_environment);
    parse_urls(urls.as_deref().unwrap_or(DEFAULT_URL))
}

/// Several nodes of one cluster, the first that answers being used until it fails.
pub struct Client {
    endpoints: Vec<Endpoint>,
    current: usize,
    open: Option<Connection>,
}

impl Client {
    /// A client of the nodes at `endpoints`, tried in that order.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, current: 0, open: None }
    }

    /// A client of `urls` (comma-separated), else of `NEAP_URL`, else of the default.
    pub fn from_urls(urls: Option<&str>) -> Result<Self, InvalidUrl> {
        endpoints_of(urls).map(Self::new)
    }

    /// Sends `call` to the first node that can be reached and waits for its reply, whatever its status.
    pub async fn send(&mut self, call: &Call) -> Result<Reply, ClientError> {
        let several = self.endpoints.len() > 1 && call.is_repeatable();
        let patience = |last: bool| {
            call.patience.unwrap_or(if several && !last { MOVE_ON_AFTER } else { REPLY_TIMEOUT })
        };
        // Of a node that may have carried it out.
        let mut unknown = None;
        if let Some(connection) = self.open.take() {
            match self.send_on(connection, call, patience(false)).await {
                Err(error) if error.nothing_was_sent() => {}
                Err(error) if several && error.outcome_is_unknown() => unknown = Some(error),
                done => return done,
            }
        }
        let mut causes = Vec::new();
        for left in (0..self.endpoints.len()).rev() {
            match self.try_current(call, patience(left == 0)).await {
                Err(error) if error.nothing_was_sent() => causes.push(error.to_string()),
                Err(error) if several && error.outcome_is_unknown() => unknown = Some(error),
                done => return done,
            }
            self.current = (self.current + 1) % self.endpoints.len();
        }
        Err(unknown.unwrap_or(ClientError::NoneReached { causes }))
    }

    async fn try_current(&mut self, call: &Call, patience: Duration) -> Result<Reply, ClientError> {
        let Some(endpoint) = self.endpoints.get(self.current) else {
            return Err(ClientError::NoneReached { causes: Vec::new() });
        };
        let connection = Connection::open(endpoint, CONNECT_TIMEOUT).await?;
        self.send_on(connection, call, patience).await
    }

    async fn send_on(
        &mut self,
        mut connection: Connection,
        call: &Call,
        patience: Duration,
    ) -> Result<Reply, ClientError> {
        let reply = connection.send(call, patience).await?;
        self.open = Some(connection);
        Ok(reply)
    }
}
