//! The handshake: both sides prove that they know the cluster's secret, then say who they are.
//!
//! ```text
//!  dialler                                   acceptor
//!    Hello { nonce }            ──────────>
//!                               <──────────  Challenge { nonce }
//!    Claim { who I am, mac }    ──────────>  checks the proof, then the claim
//!                               <──────────  Claim { who I am, mac }, or Reject { reason, mac }
//!    Verdict                    ──────────>  checks the verdict
//! ```
//!
//! Each MAC is HMAC-SHA-256 under a key derived from the secret, over the role, both nonces and all claims so
//! far, so that it fits no other exchange and not the other role. Who cannot prove the secret is told only that. A
//! rejection is proven as well: one that says that a node's identity is none is written down by that node for good, and
//! must not come from whoever happens to listen at a member's address.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Gatekeeper;
use super::codec;
use super::counters::TransportCounters;
use super::frame::VERSION;
use super::handshake_slots::Stage;
use crate::protocol::ids::{DirectoryId, NodeId};
use crate::protocol::membership::{HISTORY_MAX, Identity, NotAdmitted, Presented, RunId, RunNumber};
use crate::protocol::time::Hlc;

/// How long a handshake may take in all.
pub const TIMEOUT: Duration = Duration::from_secs(2);

const MAGIC: [u8; 4] = *b"neap";
const MAX_BYTES: usize = 4_096;

/// What all members of a cluster know. Never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Keeps the secret's bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, to derive keys from.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn mac(&self, role: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = keyed(&self.0);
        mac.update(b"neap peer handshake v1\0");
        mac.update(role);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104, section 2), so this cannot fail.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LanePurpose {
    /// Requests of one data-plane shard of the dialler.
    Data {
        /// Its number.
        shard: u16,
    },
    /// Everything else.
    Control,
}

/// Why there is no connection. Nothing changed on either side.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The socket failed or was closed.
    #[error("the connection broke in the handshake: {0}")]
    Broken(#[from] std::io::Error),
    /// The bytes are none of a handshake.
    #[error("the other side does not speak neap's peer protocol")]
    Malformed,
    /// Another version of the protocol.
    #[error("the other side speaks peer protocol {given}, this node {VERSION}")]
    Version {
        /// Theirs.
        given: u8,
    },
    /// The proof does not fit.
    #[error("the other side does not know this cluster's secret")]
    Secret,
    /// Another cluster.
    #[error("the other side belongs to the cluster {given:?}, this node to {own:?}")]
    Cluster {
        /// Theirs.
        given: String,
        /// Ours.
        own: String,
    },
    /// Another node than the one that was dialled.
    #[error("{given} answered where {wanted} was expected")]
    Node {
        /// Who answered.
        given: NodeId,
        /// Who was meant.
        wanted: NodeId,
    },
    /// The gatekeeper refused the other side.
    #[error("{}", .0.reason)]
    Refused(NotAdmitted),
    /// The other side refused.
    #[error("the other side refused: {}", .0.reason)]
    Rejected(Rejection),
    /// This node holds as many connections as it may.
    #[error("there are as many connections as there may be")]
    Full,
    /// Newer handshakes took its slot before the other side had proven the secret.
    #[error("newer connections took its place before it had proven the secret")]
    Evicted {
        /// True once the other side had said its Hello.
        greeted: bool,
    },
    /// It took longer than [`TIMEOUT`].
    #[error("the handshake took too long")]
    TimedOut,
    /// The machine gave no random numbers.
    #[error("no nonce could be drawn")]
    NoNonce,
}

impl HandshakeError {
    /// Counts the error under its reason.
    pub fn count(&self, counters: &TransportCounters) {
        match self {
            Self::Broken(_) | Self::NoNonce => &counters.handshake_broken,
            Self::Malformed => &counters.handshake_refused_malformed,
            Self::Version { .. } => &counters.handshake_refused_version,
            Self::Secret => &counters.handshake_refused_secret,
            Self::Cluster { .. } => &counters.handshake_refused_cluster,
            Self::Node { .. } => &counters.handshake_refused_node,
            Self::Refused(_) => &counters.handshake_refused_gatekeeper,
            Self::Rejected(_) => &counters.handshake_rejected_by_peer,
            Self::Full => &counters.connections_over_bound,
            Self::Evicted { greeted: false } => &counters.handshakes_evicted_silent,
            Self::Evicted { greeted: true } => &counters.handshakes_evicted_greeted,
            Self::TimedOut => &counters.handshake_refused_timeout,
        }
        .add();
    }

