//! Keys that are read and not shown: however many there are, each page costs little, and goes on.

use std::cell::Cell;

use neap::protocol::causality::Version;
use neap::protocol::listing::LOOKS_MAX;

use super::*;

/// Dead keys before the living: more than any page looks at.
const DEAD: u32 = 1_000_000;
const LIVING: u32 = 10;

fn key(number: u32) -> Key {
    Key::new(format!("key-{number:07}"))
}

fn number(key: &Key) -> Option<u32> {
    std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix("key-")?.parse().ok()
}

fn state(body: Body) -> Object {
    let dot = Dot { actor: ActorId(1), counter: 1 };
    let version = Version {
        dot,
        hlc: Hlc::from_wall(WallMicros(5)),
        w: 2,
        write_id: WriteId(1),
        named: false,
        past: Default::default(),
        gapless: true,
        created: false,
        body,
    };
    let mut context = neap::protocol::causality::CausalContext::new();
    context.add_up_to(dot.actor, dot.counter);
    Object::from_parts(context, vec![version], Vec::new())
}

fn value(expires_at: Option<WallMicros>) -> Body {
    Body::Value(Value { content_type: None, bytes: Bytes::from_static(b"v"), expires_at })
}

/// A node that holds [`DEAD`] keys of one state and then [`LIVING`] of another.
struct Graveyard {
    /// The numbers of the keys of each partition, in order.
    numbers: Vec<Vec<u32>>,
    dead: Object,
    living: Object,
    looked: Cell<usize>,
    /// Reads after which it has no more time.
    reads_left: Cell<usize>,
}

impl Graveyard {
    fn new(ring: &Ring, dead: Body) -> Self {
        let mut numbers = vec![Vec::new(); PARTITIONS as usize];
        for number in 0..DEAD + LIVING {
            numbers[ring.partition_of(&bucket(), &key(number)).0 as usize].push(number);
        }
        let (dead, living) = (state(dead), state(value(None)));
        Self { numbers, dead, living, looked: Cell::new(0), reads_left: Cell::new(usize::MAX) }
    }

    fn held(&self, number: u32) -> &Object {
        if number < DEAD { &self.dead } else { &self.living }
    }
}

