//! Bucket settings: the same on every member, the newest by (HLC, node id).

mod keeper;
mod table;

pub use keeper::{
    BUCKETS_MAX, NewBucket, SetBucketError, SettingsEffect, SettingsHost, SettingsKeeper, SettingsReply,
};
pub use table::{BucketTable, StoredSettings};
