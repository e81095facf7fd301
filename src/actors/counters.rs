//! What was refused, dropped or left undone, counted.

use crate::telemetry::counters;

counters! {
    /// The counters of a node's actors.
    NodeCounters, "", {
    /// Client requests refused because `limits.in_flight` were in flight.
    admission_refused,
    /// Operations that waited for their turn: a shard was busy with others.
    operations_waited,
    /// Of these, those whose deadline passed meanwhile.
    waiting_expired,
    /// Of these, those whose client went away meanwhile.
    waiting_clients_gone,
    /// Turns that were dropped instead of handed back: a path of the program that forgot to.
    turns_dropped,
    /// Clients answered at their deadline by the edge, since the shard did not: it hangs, or nearly does.
    shards_silent,
    /// Messages refused because a mailbox was full.
    mailbox_refused,
    /// Observations of operations that the recorder could not take: indicators lack them.
    observations_dropped,
    /// Operations refused because a coordinator's table was full.
    operations_refused,
    /// Operations no longer followed because a coordinator's table was full.
    follow_ups_dropped,
    /// Writes that some home was not known to have when they were no longer followed.
    writes_unfollowed,
    /// Reads that repaired a home before the client was answered.
    read_repairs_blocking,
    /// Repairs of homes after the client was answered.
    read_repairs_async,
    /// Reads that left what their probes found to a later one: the key, or many keys, were repaired a moment ago.
    read_repairs_put_off,
    /// Reads that asked another home because one was slow.
    hedged_reads,
    /// Reads judged after their verdict had been unknown.
    reads_judged_late,
    /// Reads whose verdict will never be known: replicas were silent for too long, or do not remember.
    reads_never_judged,
    /// Reads that missed a version that W homes had when they began.
    reads_stale,
    /// Reads that may have missed one: it cannot be told which came first.
    reads_suspect,
    /// Reads that missed a version that fewer than W homes had.
    reads_behind,
    /// Reads that missed nothing.
    reads_fresh,
    /// Reads of which too few homes could be asked to say so.
    reads_unknown,
    /// Requests of peers refused because this node is no home of the key.
    wrong_ring,
    /// Frames refused because the sender's clock was too far ahead.
    clock_skew_refused,
    /// Times that a peer's clock was found ahead of this node's by more than `clock.max_skew`.
    peer_clocks_ahead,
    /// Requests dropped on arrival because their deadline had passed.
    expired_on_arrival,
    /// Records that were not among those in memory, and were asked of the disk.
    records_from_disk,
    /// Stored records found damaged.
    damaged_records,
    /// Damaged records replaced by what other homes hold.
    damaged_healed,
    /// Times that an object was asked for that is too large to be sent.
    objects_too_large,
    /// Objects that this node was left without when it pulled: they are too large to be sent.
    objects_left_out,
    /// Of these, those that it has been given since.
    left_out_healed,
    /// Writes refused because the object would have outgrown the bytes that it may have.
    object_full_refused,
    /// Writes refused because they would have left more versions than `siblings_max`.
    too_many_siblings_refused,
    /// Writes that left an object beyond three quarters of the bytes that it may have.
    objects_nearly_full,
    /// Writes that left more than three quarters of `siblings_max` versions.
    objects_many_siblings,
    /// Writes refused because the disk is full.
    disk_full_refused,
    /// Writes refused because as much as may be in memory waits for the disk.
    disk_behind_refused,
    /// Requests refused because the node takes as much memory as it may.
    memory_refused,
    /// Peers refused because their identity is less than what is remembered of it.
    identities_refused,
    /// Requests that waited for newer bucket settings and were refused because too many did.
    settings_waits_refused,
    /// Listings of keys refused because as many as may be were under way.
    listings_refused,
    /// Pages of keys refused because as many as may be were waiting to be made.
    key_pages_refused,
    /// Objects pulled from other homes into a directory that may lack them.
    backfilled_objects,
    }
}
