//! An HTTP client that sends a body of our own in the place of the exporter's.
//!
//! So the exporter does all that it does so well (the address, the headers, what is tried again and when) but for what it
//! does slowly: making the body (see [`super::encoding`]).

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};

/// The body that is sent, as often as it is tried.
#[derive(Debug, Clone, Default)]
pub(super) struct Body(Arc<Mutex<Bytes>>);

impl Body {
    /// From now on this one.
    pub(super) fn set(&self, body: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    fn get(&self) -> Bytes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client.
#[derive(Debug)]
pub(super) struct WithBody<C> {
    pub(super) client: C,
    pub(super) body: Body,
}

type Reply<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl<C: HttpClient> HttpClient for WithBody<C> {
    fn send_bytes<'s, 'f>(&'s self, mut request: Request<Bytes>) -> Reply<'f>
    where
        's: 'f,
        Self: 'f,
    {
        let body = match request.headers().get("content-encoding") {
            None => Ok(self.body.get()),
            Some(encoding) if encoding == "gzip" => gzip(&self.body.get()),
            Some(other) => Err(format!("no body can be encoded as {other:?}").into()),
        };
        match body {
            Ok(body) => *request.body_mut() = body,
            Err(error) => return Box::pin(async { Err(error) }),
        }
        self.client.send_bytes(request)
    }
}

fn gzip(body: &[u8]) -> Result<Bytes, HttpError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    Ok(Bytes::from(encoder.finish()?))
}
