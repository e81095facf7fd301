//! What is remembered of peers' identities, as it is stored: one sealed JSON record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sealed::{RecordDamaged, seal, unseal};
use crate::protocol::ids::{DirectoryId, NodeId, StartNumber};
use crate::protocol::membership::{KnownIdentities, RunId, Shown};

/// The key in [`super::Table::Meta`].
pub const KEY: &[u8] = b"peers";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    node: String,
    directory: u64,
    start: u32,
    counter: u64,
    run: Option<u64>,
    order: u64,
}

/// The record of `known`.
#[must_use]
pub fn encode(known: &KnownIdentities) -> Bytes {
    let entries = known.iter().map(|(node, directory, shown)| Stored {
        node: node.as_str().to_owned(),
        directory: directory.0,
        start: shown.start.0,
        counter: shown.counter,
        run: shown.run.map(|run| run.0),
        order: shown.order,
    });
    let entries: Vec<Stored> = entries.collect();
    // Numbers and text always have a JSON form; an empty body would be found damaged.
    seal(KEY, &serde_json::to_vec(&entries).unwrap_or_default())
}

/// What a record remembers.
pub fn decode(record: Bytes) -> Result<KnownIdentities, RecordDamaged> {
    let damaged = RecordDamaged::Malformed { what: "memory of peers" };
    let body = unseal(KEY, record)?;
    let entries: Vec<Stored> = serde_json::from_slice(&body).map_err(|_| damaged)?;
    let entries = entries.into_iter().map(|stored| {
        let Stored { node, directory, start, counter, run, order } = stored;
        let shown = Shown { start: StartNumber(start), counter, run: run.map(RunId), order };
        Ok((NodeId::new(&node).map_err(|_| damaged)?, DirectoryId(directory), shown))
    });
    Ok(KnownIdentities::from_entries(entries.collect::<Result<Vec<_>, RecordDamaged>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::ActorId;
    use crate::protocol::membership::Presented;

    #[test]
    fn what_is_remembered_of_peers_comes_back_as_it_was_stored() {
        let mut known = KnownIdentities::default();
        let actor = ActorId { directory: DirectoryId(u64::MAX), start: StartNumber(7) };
        let presented = Presented { actor, began: 12, run: RunId(u64::MAX) };
        known.learn(&NodeId::new("n2").unwrap(), presented);
        assert_eq!(decode(encode(&known)), Ok(known));
    }
}
