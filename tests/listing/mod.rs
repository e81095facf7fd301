//! Listing keys: however the states of keys are spread over their homes, and however they are paged.

mod dead;
mod token;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use bytes::Bytes;
use neap::protocol::admission::BucketWeight;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution};
use neap::protocol::causality::{Body, Intent, Mode, Object, Value, shown};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, PartitionId, WriteId};
use neap::protocol::listing::{
    KeyPage, KeyRange, ListError, ListHost, ListReply, ListTimes, Listing, Next, PageRequest, ReadRecord,
    StatesRequest, just_before, list_page, list_states,
};
use neap::protocol::message::Refusal;
use neap::protocol::quorum::Quorum;
use neap::protocol::ring::{Member, NodeIndex, Ring, Weight};
use neap::protocol::settings::BucketTable;
use neap::protocol::time::{Hlc, Moment, WallMicros};
use neap::protocol::view::View;
use proptest::prelude::*;

const NOW: WallMicros = WallMicros(1_000_000);
/// The monotonic clock stands still, unless a test moves it.
const BEGAN: Moment = Moment(1_000);
const TIMES: ListTimes = ListTimes { began: NOW, deadline: Moment(2_001_000) };
const PARTITIONS: u32 = 16;

fn bucket() -> BucketName {
    BucketName::new("b").unwrap()
}

fn settings(n: u8, r: u8) -> BucketSettings {
    BucketSettings {
        quorum: Quorum { n, r, w: 1 },
        w_min: 1,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max: 100,
        weight: BucketWeight::ONE,
        sloppy: false,
        read_repair: ReadRepair::Off,
        ttl_us: None,
    }
}

fn ring(members: u8) -> Ring {
    let member = |at| Member {
        id: NodeId::new(&format!("n{at}")).unwrap(),
        zone: "a".to_owned(),
        weight: Weight::new(1.0).unwrap(),
        address: "x:1".to_owned(),
    };
    Ring::founders(PARTITIONS, (0..members).map(member).collect()).unwrap()
}

/// What one node holds.
#[derive(Clone, Default)]
struct Disk {
    records: BTreeMap<(PartitionId, Key), Option<Object>>,
    incomplete: bool,
    late: bool,
}

