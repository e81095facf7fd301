//! Records that were read or written lately, in memory: most operations are about few keys, and a tree on disk looks
//! through its levels for each.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::objects::{self, Damage};
use super::{Store, StoreError, record};
use neap_protocol::causality::Object;
use neap_protocol::replica::{Held, LackingObject};

/// What each record takes beside its bytes, about.
const OVERHEAD: usize = 128;
/// Of what size records are taken to be, to begin with.
const USUAL_BYTES: u64 = 512;

/// The records of keys that one owner alone writes. Whoever else writes them to the store makes this wrong.
#[derive(Debug)]
pub struct RecentRecords {
    cache: Cache<Bytes, Bytes, Bytewise>,
}

#[derive(Debug, Clone)]
struct Bytewise;

impl Weighter<Bytes, Bytes> for Bytewise {
    fn weight(&self, key: &Bytes, record: &Bytes) -> u64 {
        (key.len() + record.len() + OVERHEAD) as u64
    }
}

impl RecentRecords {
    /// None yet, and never more than so many bytes of them.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let records = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        Self { cache: Cache::with_weighter(records, bytes, Bytewise) }
    }

    /// What [`objects::read`] gives. `asked` is called if the store had to be.
    pub fn read(
        &mut self,
        store: &dyn Store,
        key: &Bytes,
        asked: impl FnOnce(),
    ) -> Result<Result<Held, Damage>, StoreError> {
        if let Some(record) = self.cache.get(key) {
            return Ok(record::decode(key, record.clone()).map_err(Damage::from));
        }
        asked();
        let read = objects::read_record(store, key)?;
        let Ok(Some((record, held))) = read else { return Ok(read.map(|_| Held::Nothing)) };
        // It may share the memory of the block that it was found in, which is not to be kept for its sake.
        self.cache.insert(key.clone(), Bytes::copy_from_slice(&record));
        Ok(Ok(held))
    }

    /// Does what [`objects::write`] does.
    pub fn write(&mut self, store: &dyn Store, key: &Bytes, object: &Object) -> Result<(), StoreError> {
        self.write_record(store, key, record::encode(key, object))
    }

    /// Does what [`objects::write_lacking`] does.
    pub fn write_lacking(
        &mut self,
        store: &dyn Store,
        key: &Bytes,
        object: &LackingObject,
    ) -> Result<(), StoreError> {
        self.write_record(store, key, record::encode_lacking(key, object))
    }

    fn write_record(&mut self, store: &dyn Store, key: &Bytes, record: Bytes) -> Result<(), StoreError> {
        match objects::write_record(store, key, record.clone()) {
            Ok(()) => self.cache.insert(key.clone(), record),
            Err(error) => {
                // What is on disk now is not certain.
                self.cache.remove(key);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::MemoryStore;
    use neap_protocol::causality::CausalContext;
    use neap_protocol::ids::ActorId;

    fn object(counter: u64) -> Object {
        Object::from_parts(CausalContext::from_parts([(ActorId(1), counter)], []), Vec::new(), Vec::new())
    }

    fn key(name: &str) -> Bytes {
        Bytes::copy_from_slice(name.as_bytes())
    }

    fn read(
        recent: &mut RecentRecords,
        store: &MemoryStore,
        name: &str,
        asked: &Cell<u64>,
    ) -> Option<Object> {
        recent.read(store, &key(name), || asked.set(asked.get() + 1)).unwrap().unwrap().object()
    }

    #[test]
    fn what_was_read_or_written_lately_is_not_asked_of_the_store_again() {
        let (store, asked) = (MemoryStore::new(), Cell::<u64>::default());
        objects::write(&store, &key("a"), &object(1)).unwrap();
        let mut recent = RecentRecords::new(1 << 20);
        for _ in 0..3 {
            assert_eq!(read(&mut recent, &store, "a", &asked), Some(object(1)));
            assert_eq!(read(&mut recent, &store, "none", &asked), None);
        }
        assert_eq!(asked.get(), 1 + 3, "that there is none is asked each time");
        recent.write(&store, &key("a"), &object(2)).unwrap();
        assert_eq!(read(&mut recent, &store, "a", &asked), Some(object(2)));
        let stored = objects::read(&store, &key("a")).unwrap().unwrap();
        assert_eq!(stored, Held::Object(object(2)), "and it is in the store");
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn what_lacks_something_is_known_to_until_it_is_written_whole() {
        let (store, mut recent) = (MemoryStore::new(), RecentRecords::new(1 << 20));
        let lacking = LackingObject { object: object(1), lacks: object(2).context().clone() };
        recent.write_lacking(&store, &key("a"), &lacking).unwrap();
        let lacking = Held::Lacking(lacking);
        assert_eq!(recent.read(&store, &key("a"), || {}).unwrap().unwrap(), lacking);
        assert_eq!(RecentRecords::new(1 << 20).read(&store, &key("a"), || {}).unwrap().unwrap(), lacking);
        recent.write(&store, &key("a"), &object(2)).unwrap();
        assert_eq!(recent.read(&store, &key("a"), || {}).unwrap().unwrap(), Held::Object(object(2)));
    }

    #[test]
    fn what_could_not_be_written_is_not_remembered() {
        let (store, asked) = (MemoryStore::new(), Cell::<u64>::default());
        let mut recent = RecentRecords::new(1 << 20);
        recent.write(&store, &key("a"), &object(1)).unwrap();
        store.set_full(true);
        assert!(recent.write(&store, &key("a"), &object(2)).is_err());
        store.set_full(false);
        assert_eq!(read(&mut recent, &store, "a", &asked), Some(object(1)));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (store, asked) = (MemoryStore::new(), Cell::<u64>::default());
        let mut recent = RecentRecords::new(64 * 1024);
        for counter in 1..=2_000u64 {
            recent.write(&store, &key(&format!("{counter}")), &object(counter)).unwrap();
        }
        assert!(recent.cache.weight() <= 64 * 1024, "{}", recent.cache.weight());
        for counter in 1..=2_000u64 {
            assert_eq!(read(&mut recent, &store, &format!("{counter}"), &asked), Some(object(counter)));
        }
        assert!(asked.get() > 1_000, "{}", asked.get());
    }
}
