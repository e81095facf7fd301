//! What nodes, buckets and keys are called.

use bytes::Bytes;

use super::network::NodeIndex;
use super::truth::KeyIndex;
use neap_protocol::ids::{BucketName, Key, NodeId};

/// The names of a world. Nodes are `n1` and so on, padded so that their order is that of their names.
#[derive(Debug)]
pub struct Names {
    nodes: Vec<NodeId>,
    buckets: Vec<BucketName>,
    keys_of_a_bucket: u32,
}

impl Names {
    /// Of so many nodes, buckets, and keys in each bucket.
    #[must_use]
    pub fn new(nodes: usize, buckets: usize, keys_of_a_bucket: u32) -> Self {
        let width = nodes.to_string().len();
        // Digits and letters make a name.
        let nodes =
            (1..=nodes).filter_map(|number| NodeId::new(&format!("n{number:0width$}")).ok()).collect();
        let buckets = (0..buckets).filter_map(|number| BucketName::new(&format!("b{number}")).ok()).collect();
        Self { nodes, buckets, keys_of_a_bucket }
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// A node's place.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<NodeIndex> {
        let number: usize = id.as_str().strip_prefix('n')?.parse().ok()?;
        number.checked_sub(1).filter(|index| *index < self.nodes.len())
    }

    /// A bucket's name, by the place of one of its keys.
    #[must_use]
    pub fn bucket_of(&self, key: KeyIndex) -> Option<&BucketName> {
        self.bucket(self.bucket_index(key))
    }

    /// The place of a key's bucket.
    #[must_use]
    pub fn bucket_index(&self, key: KeyIndex) -> usize {
        key.checked_div(self.keys_of_a_bucket).unwrap_or(0) as usize
    }

    /// A bucket's name.
    #[must_use]
    pub fn bucket(&self, index: usize) -> Option<&BucketName> {
        self.buckets.get(index)
    }

    /// A key's name.
    #[must_use]
    pub fn key(&self, key: KeyIndex) -> Key {
        Key::new(Bytes::from(format!("k{}", key.checked_rem(self.keys_of_a_bucket).unwrap_or(0))))
    }

    /// A key as people read it.
    #[must_use]
    pub fn shown(&self, key: KeyIndex) -> String {
        format!("b{}/k{}", self.bucket_index(key), key.checked_rem(self.keys_of_a_bucket).unwrap_or(0))
    }

    /// The place of a key.
    #[must_use]
    pub fn key_index(&self, bucket: &BucketName, key: &Key) -> Option<KeyIndex> {
        let bucket: u32 = bucket.as_str().strip_prefix('b')?.parse().ok()?;
        let digits = key.as_bytes().strip_prefix(b"k")?;
        let rank = digits.iter().try_fold(0_u32, |number, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            number.checked_mul(10)?.checked_add(digit)
        })?;
        bucket.checked_mul(self.keys_of_a_bucket)?.checked_add(rank)
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> KeyIndex {
        KeyIndex::try_from(self.buckets.len()).unwrap_or(0).saturating_mul(self.keys_of_a_bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        let names = Names::new(12, 3, 100);
        assert!(names.nodes().is_sorted());
        for (index, id) in names.nodes().iter().enumerate() {
            assert_eq!(names.node(id), Some(index));
        }
        for key in [0, 99, 100, 299] {
            let bucket = names.bucket_of(key).unwrap();
            assert_eq!(names.key_index(bucket, &names.key(key)), Some(key));
        }
        assert_eq!(names.shown(205), "b2/k5");
        assert_eq!(names.keys(), 300);
    }
}
