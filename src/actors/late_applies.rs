//! A replica that is behind on purpose: a hook for tests, which need a known lag between real nodes.

use std::time::Duration;

use crate::protocol::message::{PeerRequest, ReplicaRequest};
use crate::transport::{Incoming, PeerService, Responder};

/// Serves what peers ask, but what they want applied only a while later.
pub struct LateApplies<S> {
    service: std::sync::Arc<S>,
    delay: Duration,
}

impl<S: PeerService> LateApplies<S> {
    /// Delays what `service` is asked to apply.
    #[must_use]
    pub fn new(service: S, delay: Duration) -> Self {
        Self { service: std::sync::Arc::new(service), delay }
    }
}

impl<S: PeerService> PeerService for LateApplies<S> {
    fn serve(&self, incoming: Incoming, responder: Box<dyn Responder>) {
        if !matches!(incoming.request, PeerRequest::Replica(_, ReplicaRequest::Apply(..))) {
            return self.service.serve(incoming, responder);
        }
        let (service, delay) = (self.service.clone(), self.delay);
        // Detached: the answer goes by the responder.
        drop(actix_rt::spawn(async move {
            tokio::time::sleep(delay).await;
            service.serve(incoming, responder);
        }));
    }
}
