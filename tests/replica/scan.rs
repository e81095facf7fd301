//! What a page holds, and what it says of the rest.

use std::cell::Cell;

use bytes::Bytes;
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{BucketName, Key, PartitionId, WriteId};
use neap::protocol::message::{LeftOut, Refusal, ScanCursor, ScanPage};
use neap::protocol::replica::{Held, PageBounds, ScanFinding, ScanHost, ScannedRecord, scan_page};
use neap::protocol::time::Hlc;
use neap::protocol::view::View;

use super::{bench, dot};

/// Records in order, and how many were read.
struct Disk {
    records: Vec<Held>,
    read: Cell<usize>,
}

impl Disk {
    fn of(records: Vec<Held>) -> Self {
        Self { records, read: Cell::new(0) }
    }
}

impl ScanHost for Disk {
    fn records(
        &self,
        after: Option<&ScanCursor>,
        limit: usize,
        wanted: &mut dyn FnMut(PartitionId, &BucketName) -> bool,
    ) -> Result<Vec<ScannedRecord>, Refusal> {
        let from = after.map_or(0, |cursor| usize::from(cursor.0[0]) + 1);
        let bucket = BucketName::new("b").unwrap();
        let records = self.records.iter().enumerate().skip(from).take(limit).map(|(at, held)| {
            assert!(wanted(PartitionId(0), &bucket));
            self.read.set(self.read.get() + 1);
            ScannedRecord {
                cursor: ScanCursor(Bytes::from(vec![at as u8])),
                place: Some((PartitionId(0), bucket.clone(), Key::new(vec![at as u8]))),
                held: held.clone(),
            }
        });
        Ok(records.collect())
    }

    fn may_lack(&self) -> bool {
        false
    }
}

fn of_value(bytes: usize) -> Object {
    let mut object = Object::new();
    object.put(Intent {
        dot: dot(1),
        hlc: Hlc(1),
        w: 1,
        write_id: WriteId(1),
        named: false,
        created: true,
        mode: Mode::Blind(BlindWrite::Overwrite),
        body: Body::Value(Value { content_type: None, bytes: vec![0; bytes].into(), expires_at: None }),
    });
    object
}

fn page(disk: &Disk, after: Option<ScanCursor>, bounds: PageBounds) -> (ScanPage, Vec<ScanFinding>) {
    let bench = bench();
    let view = View { me: &bench.me, ring: &bench.ring, buckets: &bench.buckets };
    let mut findings = Vec::new();
    let page =
        scan_page(view, disk, &bench.me, after, bounds, &mut |finding| findings.push(finding)).unwrap();
    (page, findings)
}

/// All pages, one after the other: the keys that came, those that were left out, and what the last says.
fn pages(disk: &Disk, bounds: PageBounds) -> (Vec<Vec<u8>>, Vec<u8>, bool) {
    let (mut came, mut left_out, mut incomplete, mut after) = (Vec::new(), Vec::new(), false, None);
    loop {
        let (page, _) = page(disk, after, bounds);
        let bytes: usize = page.objects.iter().map(|(.., object)| object.message_bytes()).sum();
        assert!(bytes <= bounds.sendable_bytes, "a page of {bytes} bytes");
        came.push(page.objects.iter().map(|(_, key, _)| key.as_bytes()[0]).collect());
        left_out.extend(page.left_out.iter().map(|left_out| left_out.key.as_bytes()[0]));
        incomplete |= page.incomplete;
        after = page.next;
        if after.is_none() {
            return (came, left_out, incomplete);
        }
    }
}

#[test]
fn a_page_ends_before_an_object_that_would_make_it_larger_than_a_message() {
    let disk = Disk::of([900, 900, 1_500, 10, 10].map(of_value).map(Held::Object).to_vec());
    let sendable_bytes = of_value(1_500).message_bytes() + 100;
    let bounds = PageBounds { wanted_bytes: 10_000, sendable_bytes };
    let (came, left_out, incomplete) = pages(&disk, bounds);
    assert_eq!(came, [vec![0], vec![1], vec![2], vec![3, 4]]);
    assert_eq!((left_out, incomplete), (Vec::new(), false));
}

#[test]
fn an_object_that_is_too_large_to_be_sent_is_named_and_holds_up_nothing_else() {
    let records = [10, 5_000, 10].map(of_value).map(Held::Object);
    let disk = Disk::of(records.to_vec());
    let bounds = PageBounds { wanted_bytes: 10_000, sendable_bytes: 1_000 };
    let (found, findings) = page(&disk, None, bounds);
    assert_eq!(found.objects.len(), 2);
    let (bucket, key) = (BucketName::new("b").unwrap(), Key::new(vec![1]));
    let seen = of_value(5_000).context().clone();
    assert_eq!(found.left_out, [LeftOut { bucket, key, seen }]);
    assert!(!found.incomplete, "the page vouches for all that it does not name");
    match &findings[..] {
        [ScanFinding::TooLarge(large)] => {
            assert_eq!((large.key.as_bytes(), large.bytes > 5_000), (&[1][..], true));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(pages(&disk, bounds).1, [1]);
}

#[test]
fn what_a_node_was_itself_left_without_it_names_too_and_what_is_damaged_is_vouched_for_by_nobody() {
    let lacks = CausalContext::from_parts([], [dot(7)]);
    let lacking = Held::of(of_value(10), Some(lacks));
    let records = vec![lacking, Held::Object(of_value(10)), Held::Damaged];
    let bounds = PageBounds { wanted_bytes: 10_000, sendable_bytes: 5_000 };
    let (found, findings) = page(&Disk::of(records.clone()), None, bounds);
    assert_eq!((found.objects.len(), found.incomplete), (2, true), "what it has of it is sent");
    let [LeftOut { seen, .. }] = &found.left_out[..] else { panic!("{found:?}") };
    assert!(seen.covers(dot(7)) && seen.covers(dot(1)), "what it lacks, and what it holds: {seen:?}");
    assert!(matches!(&findings[..], [ScanFinding::Damaged(..)]), "{findings:?}");
    assert!(!page(&Disk::of(records[..2].to_vec()), None, bounds).0.incomplete);
}

#[test]
fn many_names_of_what_is_left_out_make_no_page_that_is_larger_than_a_message() {
    let disk = Disk::of(vec![Held::Object(of_value(5_000)); 200]);
    let bounds = PageBounds { wanted_bytes: 10_000, sendable_bytes: 1_000 };
    let (first, _) = page(&disk, None, bounds);
    assert!((5..50).contains(&first.left_out.len()), "{}", first.left_out.len());
    assert_eq!(pages(&disk, bounds).1, (0..200).collect::<Vec<u8>>());
}

#[test]
fn hardly_more_large_records_are_read_than_a_page_has_room_for() {
    let disk = Disk::of(vec![Held::Object(of_value(1_000)); 100]);
    let bounds = PageBounds { wanted_bytes: 1_000, sendable_bytes: 1_000_000 };
    let (came, ..) = pages(&disk, bounds);
    assert_eq!(came.concat().len(), 100);
    assert!(disk.read.get() <= 110, "{} records were read for 100", disk.read.get());
}
