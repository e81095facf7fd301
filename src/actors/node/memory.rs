//! Memory: the bound on it, and the shares of those who fill it. Where a share is used up, work is refused.

use std::path::{Path, PathBuf};

use crate::actors::placement::Placement;
use crate::storage::StoreBounds;

/// The memory of a node for which nobody set a limit.
const WITHOUT_LIMIT: u64 = 1 << 30;
/// The share of the cgroup's limit, in percent. The rest is for what is not counted: the program itself, its threads, what the
/// allocator keeps, tables' filters and indexes.
const OF_CGROUP: u64 = 60;

/// Shares of `limits.memory`, in percent. What is left is for operations under way.
const MEMTABLES: u64 = 40;
const BODIES: u64 = 14;
const ANSWERS: u64 = 8;
const BLOCKS: u64 = 6;
const RECORDS: u64 = 3;
const PEERS: u64 = 25;

/// Memtables in memory: one is written to, [`SEALED_MAX`](crate::storage::SEALED_MAX) wait for the disk, and one is on the disk
/// already, but fjall lets go of it only with the next.
const MEMTABLES_AT_ONCE: u64 = 5;
/// The least share of bodies: the largest batch, and a value.
const BODIES_MIN: u64 = 33 << 20;
/// The most of bodies, and of answers.
const EDGE_MAX: u64 = 256 << 20;

/// Shares of a node's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub bytes: u64,
    /// Resident bytes from which on requests are refused, whatever they are for.
    pub refuse_from: u64,
    /// Bodies of requests that are being received or carried out.
    pub bodies: usize,
    /// Large bodies of replies that clients have not taken.
    pub answers: usize,
    /// Records that a shard keeps decoded.
    pub records_of_shard: u64,
    /// Requests and answers of connections with peers.
    pub peers: usize,
    /// The store's caches and memtables.
    pub store: StoreBounds,
}

impl Memory {
    /// Shares `configured` bytes out, or what the cgroup allows.
    #[must_use]
    pub fn share(configured: Option<u64>, placement: Placement, store: StoreBounds) -> Self {
        let cgroup = cgroup_limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
        Self::of(configured, cgroup, placement, store)
    }

    fn of(configured: Option<u64>, cgroup: Option<u64>, placement: Placement, store: StoreBounds) -> Self {
        let bytes = configured.or(cgroup.map(|limit| limit / 100 * OF_CGROUP)).unwrap_or(WITHOUT_LIMIT);
        let percent = |share: u64| bytes / 100 * share;
        let usual = StoreBounds::default();
        let shards = u64::from(placement.shards.max(1));
        Self {
            bytes,
            // Half of what is not counted may be used for it.
            refuse_from: match cgroup {
                Some(limit) => bytes.midpoint(limit),
                None => bytes / 3 * 4,
            },
            bodies: size(percent(BODIES).clamp(BODIES_MIN, EDGE_MAX)),
            answers: size(percent(ANSWERS).min(EDGE_MAX)),
            records_of_shard: (percent(RECORDS) / shards).min(16 << 20),
            peers: size(percent(PEERS)),
            store: StoreBounds {
                block_cache: percent(BLOCKS).min(usual.block_cache),
                memtable: (percent(MEMTABLES) / MEMTABLES_AT_ONCE).min(usual.memtable),
                ..store
            },
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The least limit of the cgroups that this process is in, of either version; none where they have none.
fn cgroup_limit(of_process: &Path, mounted: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(of_process).ok()?;
    let limits = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            some if some.split(',').any(|name| name == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least_limit(&root, path, file)
    });
    limits.min()
}

/// The least that `file` says of a group and of those it is in. In a container the path may be that of the host, whose
/// groups are not to be seen: then the root is the container's own.
fn least_limit(root: &Path, path: &str, file: &str) -> Option<u64> {
    let below: PathBuf = Path::new(path).components().skip(1).collect();
    let groups = below.ancestors().map(|group| root.join(group).join(file));
    let limits = groups.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // Without a limit version 1 says the highest multiple of a page.
    limits.filter(|limit| *limit < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Placement = Placement { shards: 2, http_workers: 2 };

    fn of(configured: Option<u64>, cgroup: Option<u64>) -> Memory {
        Memory::of(configured, cgroup, TWO, StoreBounds::default())
    }

    #[test]
    fn memory_is_what_is_configured_or_a_share_of_the_cgroups_or_a_gibibyte() {
        assert_eq!(of(None, None).bytes, 1 << 30);
        assert_eq!(of(None, Some(400 << 20)).bytes >> 20, 240);
        assert_eq!(of(Some(300 << 20), Some(400 << 20)).bytes, 300 << 20);
        assert!(of(None, Some(400 << 20)).refuse_from < 400 << 20);
    }

    #[test]
    fn shares_come_to_no_more_than_all() {
        for mib in [192_u64, 230, 512, 1_024, 4_096, 65_536] {
            let memory = of(Some(mib << 20), None);
            let Memory { bodies, answers, records_of_shard, peers, store, .. } = memory;
            let sum = (bodies + answers + peers) as u64
                + 2 * records_of_shard
                + store.block_cache
                + MEMTABLES_AT_ONCE * store.memtable;
            assert!(sum <= memory.bytes, "{} of {mib} MiB: {memory:?}", sum >> 20);
        }
        let plenty = of(Some(1 << 40), None);
        assert_eq!(plenty.store, StoreBounds::default());
    }

    #[test]
    fn limits_of_both_versions_and_of_groups_above_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let (process, mounted) = (directory.path().join("cgroup"), directory.path().join("mounted"));
        let limit = |group: &str, file: &str, text: &str| {
            let group = mounted.join(group);
            std::fs::create_dir_all(&group).unwrap();
            std::fs::write(group.join(file), text).unwrap();
        };
        assert_eq!(cgroup_limit(&process, &mounted), None);
        std::fs::write(&process, "4:memory:/docker/x\n3:cpu:/\n0::/a/b\n").unwrap();
        assert_eq!(cgroup_limit(&process, &mounted), None);
        limit("a/b", "memory.max", "max\n");
        limit("memory", "memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(cgroup_limit(&process, &mounted), None);
        limit("a", "memory.max", "500000000\n");
        assert_eq!(cgroup_limit(&process, &mounted), Some(500_000_000));
        limit("memory", "memory.limit_in_bytes", "400000000\n");
        assert_eq!(cgroup_limit(&process, &mounted), Some(400_000_000));
        limit("memory/docker/x", "memory.limit_in_bytes", "300000000\n");
        assert_eq!(cgroup_limit(&process, &mounted), Some(300_000_000));
    }
}