impl ListHost for Graveyard {
    fn records(
        &self,
        partition: PartitionId,
        range: &KeyRange,
        after: &Key,
        each: &mut dyn FnMut(ReadRecord) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        self.reads_left.set(self.reads_left.get().saturating_sub(1));
        let numbers = &self.numbers[partition.0 as usize];
        let from = number(after).map_or(0, |after| numbers.partition_point(|number| *number <= after));
        for &number in &numbers[from..] {
            let key = key(number);
            if !key.as_bytes().starts_with(&range.prefix) {
                continue;
            }
            self.looked.set(self.looked.get() + 1);
            let object = Some(self.held(number).clone());
            if each(ReadRecord { key, object, bytes: 100 }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn record(&self, _: PartitionId, _: &BucketName, key: &Key) -> Result<Option<ReadRecord>, Refusal> {
        let held = number(key).map(|number| self.held(number).clone());
        Ok(held.map(|object| ReadRecord { key: key.clone(), object: Some(object), bytes: 100 }))
    }

    fn serves(&self, _: PartitionId) -> bool {
        true
    }

    fn is_late(&self) -> bool {
        self.reads_left.get() == 0
    }
}

fn page_of(ring: &Ring, host: &Graveyard, request: &PageRequest) -> Result<KeyPage, Refusal> {
    let (me, buckets) = (ring.members()[0].id.clone(), BucketTable::new(settings(3, 2), []));
    list_page(View { me: &me, ring, buckets: &buckets }, host, request)
}

#[test]
fn a_million_dead_keys_before_ten_that_live_cost_bounded_pages_and_nothing_on_the_way() {
    let ring = ring(3);
    for dead in [Body::Tombstone, value(Some(NOW))] {
        // All nodes hold the same.
        let host = Graveyard::new(&ring, dead);
        let mut listing = Listing::new(&ring, settings(3, 2), range(b"", b""), 1_000, TIMES).unwrap();
        let mut request = listing.ask(&ring, BEGAN);
        let (mut pages, mut sent) = (0, 0);
        let reply = 'all: loop {
            host.looked.set(0);
            let page = page_of(&ring, &host, &request).unwrap();
            pages += 1;
            sent += page.entries.len();
            assert!(host.looked.get() <= 2 * LOOKS_MAX + PARTITIONS as usize, "{}", host.looked.get());
            for node in 0..2 {
                let id = ring.members()[node].id.clone();
                match listing.answered(&ring, BEGAN, &id, Ok(page.clone())) {
                    Next::Wait => {}
                    Next::Ask(next) => request = next,
                    Next::AskStates(asks) => panic!("the replicas hold the same: {asks:?}"),
                    Next::Tell(reply) => break 'all reply.unwrap(),
                }
            }
        };
        assert_eq!(names(&reply), (DEAD..DEAD + LIVING).map(|n| format!("key-{n:07}")).collect::<Vec<_>>());
        assert_eq!(reply.more_after, None);
        assert_eq!(sent, LIVING as usize, "the dead do not travel");
        assert!(pages <= 100, "{pages}");
    }
}

#[test]
fn a_page_that_is_late_ends_with_what_it_has_and_still_goes_on() {
    let ring = ring(3);
    let host = Graveyard::new(&ring, Body::Tombstone);
    let mut request = PageRequest { range: range(b"", b""), n: 3, now: NOW, max_keys: 5, max_bytes: 9_999 };
    let mut last = None;
    for _ in 0..20 {
        // Time for one read of each partition, and no more.
        host.reads_left.set(PARTITIONS as usize + 1);
        host.looked.set(0);
        let page = page_of(&ring, &host, &request).unwrap();
        assert!(page.entries.is_empty() && page.through > last, "{:?} after {last:?}", page.through);
        last = page.through;
        request.range.after = Bytes::copy_from_slice(last.as_ref().unwrap().as_bytes());
    }
    host.reads_left.set(PARTITIONS as usize - 1);
    assert_eq!(page_of(&ring, &host, &request), Err(Refusal::Deadline), "not each partition was looked into");
}

/// A cluster of three in which the first two hold the keys' deletes, and the third still holds their values.
fn third_missed_the_deletes(keys: u32) -> Cluster {
    let mut cluster = Cluster::new(3, 3, 2);
    for number in 0..keys + LIVING {
        let step = Step { key: key(number).as_bytes().to_vec(), at: 0, what: 0, to: 7 };
        write(&mut cluster, &step, u64::from(number) * 2 + 1);
        if number < keys {
            let key = key(number);
            let preference = cluster.homes(&key);
            let keeps = preference.iter().position(|node| *node == 2).unwrap();
            let at = preference.iter().position(|node| *node == 0).unwrap();
            let step = Step { key: key.as_bytes().to_vec(), at, what: 5, to: 7 & !(1 << keeps) };
            write(&mut cluster, &step, u64::from(number) * 2 + 2);
        }
    }
    cluster
}

#[test]
fn what_one_replica_lacks_the_delete_of_is_not_listed_whatever_the_limit() {
    let cluster = third_missed_the_deletes(60);
    let living: Vec<String> = (60..60 + LIVING).map(|n| format!("key-{n:07}")).collect();
    for order in [[2, 0, 1], [0, 2, 1], [1, 0, 2]] {
        for limit in [1, 3, 1_000] {
            let (mut listed, mut range) = (Vec::new(), range(b"", b""));
            loop {
                let page = cluster.list(&order, &[1_000], range.clone(), limit).unwrap();
                assert!(page.keys.len() <= limit);
                listed.extend(names(&page));
                let Some(after) = page.more_after else { break };
                range.after = after;
            }
            assert_eq!(listed, living, "{order:?}, {limit} a page");
        }
    }
}

#[test]
fn hidden_keys_do_not_cost_a_round_each() {
    let cluster = third_missed_the_deletes(60);
    let mut listing = Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 1, TIMES).unwrap();
    let mut request = listing.ask(&cluster.ring, BEGAN);
    assert_eq!(request.max_keys, 2);
    for round in 1.. {
        assert!(round <= 3, "it asks for few keys again and again");
        listing.answered(&cluster.ring, BEGAN, &cluster.id(0), cluster.page(0, &request));
        let next = listing.answered(&cluster.ring, BEGAN, &cluster.id(2), cluster.page(2, &request));
        let Next::AskStates(asks) = next else { panic!("{next:?}") };
        let [(NodeIndex(0), ask)] = asks.as_slice() else { panic!("{asks:?}") };
        match listing.states_answered(&cluster.ring, BEGAN, &cluster.id(0), cluster.states(0, ask)) {
            Next::Ask(next) => request = next,
            Next::Tell(reply) => {
                assert_eq!(names(&reply.unwrap()), ["key-0000060"]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_node_that_does_not_tell_its_states_counts_no_more_and_another_stands_in() {
    let cluster = third_missed_the_deletes(2);
    let begin = || Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 100, TIMES).unwrap();
    let answer = |listing: &mut Listing, node: usize, request: &PageRequest| {
        listing.answered(&cluster.ring, BEGAN, &cluster.id(node), cluster.page(node, request))
    };
    let refuse = |listing: &mut Listing, node: usize| {
        listing.states_answered(&cluster.ring, BEGAN, &cluster.id(node), Err(Refusal::NoAnswer))
    };
    let mut listing = begin();
    let request = listing.ask(&cluster.ring, BEGAN);
    answer(&mut listing, 0, &request);
    assert!(matches!(answer(&mut listing, 2, &request), Next::AskStates(_)));
    assert_eq!(refuse(&mut listing, 0), Next::Wait, "another page is to come");
    let Next::AskStates(asks) = answer(&mut listing, 1, &request) else { panic!("no states are asked for") };
    let [(NodeIndex(1), ask)] = asks.as_slice() else { panic!("{asks:?}") };
    let told = listing.states_answered(&cluster.ring, BEGAN, &cluster.id(1), cluster.states(1, ask));
    let Next::Tell(Ok(reply)) = told else { panic!("{told:?}") };
    assert_eq!(reply.keys.len(), LIVING as usize);

    let mut listing = begin();
    let request = listing.ask(&cluster.ring, BEGAN);
    answer(&mut listing, 0, &request);
    answer(&mut listing, 2, &request);
    let gone = listing.answered(&cluster.ring, BEGAN, &cluster.id(1), Err(Refusal::NotSent));
    assert_eq!(gone, Next::Wait);
    let refused = refuse(&mut listing, 0);
    assert!(matches!(refused, Next::Tell(Err(ListError::Lacking { lacking: 16, .. }))), "{refused:?}");
}

#[test]
fn a_page_that_ends_early_holds_nobody_up_where_others_go_further() {
    let cluster = third_missed_the_deletes(8);
    let mut listing = Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 100, TIMES).unwrap();
    let request = listing.ask(&cluster.ring, BEGAN);
    let short = KeyPage { entries: Vec::new(), through: Some(key(0)) };
    listing.answered(&cluster.ring, BEGAN, &cluster.id(1), Ok(short));
    let next = listing.answered(&cluster.ring, BEGAN, &cluster.id(2), cluster.page(2, &request));
    let Next::AskStates(asks) = next else { panic!("{next:?}") };
    assert_eq!(asks[0].1.keys, [key(0)], "as far as both speak");
    let next = listing.answered(&cluster.ring, BEGAN, &cluster.id(0), cluster.page(0, &request));
    let Next::AskStates(more) = next else { panic!("{next:?}") };
    let next = listing.states_answered(&cluster.ring, BEGAN, &cluster.id(0), cluster.states(0, &more[0].1));
    assert_eq!(next, Next::Wait);
    let told = listing.states_answered(&cluster.ring, BEGAN, &cluster.id(1), cluster.states(1, &asks[0].1));
    let Next::Tell(Ok(reply)) = told else { panic!("{told:?}") };
    assert_eq!((reply.keys.len(), reply.more_after), (LIVING as usize, None));
}

#[test]
fn a_listing_tells_what_it_has_once_there_is_no_time_for_another_round() {
    let ring = ring(3);
    let mut listing = Listing::new(&ring, settings(3, 2), range(b"", b""), 9, TIMES).unwrap();
    let dead = |through: u32| KeyPage { entries: Vec::new(), through: Some(key(through)) };
    let mut now = BEGAN;
    let mut answer = |listing: &mut Listing, through: u32, took_us: u64| {
        now = now.plus_micros(took_us);
        for node in 0..2 {
            let id = ring.members()[node].id.clone();
            match listing.answered(&ring, now, &id, Ok(dead(through))) {
                Next::Wait => {}
                other => return other,
            }
        }
        panic!("it waits");
    };
    listing.ask(&ring, BEGAN);
    let next = answer(&mut listing, 5, 900_000);
    let Next::Ask(request) = next else { panic!("{next:?}") };
    assert_eq!(&request.range.after[..], key(5).as_bytes());
    // 200 ms are left, and a round takes 900.
    let told = answer(&mut listing, 7, 900_000);
    let more_after = Some(Bytes::copy_from_slice(key(7).as_bytes()));
    assert_eq!(told, Next::Tell(Ok(ListReply { keys: Vec::new(), more_after })));
}

#[test]
fn a_round_that_fails_costs_nothing_of_what_earlier_ones_brought() {
    let cluster = full(&["a", "b", "c"]);
    let mut listing = Listing::new(&cluster.ring, settings(3, 2), range(b"", b""), 9, TIMES).unwrap();
    let request = PageRequest { max_keys: 2, ..listing.ask(&cluster.ring, BEGAN) };
    for node in 0..2 {
        listing.answered(&cluster.ring, BEGAN, &cluster.id(node), cluster.page(node, &request));
    }
    let refuse = |listing: &mut Listing, node: usize| {
        listing.answered(&cluster.ring, BEGAN, &cluster.id(node), Err(Refusal::Deadline))
    };
    assert_eq!((refuse(&mut listing, 0), refuse(&mut listing, 1)), (Next::Wait, Next::Wait));
    let told = refuse(&mut listing, 2);
    let Next::Tell(Ok(reply)) = told else { panic!("{told:?}") };
    assert_eq!((names(&reply), reply.more_after.as_deref()), (vec!["a".into(), "b".into()], Some(&b"b"[..])));
}

#[test]
fn a_page_that_gets_nowhere_is_none() {
    let ring = ring(3);
    let mut listing = Listing::new(&ring, settings(3, 2), range(b"", b"m"), 9, TIMES).unwrap();
    listing.ask(&ring, BEGAN);
    for node in 0..3 {
        let id = ring.members()[node].id.clone();
        let nowhere = KeyPage { entries: Vec::new(), through: Some(Key::new("m")) };
        let next = listing.answered(&ring, BEGAN, &id, Ok(nowhere));
        let over = matches!(next, Next::Tell(Err(ListError::Lacking { lacking: 16, .. })));
        assert_eq!(over, node == 2, "{next:?}");
    }
}

#[test]
fn what_lies_before_a_record_that_is_damaged_everywhere_is_told() {
    let mut cluster = full(&["a", "b", "c"]);
    for node in [0, 1] {
        let place = (cluster.ring.partition_of(&bucket(), &Key::new("b")), Key::new("b"));
        cluster.disks[node].records.insert(place, None);
    }
    let reply = cluster.list(&[0, 1, 2], &[9], range(b"", b""), 9).unwrap();
    assert_eq!((names(&reply), reply.more_after.as_deref()), (vec!["a".to_owned()], Some(&b"a"[..])));
    let refused = cluster.list(&[0, 1, 2], &[9], range(b"", b"a"), 9).unwrap_err();
    assert!(matches!(refused, ListError::Lacking { lacking: 1, .. }), "{refused:?}");
}
