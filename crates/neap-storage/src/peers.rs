//! What is remembered of peers' identities, as it is stored: one sealed JSON record a peer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sealed::{RecordDamaged, seal, unseal};
use super::{Change, Store, StoreError, Table};
use neap_protocol::ids::{DirectoryId, NodeId};
use neap_protocol::membership::{KnownIdentities, RunId, RunNumber, Shown};
use neap_protocol::time::Hlc;

/// What the keys in [`super::Table::Meta`] start with; the peer's name follows.
pub const PREFIX: &[u8] = b"peer/";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    directory: u64,
    number: u64,
    run: u64,
    ceiling: u64,
    order: u64,
}

/// The change that keeps what is remembered of one peer.
#[must_use]
pub fn change(node: &NodeId, shown: &[(DirectoryId, Shown)]) -> Change {
    let entries = shown.iter().map(|(directory, shown)| Stored {
        directory: directory.0,
        number: shown.number.0,
        run: shown.run.0,
        ceiling: shown.ceiling.0,
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
        let Stored { directory, number, run, ceiling, order } = stored;
        let shown = Shown { number: RunNumber(number), run: RunId(run), ceiling: Hlc(ceiling), order };
        (node.clone(), DirectoryId(directory), shown)
    };
    Ok(entries.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;
    use neap_protocol::membership::Presented;

    #[test]
    fn what_is_remembered_of_peers_comes_back_as_it_was_stored() {
        let mut known = KnownIdentities::default();
        let store = MemoryStore::new();
        for (name, directory) in [("n2", u64::MAX), ("n2", 4), ("n3", 7)] {
            let node = NodeId::new(name).unwrap();
            let (number, history) = (RunNumber(7), vec![RunId(u64::MAX), RunId(2)]);
            let found_ceiling = Hlc(u64::MAX - 1);
            let directory = DirectoryId(directory);
            known.learn(&node, &Presented { directory, number, history, found_ceiling });
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
            let shown = Shown { number: RunNumber(1), run: RunId(1), ceiling: Hlc(1), order: 0 };
            store.apply(vec![change(&NodeId::new(name).unwrap(), &[(DirectoryId(1), shown)])]).unwrap();
        }
        assert!(store.corrupt(Table::Meta, b"peer/n2"));
        let mut damages = 0;
        let known = load(&store, &mut |_| damages += 1).unwrap();
        let nodes: Vec<_> = known.iter().map(|(node, ..)| node.as_str()).collect();
        assert_eq!((damages, nodes), (1, vec!["n3"]));
    }
}
