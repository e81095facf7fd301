//! What the transport counts. Each name is an event an operator may have to explain; all only ever rise.

use crate::telemetry::counters;

counters! {
    /// The counters of one node's transport, over all lanes and connections.
    TransportCounters, "transport_", {
    /// Frames written, both sides.
    frames_sent,
    /// Frames read and found sound, both sides.
    frames_received,
    /// Bytes written after handshakes.
    bytes_sent,
    /// Times that something was written, both sides: `frames_sent` over this is how many frames go together.
    batches_sent,
    /// Bytes read after handshakes.
    bytes_received,
    /// Connections tried.
    dials,
    /// Of these, those that failed before or in the handshake.
    dial_failures,
    /// Handshakes that both sides accepted, outbound.
    handshakes_outbound,
    /// Handshakes that both sides accepted, inbound.
    handshakes_inbound,
    /// Handshakes ended here because the other side speaks another protocol version.
    handshake_refused_version,
    /// Handshakes ended here because the other side belongs to another cluster.
    handshake_refused_cluster,
    /// Handshakes ended here because the other side does not know the cluster's secret.
    handshake_refused_secret,
    /// Handshakes ended here because another node than the one dialled answered.
    handshake_refused_node,
    /// Handshakes ended here because the other side goes by another membership record.
    handshake_refused_fingerprint,
    /// Handshakes ended here by the gatekeeper.
    handshake_refused_gatekeeper,
    /// Handshakes ended here because of bytes that make no sense.
    handshake_refused_malformed,
    /// Handshakes ended here because they took too long.
    handshake_refused_timeout,
    /// Handshakes that the other side refused.
    handshake_rejected_by_peer,
    /// Handshakes whose socket failed or was closed.
    handshake_broken,
    /// Inbound sockets closed before they said anything, for newer ones: more than there are slots for.
    handshakes_evicted_silent,
    /// Inbound handshakes ended before the other side had proven the secret, for newer ones: more than there are slots for.
    handshakes_evicted_greeted,
    /// Times that a member's host name could not be resolved, by which its handshakes have slots of their own.
    members_unresolved,
    /// Inbound handshakes refused though the secret was proven: too many connections.
    connections_over_bound,
    /// Failures of the listening socket, such as too many open files.
    accept_errors,
    /// Connections closed because of a frame that is damaged, too long or of another version.
    corrupt_frames,
    /// Connections closed because of a sound frame whose message makes no sense.
    undecodable_messages,
    /// Connections closed because of a sound frame that has no place there.
    unexpected_frames,
    /// Connections closed because nothing was heard for too long.
    silent_connections,
    /// Connections closed because the peer let too many bytes of answers pile up.
    outbox_over_bound,
    /// Outbound connections that ended, whatever the reason.
    connections_lost,
    /// Requests refused before they were sent: too many, or too many bytes, wait for this peer.
    requests_over_bound,
    /// Requests refused before they were sent: no connection.
    requests_not_sent,
    /// Requests whose deadline passed before they were sent.
    requests_expired_unsent,
    /// Requests sent that got no answer before the deadline, or the end of the connection.
    requests_unanswered,
    /// Answers that came after their request had ended.
    late_answers,
    /// Messages not sent because their frame would have been too long.
    frames_too_long,
    /// Inbound requests refused because their deadline had passed.
    requests_expired_on_arrival,
    /// Inbound requests refused because too many of the same connection were in flight.
    requests_over_in_flight,
    /// Requests refused because others, or answers to them, take as much memory as they may.
    requests_over_memory,
    /// Inbound requests whose responder was dropped without an answer.
    responders_dropped,
    /// Answers that came when their connection had ended.
    answers_without_connection,
    }
}
