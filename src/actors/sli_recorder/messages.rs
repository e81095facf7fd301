//! What the recorder is asked.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::protocol::slo::SloDocument;
use crate::transport::Responder;

/// Asks how the objectives of the whole cluster stand. If too many ask at once, the way back is dropped.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct AskCluster {
    /// The way back.
    pub reply: oneshot::Sender<Arc<SloDocument>>,
}

/// A peer asks what this node knows.
#[derive(Message)]
#[rtype(result = "()")]
pub struct PeerAsksSlo {
    /// The way back.
    pub responder: Box<dyn Responder>,
}

/// The node stops: keep the windows. Answered when they are on disk, or could not be put there, which is logged.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct KeepWindows;