    /// What the other side is told; none if it has gone.
    fn told(&self) -> Option<Rejection> {
        let rejection = |reason: String| Some(Rejection { reason, identity: false });
        match self {
            Self::Broken(_) | Self::Rejected(_) | Self::TimedOut | Self::NoNonce | Self::Evicted { .. } => {
                None
            }
            // The other side is the wrong one here, and the sentence must be true for it as well.
            Self::Secret => rejection("the cluster secrets differ".to_owned()),
            Self::Refused(NotAdmitted { reason, identity }) => {
                Some(Rejection { reason: reason.clone(), identity: *identity })
            }
            other => rejection(other.to_string()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Hello {
    magic: [u8; 4],
    version: u8,
    nonce: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Claim {
    cluster: String,
    node: String,
    directory: u64,
    number: u64,
    history: Vec<u64>,
    found_ceiling: u64,
    fingerprint: u64,
    purpose: LanePurpose,
}

/// What a side says when it ends the handshake.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rejection {
    /// For the log.
    pub reason: String,
    /// [`NotAdmitted::identity`].
    pub identity: bool,
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Claim { claim: Vec<u8>, mac: [u8; 32] },
    Reject { rejection: Rejection, mac: [u8; 32] },
}

#[derive(Serialize, Deserialize)]
enum Verdict {
    Accept,
    Reject(Rejection),
}

/// What both sides bring to a handshake.
pub struct Party<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The cluster's secret.
    pub secret: &'a Secret,
    /// Who judges.
    pub gatekeeper: &'a dyn Gatekeeper,
}

/// Dials: proves, checks that `wanted` answered, and tells the gatekeeper that it admitted this node.
pub async fn dial(
    stream: &mut TcpStream,
    party: &Party<'_>,
    wanted: &NodeId,
    purpose: LanePurpose,
) -> Result<(), HandshakeError> {
    timed(async {
        let nonce = draw_nonce()?;
        send(stream, &Hello { magic: MAGIC, version: VERSION, nonce }).await?;
        let challenge: Hello = check_hello(receive(stream).await?)?;
        let own = party.claim(purpose)?;
        let mac = party.secret.mac(b"dialler", &[&nonce, &challenge.nonce, &own]);
        send(stream, &Reply::Claim { claim: own.clone(), mac: mac.finalize().into_bytes().into() }).await?;
        let (claim, mac) = match receive(stream).await? {
            Reply::Claim { claim, mac } => (claim, mac),
            Reply::Reject { rejection, mac } => {
                let expected = party.mac_of_rejection(&rejection, [&nonce, &challenge.nonce, &own]);
                // Whoever has another secret can say so, but nothing of who this node is.
                let proven = !rejection.identity || expected.verify_slice(&mac).is_ok();
                return Err(if proven { party.rejected(rejection) } else { HandshakeError::Secret });
            }
        };
        let judged: Result<_, HandshakeError> = (|| {
            let expected = party.secret.mac(b"acceptor", &[&nonce, &challenge.nonce, &own, &claim]);
            expected.verify_slice(&mac).map_err(|_| HandshakeError::Secret)?;
            let (identity, _) = party.read(&claim)?;
            if identity.node != *wanted {
                return Err(HandshakeError::Node { given: identity.node, wanted: wanted.clone() });
            }
            party.gatekeeper.admit(&identity).map_err(HandshakeError::Refused)
        })();
        match judged {
            Ok(()) => {
                send(stream, &Verdict::Accept).await?;
                party.gatekeeper.admitted(wanted);
                Ok(())
            }
            Err(error) => {
                if let Some(reason) = error.told() {
                    send(stream, &Verdict::Reject(reason)).await?;
                }
                Err(error)
            }
        }
    })
    .await
}

/// Accepts: checks the dialler's proof and claim, proves, and waits for its verdict. `reached` hears of each stage, and may
/// end the handshake there.
pub async fn accept(
    stream: &mut TcpStream,
    party: &Party<'_>,
    reached: impl Fn(Stage) -> Result<(), HandshakeError>,
) -> Result<(Identity, LanePurpose), HandshakeError> {
    timed(async {
        let hello: Hello = receive(stream).await?;
        let checked = check_hello(hello);
        reached(Stage::Greeted)?;
        let nonce = draw_nonce()?;
        // Sent in any case, so that a dialler of another version learns which one this is.
        send(stream, &Hello { magic: MAGIC, version: VERSION, nonce }).await?;
        let hello = checked?;
        let Reply::Claim { claim: theirs, mac } = receive(stream).await? else {
            return Err(HandshakeError::Malformed);
        };
        let judged: Result<_, HandshakeError> = (|| {
            let expected = party.secret.mac(b"dialler", &[&hello.nonce, &nonce, &theirs]);
            expected.verify_slice(&mac).map_err(|_| HandshakeError::Secret)?;
            reached(Stage::Proven)?;
            let (identity, claim) = party.read(&theirs)?;
            party.gatekeeper.admit(&identity).map_err(HandshakeError::Refused)?;
            Ok((identity, claim.purpose))
        })();
        let (identity, purpose) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                if let Some(rejection) = error.told() {
                    let mac = party.mac_of_rejection(&rejection, [&hello.nonce, &nonce, &theirs]);
                    send(stream, &Reply::Reject { rejection, mac: mac.finalize().into_bytes().into() })
                        .await?;
                }
                return Err(error);
            }
        };
        let own = party.claim(purpose)?;
        let mac = party.secret.mac(b"acceptor", &[&hello.nonce, &nonce, &theirs, &own]);
        send(stream, &Reply::Claim { claim: own, mac: mac.finalize().into_bytes().into() }).await?;
        match receive(stream).await? {
            Verdict::Accept => {
                party.gatekeeper.admitted(&identity.node);
                Ok((identity, purpose))
            }
            Verdict::Reject(rejection) => Err(party.rejected(rejection)),
        }
    })
    .await
}

impl Party<'_> {
    /// Of what an acceptor says to a claim that it rejects, after the two nonces.
    fn mac_of_rejection(&self, rejection: &Rejection, [hello, challenge, claim]: [&[u8]; 3]) -> Hmac<Sha256> {
        let identity = [u8::from(rejection.identity)];
        self.secret.mac(b"rejector", &[hello, challenge, claim, &identity, rejection.reason.as_bytes()])
    }

