//! One keep-alive connection to one node.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::call::Call;
use super::endpoint::Endpoint;
use super::error::ClientError;
use super::reply::Reply;

/// The largest reply that is read: many siblings of the largest values in use.
const MAX_REPLY_BYTES: usize = 256 * 1024 * 1024;

/// One HTTP/1.1 connection, for one request at a time. Needs a tokio runtime, whose task it keeps the
/// connection's driver in until it is dropped.
pub struct Connection {
    endpoint: Endpoint,
    host: HeaderValue,
    sender: SendRequest<Full<bytes::Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects to `endpoint` within `timeout`.
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ClientError> {
        let not_reached = |cause: String| ClientError::NotReached { endpoint: endpoint.clone(), cause };
        let host =
            HeaderValue::from_str(endpoint.authority()).map_err(|error| not_reached(error.to_string()))?;
        let stream = tokio::time::timeout(timeout, TcpStream::connect(endpoint.authority()))
            .await
            .map_err(|_| not_reached(format!("no connection within {timeout:?}")))?
            .map_err(|error| not_reached(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| not_reached(error.to_string()))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_reached(error.to_string()))?;
        let driver = tokio::spawn(async move {
            // The request in flight, if any, is told of the failure itself.
            let _ = connection.await;
        });
        Ok(Self { endpoint: endpoint.clone(), host, sender, driver })
    }

    /// Where it goes.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends `call` and waits up to `timeout` for the whole reply. After an error the connection is spent.
    pub async fn send(&mut self, call: &Call, timeout: Duration) -> Result<Reply, ClientError> {
        match tokio::time::timeout(timeout, self.exchange(call)).await {
            Ok(done) => done,
            Err(_) => Err(ClientError::TimedOut { endpoint: self.endpoint.clone(), timeout }),
        }
    }

    async fn exchange(&mut self, call: &Call) -> Result<Reply, ClientError> {
        let request = self.request(call)?;
        self.sender.ready().await.map_err(|error| self.not_reached(&error))?;
        let response = match self.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                // The request comes back only if none of it was written.
                let was_sent = failed.take_message().is_none();
                let error = failed.error();
                let failed = if was_sent { self.broken(error) } else { self.not_reached(error) };
                return Err(failed);
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_REPLY_BYTES)
            .collect()
            .await
            .map_err(|error| self.broken(&error))?
            .to_bytes();
        Ok(Reply { endpoint: self.endpoint.clone(), status: head.status, headers: head.headers, body })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<bytes::Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.target.as_str())
            .body(Full::new(call.body.clone()))
            .map_err(|error| ClientError::Malformed { cause: error.to_string() })?;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        Ok(request)
    }

    fn not_reached(&self, error: &hyper::Error) -> ClientError {
        ClientError::NotReached { endpoint: self.endpoint.clone(), cause: error.to_string() }
    }

    fn broken(&self, error: &impl ToString) -> ClientError {
        ClientError::Broken { endpoint: self.endpoint.clone(), cause: error.to_string() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
