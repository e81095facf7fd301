//! The settings of all buckets, as one node knows them.

use std::collections::BTreeMap;

use crate::bucket::{BucketSettings, SettingsVersion};
use crate::ids::BucketName;

/// A bucket's settings as they are stored and sent.
pub type StoredSettings = (BucketName, BucketSettings, SettingsVersion);

/// The settings of every bucket: of those that were ever set, and the defaults of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketTable {
    defaults: (BucketSettings, SettingsVersion),
    set: BTreeMap<BucketName, (BucketSettings, SettingsVersion)>,
}

impl BucketTable {
    /// `defaults`, and what was set.
    #[must_use]
    pub fn new(defaults: BucketSettings, set: impl IntoIterator<Item = StoredSettings>) -> Self {
        let set = set.into_iter().map(|(bucket, settings, version)| (bucket, (settings, version)));
        Self { defaults: (defaults, SettingsVersion::DEFAULTS), set: set.collect() }
    }

    fn entry(&self, bucket: &BucketName) -> &(BucketSettings, SettingsVersion) {
        self.set.get(bucket).unwrap_or(&self.defaults)
    }

    /// The settings of a bucket.
    #[must_use]
    pub fn settings(&self, bucket: &BucketName) -> &BucketSettings {
        &self.entry(bucket).0
    }

    /// Their version.
    #[must_use]
    pub fn version(&self, bucket: &BucketName) -> &SettingsVersion {
        &self.entry(bucket).1
    }

    /// The settings of buckets that were never set.
    #[must_use]
    pub fn defaults(&self) -> &BucketSettings {
        &self.defaults.0
    }

    /// All that were ever set, by name.
    #[must_use]
    pub fn all(&self) -> Vec<StoredSettings> {
        let set = self.set.iter();
        set.map(|(bucket, (settings, version))| (bucket.clone(), settings.clone(), version.clone())).collect()
    }

    /// How many were ever set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether none was ever set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// For each N in use, the lowest `w_min` that any bucket of it has.
    #[must_use]
    pub fn lowest_w_min(&self) -> BTreeMap<u8, u8> {
        let mut lowest = BTreeMap::new();
        for (settings, _) in self.set.values().chain([&self.defaults]) {
            let w_min = lowest.entry(settings.quorum.n).or_insert(settings.w_min);
            *w_min = settings.w_min.min(*w_min);
        }
        lowest
    }

    pub(super) fn put(&mut self, (bucket, settings, version): StoredSettings) {
        self.set.insert(bucket, (settings, version));
    }
}