    fn rejected(&self, rejection: Rejection) -> HandshakeError {
        if rejection.identity {
            self.gatekeeper.identity_refused(&rejection.reason);
        }
        HandshakeError::Rejected(rejection)
    }

    fn claim(&self, purpose: LanePurpose) -> Result<Vec<u8>, HandshakeError> {
        let Identity { node, presented, fingerprint } = self.gatekeeper.identity();
        let Presented { directory, number, history, found_ceiling } = presented;
        let claim = Claim {
            cluster: self.cluster.to_owned(),
            node: node.as_str().to_owned(),
            directory: directory.0,
            number: number.0,
            history: history.iter().map(|run| run.0).collect(),
            found_ceiling: found_ceiling.0,
            fingerprint,
            purpose,
        };
        let mut bytes = Vec::new();
        codec::encode(&claim, &mut bytes).map_err(|_| HandshakeError::Malformed)?;
        Ok(bytes)
    }

    fn read(&self, claim: &[u8]) -> Result<(Identity, Claim), HandshakeError> {
        let claim: Claim = codec::decode(claim).map_err(|_| HandshakeError::Malformed)?;
        if claim.cluster != self.cluster {
            return Err(HandshakeError::Cluster { given: claim.cluster, own: self.cluster.to_owned() });
        }
        let node = NodeId::new(&claim.node).map_err(|_| HandshakeError::Malformed)?;
        if claim.history.is_empty() || claim.history.len() > HISTORY_MAX {
            return Err(HandshakeError::Malformed);
        }
        let presented = Presented {
            directory: DirectoryId(claim.directory),
            number: RunNumber(claim.number),
            history: claim.history.iter().copied().map(RunId).collect(),
            found_ceiling: Hlc(claim.found_ceiling),
        };
        let identity = Identity { node, presented, fingerprint: claim.fingerprint };
        Ok((identity, claim))
    }
}

async fn timed<T>(work: impl Future<Output = Result<T, HandshakeError>>) -> Result<T, HandshakeError> {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(HandshakeError::TimedOut))
}

fn draw_nonce() -> Result<[u8; 32], HandshakeError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|_| HandshakeError::NoNonce)?;
    Ok(nonce)
}

fn check_hello(hello: Hello) -> Result<Hello, HandshakeError> {
    if hello.magic != MAGIC {
        return Err(HandshakeError::Malformed);
    }
    if hello.version != VERSION {
        return Err(HandshakeError::Version { given: hello.version });
    }
    Ok(hello)
}

async fn send<T: Serialize>(stream: &mut TcpStream, message: &T) -> Result<(), HandshakeError> {
    let mut bytes = vec![0; 4];
    codec::encode(message, &mut bytes).map_err(|_| HandshakeError::Malformed)?;
    let length = u32::try_from(bytes.len() - 4).map_err(|_| HandshakeError::Malformed)?;
    if let Some(front) = bytes.first_chunk_mut::<4>() {
        *front = length.to_be_bytes();
    }
    stream.write_all(&bytes).await?;
    Ok(())
}

async fn receive<T: for<'de> Deserialize<'de>>(stream: &mut TcpStream) -> Result<T, HandshakeError> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_BYTES {
        return Err(HandshakeError::Malformed);
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    codec::decode(&bytes).map_err(|_| HandshakeError::Malformed)
}