impl ListHost for Disk {
    fn records(
        &self,
        partition: PartitionId,
        range: &KeyRange,
        after: &Key,
        each: &mut dyn FnMut(ReadRecord) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let of_partition = self.records.iter().filter(|((of, key), _)| {
            *of == partition && key > after && key.as_bytes().starts_with(&range.prefix)
        });
        for ((_, key), object) in of_partition {
            if each(ReadRecord { key: key.clone(), object: object.clone(), bytes: 100 }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn record(
        &self,
        partition: PartitionId,
        _: &BucketName,
        key: &Key,
    ) -> Result<Option<ReadRecord>, Refusal> {
        let held = self.records.get(&(partition, key.clone()));
        Ok(held.map(|object| ReadRecord { key: key.clone(), object: object.clone(), bytes: 100 }))
    }

    fn serves(&self, _: PartitionId) -> bool {
        !self.incomplete
    }

    fn is_late(&self) -> bool {
        self.late
    }
}

struct Cluster {
    ring: Ring,
    buckets: BucketTable,
    disks: Vec<Disk>,
    n: u8,
    r: u8,
}

impl Cluster {
    fn new(members: u8, n: u8, r: u8) -> Self {
        let disks = vec![Disk::default(); usize::from(members)];
        let (ring, buckets) = (ring(members), BucketTable::new(settings(n, r), []));
        Self { ring, buckets, disks, n, r }
    }

    fn id(&self, node: usize) -> NodeId {
        self.ring.members()[node].id.clone()
    }

    fn homes(&self, key: &Key) -> Vec<usize> {
        let partition = self.ring.partition_of(&bucket(), key);
        self.ring.homes(partition, self.n).iter().map(|home| usize::from(home.0)).collect()
    }

    fn merge(&mut self, node: usize, key: &Key, object: &Object) {
        let place = (self.ring.partition_of(&bucket(), key), key.clone());
        let held = self.disks[node].records.entry(place).or_insert_with(|| Some(Object::new()));
        if let Some(held) = held {
            held.merge(object, Hlc::ZERO);
        }
    }

    fn held(&self, node: usize, key: &Key) -> Option<&Object> {
        let place = (self.ring.partition_of(&bucket(), key), key.clone());
        self.disks[node].records.get(&place).and_then(Option::as_ref)
    }

    fn page(&self, node: usize, request: &PageRequest) -> Result<KeyPage, Refusal> {
        let me = self.id(node);
        list_page(View { me: &me, ring: &self.ring, buckets: &self.buckets }, &self.disks[node], request)
    }

    fn states(&self, node: usize, request: &StatesRequest) -> Result<KeyPage, Refusal> {
        let me = self.id(node);
        list_states(View { me: &me, ring: &self.ring, buckets: &self.buckets }, &self.disks[node], request)
    }

    /// Those of `order` whose answers are enough, which are the first of them.
    fn enough(&self, order: &[usize]) -> Option<BTreeSet<usize>> {
        let covered = |nodes: &BTreeSet<usize>| {
            (0..PARTITIONS).all(|partition| {
                let homes = self.ring.homes(PartitionId(partition), self.n).iter();
                homes.filter(|home| nodes.contains(&usize::from(home.0))).count() >= usize::from(self.r)
            })
        };
        (1..=order.len()).map(|count| order[..count].iter().copied().collect()).find(covered)
    }

    /// One page as a client gets it, where the nodes of `order` answer, in that order, and all others refuse. The
    /// page of each node may be shorter than what it was asked for.
    fn list(
        &self,
        order: &[usize],
        short: &[u32],
        range: KeyRange,
        limit: usize,
    ) -> Result<ListReply, ListError> {
        let mut listing = Listing::new(&self.ring, settings(self.n, self.r), range, limit, TIMES)?;
        let mut request = listing.ask(&self.ring, BEGAN);
        let mut rounds = 0;
        'rounds: loop {
            rounds += 1;
            assert!(rounds < 10_000, "it makes no progress");
            let others = (0..self.disks.len()).filter(|node| !order.contains(node));
            let answers = others.map(|node| (node, Err(Refusal::NotSent))).chain(order.iter().map(|&node| {
                let max_keys = request.max_keys.min(short[node % short.len()]);
                (node, self.page(node, &PageRequest { max_keys, ..request.clone() }))
            }));
            for (node, answer) in answers.collect::<Vec<_>>() {
                let mut next = listing.answered(&self.ring, BEGAN, &self.id(node), answer);
                let mut asks = VecDeque::new();
                loop {
                    match next {
                        Next::Wait => {}
                        Next::AskStates(more) => asks.extend(more),
                        Next::Tell(reply) => return reply,
                        Next::Ask(next) => {
                            request = next;
                            continue 'rounds;
                        }
                    }
                    let Some((NodeIndex(node), ask)) = asks.pop_front() else { break };
                    // An answer may be cut short as well.
                    let max_bytes = short[usize::from(node) % short.len()] * 40;
                    let answer = self.states(node.into(), &StatesRequest { max_bytes, ..ask });
                    next = listing.states_answered(&self.ring, BEGAN, &self.id(node.into()), answer);
                }
            }
            panic!("all have answered, and it waits");
        }
    }
}

fn range(prefix: &[u8], after: &[u8]) -> KeyRange {
    KeyRange {
        bucket: bucket(),
        prefix: Bytes::copy_from_slice(prefix),
        after: Bytes::copy_from_slice(after),
    }
}

/// A write at one home of a key, which then comes to some of the others.
#[derive(Debug, Clone)]
struct Step {
    key: Vec<u8>,
    at: usize,
    what: u8,
    to: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::collection::vec(prop::sample::select(vec![0, b'a', b'b', 0xff]), 1..4);
    (key, 0..3_usize, 0..6_u8, 0..8_u8).prop_map(|(key, at, what, to)| Step { key, at, what, to })
}

fn write(cluster: &mut Cluster, step: &Step, counter: u64) {
    let key = Key::new(step.key.clone());
    let homes = cluster.homes(&key);
    let home = homes[step.at % homes.len()];
    let mut object = cluster.held(home, &key).cloned().unwrap_or_default();
    let value = |expires_at| {
        let bytes = Bytes::from_static(b"v");
        Body::Value(Value { content_type: None, bytes, expires_at })
    };
    let (body, mode) = match step.what {
        0 | 1 => (value(None), Mode::Blind(BlindWrite::Overwrite)),
        2 => (value(None), Mode::Blind(BlindWrite::Sibling)),
        3 => (value(Some(NOW)), Mode::Blind(BlindWrite::Overwrite)),
        4 => (value(Some(WallMicros(NOW.0 + 1))), Mode::Blind(BlindWrite::Overwrite)),
        _ => (Body::Tombstone, Mode::Blind(BlindWrite::Overwrite)),
    };
    let (dot, hlc) = (Dot { actor: ActorId(home as u64), counter }, Hlc::from_wall(WallMicros(counter)));
    object.put(Intent {
        dot,
        hlc,
        w: 1,
        write_id: WriteId(u128::from(counter)),
        named: false,
        created: false,
        mode,
        body,
    });
    for (at, node) in homes.iter().enumerate() {
        if *node == home || step.to >> at & 1 == 1 {
            cluster.merge(*node, &key, &object);
        }
    }
}

/// All that may be said of the keys of a range where these nodes answer: of how many versions each is listed, 0 where it
/// is not. A page may speak for fewer keys than another, so any R or more of the homes that answer may have been joined.
fn truth(cluster: &Cluster, nodes: &BTreeSet<usize>, range: &KeyRange) -> BTreeMap<Key, BTreeSet<usize>> {
    let held = nodes.iter().flat_map(|&node| cluster.disks[node].records.keys());
    let of_range = held
        .map(|(_, key)| key)
        .filter(|key| key.as_bytes().starts_with(&range.prefix) && *key.as_bytes() > range.after[..]);
    let said = |key: &Key| {
        let homes: Vec<usize> = cluster.homes(key).into_iter().filter(|home| nodes.contains(home)).collect();
        let joined = |some: u32| {
            let mut joined = Object::new();
            for (_, &home) in homes.iter().enumerate().filter(|(at, _)| some >> at & 1 == 1) {
                joined.merge(cluster.held(home, key).unwrap_or(&Object::new()), Hlc::ZERO);
            }
            shown(&joined, Resolution::Siblings, NOW).versions().len()
        };
        let enough = |some: &u32| some.count_ones() >= u32::from(cluster.r);
        (0..1_u32 << homes.len()).filter(enough).map(joined).collect()
    };
    of_range.map(|key| (key.clone(), said(key))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_paging_of_any_split_over_the_homes_lists_what_they_hold_together(
        members in 3_u8..6,
        r in 1_u8..4,
        steps in prop::collection::vec(step(), 0..80),
        order in Just(vec![0_usize, 1, 2, 3, 4]).prop_shuffle(),
        answering in 0_usize..6,
        short in prop::collection::vec(1_u32..12, 5),
        limit in 1_usize..9,
        prefix in prop::collection::vec(prop::sample::select(vec![b'a', 0xff]), 0..2),
        start in prop::collection::vec(prop::sample::select(vec![0, b'a', 0xff]), 0..3),
    ) {
        let mut cluster = Cluster::new(members, 3, r);
        for (counter, step) in (1..).zip(&steps) {
            write(&mut cluster, step, counter);
        }
        let order: Vec<usize> =
            order.into_iter().filter(|&node| node < usize::from(members)).take(answering).collect();
        let mut range = range(&prefix, &just_before(&start));
        let Some(nodes) = cluster.enough(&order) else {
            let refused = cluster.list(&order, &short, range, limit);
            let lacks = matches!(refused, Err(ListError::Lacking { lacking: 1.., needed, .. }) if needed == r);
            prop_assert!(lacks, "{refused:?}");
            return Ok(());
        };
        let truth = truth(&cluster, &nodes, &range);
        let mut listed = BTreeMap::new();
        loop {
            let page = cluster.list(&order, &short, range.clone(), limit).unwrap();
            prop_assert!(page.keys.len() <= limit);
            let (before, on_page) = (listed.len(), page.keys.len());
            listed.extend(page.keys.into_iter().map(|listed| (listed.key, listed.versions)));
            prop_assert_eq!(listed.len(), before + on_page, "a key was listed twice");
            let Some(after) = page.more_after else { break };
            prop_assert!(after > range.after);
            range.after = after;
        }
        prop_assert!(listed.keys().all(|key| truth.contains_key(key)), "{listed:?}");
        for (key, said) in truth {
            let versions = listed.get(&key).copied().unwrap_or(0);
            prop_assert!(said.contains(&versions), "{key:?}: {versions} and not {said:?}");
        }
    }
}

fn full(keys: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(3, 3, 2);
    for (counter, key) in (1..).zip(keys) {
        write(&mut cluster, &Step { key: key.as_bytes().to_vec(), at: 0, what: 0, to: 7 }, counter);
    }
    cluster
}

fn names(reply: &ListReply) -> Vec<String> {
    reply.keys.iter().map(|listed| String::from_utf8(listed.key.as_bytes().to_vec()).unwrap()).collect()
}

#[test]
fn a_damaged_record_counts_for_nothing_and_another_home_stands_in() {
    let mut cluster = full(&["a", "b", "c"]);
    let damage = |cluster: &mut Cluster, node: usize| {
        let place = (cluster.ring.partition_of(&bucket(), &Key::new("b")), Key::new("b"));
        cluster.disks[node].records.insert(place, None);
    };
    damage(&mut cluster, 0);
    let list = |cluster: &Cluster, order: &[usize]| cluster.list(order, &[9], range(b"", b"a"), 9);
    assert_eq!(names(&list(&cluster, &[0, 1, 2]).unwrap()), ["b", "c"]);
    let lacking = list(&cluster, &[0, 1]).unwrap_err();
    assert!(
        matches!(lacking, ListError::Lacking { lacking: 1, partitions: 16, needed: 2, .. }),
        "{lacking:?}"
    );
    damage(&mut cluster, 2);
    assert!(list(&cluster, &[0, 1, 2]).is_err());
}

#[test]
fn a_node_that_may_lack_writes_or_is_late_makes_no_page() {
    let mut cluster = full(&["a"]);
    cluster.disks[0].incomplete = true;
    cluster.disks[1].late = true;
    let request = PageRequest { range: range(b"", b""), n: 3, now: NOW, max_keys: 9, max_bytes: 9_999 };
    assert_eq!(cluster.page(0, &request), Err(Refusal::Incomplete));
    assert_eq!(cluster.page(1, &request), Err(Refusal::Deadline));
    let refused = cluster.list(&[0, 1, 2], &[9], range(b"", b""), 9);
    assert!(matches!(refused, Err(ListError::Lacking { lacking: 16, .. })), "{refused:?}");
}

#[test]
fn a_page_holds_no_more_than_it_may_and_no_values() {
    let cluster = full(&["a", "b", "c", "d"]);
    let page = |max_keys, max_bytes| {
        let request = PageRequest { range: range(b"", b""), n: 3, now: NOW, max_keys, max_bytes };
        cluster.page(2, &request).unwrap()
    };
    assert_eq!((page(9, 0).entries.len(), page(9, 0).through), (1, Some(Key::new("a"))));
    assert_eq!((page(3, 9_999).entries.len(), page(3, 9_999).through), (3, Some(Key::new("c"))));
    assert_eq!((page(4, 9_999).entries.len(), page(4, 9_999).through), (4, None));
    for (_, object) in page(9, 9_999).entries {
        let object = object.unwrap();
        assert!(
            object
                .versions()
                .iter()
                .all(|version| matches!(&version.body, Body::Value(v) if v.bytes.is_empty()))
        );
    }
}

#[test]
fn the_deadline_tells_what_is_there_and_where_it_goes_on() {
    let cluster = full(&["a", "b", "c"]);
    let begin = || Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 9, TIMES).unwrap();
    let mut listing = begin();
    listing.ask(&cluster.ring, BEGAN);
    let nothing = listing.ended(&cluster.ring);
    assert!(matches!(nothing, Err(ListError::Deadline { lacking: 16, needed: 2, .. })), "{nothing:?}");
    let mut listing = begin();
    let request = PageRequest { max_keys: 2, ..listing.ask(&cluster.ring, BEGAN) };
    for node in 0..2 {
        let next = listing.answered(&cluster.ring, BEGAN, &cluster.id(node), cluster.page(node, &request));
        assert_eq!(matches!(next, Next::Ask(_)), node == 1);
    }
    let reply = listing.ended(&cluster.ring).unwrap();
    assert_eq!(
        (names(&reply), reply.more_after.as_deref()),
        (vec!["a".to_owned(), "b".to_owned()], Some(&b"b"[..]))
    );
}

#[test]
fn an_answer_of_an_earlier_round_or_twice_changes_nothing() {
    let cluster = full(&["a"]);
    let mut listing = Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 9, TIMES).unwrap();
    let request = listing.ask(&cluster.ring, BEGAN);
    for _ in 0..3 {
        assert_eq!(
            listing.answered(&cluster.ring, BEGAN, &cluster.id(0), cluster.page(0, &request)),
            Next::Wait
        );
    }
    let stranger = NodeId::new("x").unwrap();
    assert_eq!(listing.answered(&cluster.ring, BEGAN, &stranger, cluster.page(0, &request)), Next::Wait);
}

#[test]
fn a_bucket_of_more_homes_than_nodes_is_refused() {
    let refused = Listing::new(&ring(2), settings(3, 2), range(b"", b""), 9, TIMES).map(drop);
    assert_eq!(refused, Err(ListError::TooFewMembers { n: 3, members: 2 }));
}
