//! What is remembered of peers' identities, as it is stored: one sealed JSON record a peer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sealed::{RecordDamaged, seal, unseal};
use super::{Change, Store, StoreError, Table};
use crate::protocol::ids::{DirectoryId, NodeId, StartNumber};
use crate::protocol::membership::{KnownIdentities, RunId, Shown};

/// What the keys in [`super::Table::Meta`] start with; the peer's name follows.
pub const PREFIX: &[u8] = b"peer/";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    directory: u64,
    start: u32,
    counter: u64,
    run: Option<u64>,
    order: u64,
}

/// The change that keeps what is remembered of one peer.
#[must_use]
pub fn change(node: &NodeId, shown: &[(DirectoryId, Shown)]) -> Change {
    let entries = shown.iter().map(|(directory, shown)| Stored {
        directory: directory.0,
        start: shown.start.0,
        counter: shown.counter,
        run: shown.run.map(|run| run.0),
        order: shown.order,
    });
    let entries: Vec<Stored> = entries.collect();
    let key = Bytes::from([PREFIX, node.as_str().as_bytes()].concat());
    // Numbers and text always have a JSON form; an empty body would be found damaged.
    let value = seal(&key, &serde_json::to_vec(&entries).unwrap_or_default());
    Change::Put { table: Table::Meta, key, value }
}

/// All that is stored. A damaged record is forgotten, and `damaged` told of it: it only guards against restored
/// backups.
pub fn load(
    store: &dyn Store,
    damaged: &mut dyn FnMut(&RecordDamaged),
) -> Result<KnownIdentities, StoreError> {
    let (mut known, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(Table::Meta, PREFIX, after.as_deref(), 256)?;
        let Some((last, _)) = page.last() else { return Ok(KnownIdentities::from_entries(known)) };
        after = Some(last.clone());
        for (key, value) in page {
            match decode(&key, value) {
                Ok(entries) => known.extend(entries),
                Err(damage) => damaged(&damage),
            }
        }
    }
}

fn decode(key: &[u8], record: Bytes) -> Result<Vec<(NodeId, DirectoryId, Shown)>, RecordDamaged> {
    let damaged = RecordDamaged::Malformed { what: "memory of a peer" };
    let name = key.strip_prefix(PREFIX).and_then(|name| std::str::from_utf8(name).ok());
    let node = name.and_then(|name| NodeId::new(name).ok()).ok_or(damaged)?;
    let body = unseal(key, record)?;
    let entries: Vec<Stored> = serde_json::from_slice(&body).map_err(|_| damaged)?;
    let entry = |stored: Stored| {
        let Stored { directory, start, counter, run, order } = stored;
        let shown = Shown { start: StartNumber(start), counter, run: run.map(RunId), order };
        (node.clone(), DirectoryId(directory), shown)
    };
    Ok(entries.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;
    use crate::protocol::ids::ActorId;
    use crate::protocol::membership::Presented;

    #[test]
    fn what_is_remembered_of_peers_comes_back_as_it_was_stored() {
        let mut known = KnownIdentities::default();
        let store = MemoryStore::new();
        for (name, directory) in [("n2", u64::MAX), ("n2", 4), ("n3", 7)] {
            let node = NodeId::new(name).unwrap();
            let actor = ActorId { directory: DirectoryId(directory), start: StartNumber(7) };
            known.learn(&node, Presented { actor, began: 12, run: RunId(u64::MAX) });
            let shown: Vec<_> = known.of(&node).collect();
            store.apply(vec![change(&node, &shown)]).unwrap();
        }
        let mut damages = 0;
        assert_eq!(load(&store, &mut |_| damages += 1).unwrap(), known);
        assert_eq!(damages, 0);
    }

    #[test]
    fn a_damaged_memory_of_one_peer_is_forgotten_and_the_others_stay() {
        let store = MemoryStore::new();
        for name in ["n2", "n3"] {
            let shown = Shown { start: StartNumber(1), counter: 1, run: None, order: 0 };
            store.apply(vec![change(&NodeId::new(name).unwrap(), &[(DirectoryId(1), shown)])]).unwrap();
        }
        assert!(store.corrupt(Table::Meta, b"peer/n2"));
        let mut damages = 0;
        let known = load(&store, &mut |_| damages += 1).unwrap();
        let nodes: Vec<_> = known.iter().map(|(node, ..)| node.as_str()).collect();
        assert_eq!((damages, nodes), (1, vec!["n3"]));
    }
}
