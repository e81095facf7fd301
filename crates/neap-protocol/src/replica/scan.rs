//! A page of what a node holds, for a home that may lack it.

use super::effects::LargeObject;
use super::host::{Held, LackingObject, ScanHost};
use crate::causality::Object;
use crate::ids::{BucketName, Key, NodeId};
use crate::message::{LeftOut, Refusal, ScanCursor, ScanPage};
use crate::planted::{self, Bug};
use crate::view::View;

/// How many records a scan looks at before it answers, whether or not any was for the asker.
pub const SCAN_LOOKS_AT: usize = 4_096;
/// How many records are read at once, at the most.
const CHUNK: usize = 64;
/// Each time so many times as many as the time before are read, from one on: what a page has no room for is read in
/// vain, and may be large.
const CHUNK_GROWS: usize = 4;
/// What a name or a length takes beside its bytes.
const LENGTH: usize = 9;

/// How much a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBounds {
    /// About how many bytes of objects were asked for.
    pub wanted_bytes: usize,
    /// The largest object that can be sent, and the most that several may be together.
    pub sendable_bytes: usize,
}

/// What somebody should know of a record that is not on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanFinding {
    /// It is damaged.
    Damaged(BucketName, Key),
    /// It is too large to be sent.
    TooLarge(LargeObject),
}

/// The next objects, in storage order, that `asker` is a home of, about as many bytes of them as it wants, and no more
/// than a message carries.
///
/// What cannot be read cannot be handed over, so a page that met a damaged record vouches for nothing. What is too large
/// to be sent, and what this node was itself left without, is named on the page, which vouches for all else: the asker
/// does not answer for it, and nothing else waits. `tell` is told of each of both.
pub fn scan_page(
    view: View<'_>,
    host: &impl ScanHost,
    asker: &NodeId,
    after: Option<ScanCursor>,
    bounds: PageBounds,
    tell: &mut dyn FnMut(ScanFinding),
) -> Result<ScanPage, Refusal> {
    let asker = view.ring.index_of(asker);
    let mut page = ScanPage { objects: Vec::new(), left_out: Vec::new(), next: after, incomplete: false };
    page.incomplete = host.may_lack() && !planted::has(Bug::LackingVouches);
    let fits = |object: &Object| object.message_bytes() <= bounds.sendable_bytes;
    let (mut bytes, mut looked, mut chunk) = (0, 0, 1);
    while bytes < bounds.wanted_bytes && looked < SCAN_LOOKS_AT {
        let mut wanted = |partition, bucket: &_| {
            let n = view.buckets.settings(bucket).quorum.n;
            asker.is_some_and(|asker| view.ring.homes(partition, n).contains(&asker))
        };
        let records = host.records(page.next.as_ref(), chunk, &mut wanted)?;
        chunk = (chunk * CHUNK_GROWS).min(CHUNK);
        if records.is_empty() {
            page.next = None;
            break;
        }
        for record in records {
            looked += 1;
            let place = record.place.filter(|(partition, bucket, _)| wanted(*partition, bucket));
            let Some((_, bucket, key)) = place else {
                page.next = Some(record.cursor);
                continue;
            };
            let name = bucket.as_str().len() + key.as_bytes().len() + 2 * LENGTH;
            let size = match &record.held {
                Held::Object(object) if fits(object) => name + object.message_bytes(),
                Held::Object(object) => name + object.context().message_bytes(),
                Held::Lacking(LackingObject { object, lacks }) => {
                    let seen = object.context().message_bytes() + lacks.message_bytes();
                    2 * name + seen + if fits(object) { object.message_bytes() } else { 0 }
                }
                Held::Damaged | Held::Nothing => 0,
            };
            if bytes > 0 && bytes + size > bounds.sendable_bytes {
                return Ok(page);
            }
            bytes += size;
            page.next = Some(record.cursor);
            match record.held {
                Held::Object(object) if fits(&object) => page.objects.push((bucket, key, object)),
                Held::Object(object) => {
                    if planted::has(Bug::LargeObjectHoldsUp) {
                        return Err(Refusal::TooLargeToSend);
                    }
                    let seen = object.context().clone();
                    page.left_out.push(LeftOut { bucket: bucket.clone(), key: key.clone(), seen });
                    let bytes = object.message_bytes();
                    tell(ScanFinding::TooLarge(LargeObject { bucket, key, bytes }));
                }
                Held::Lacking(LackingObject { object, lacks: mut seen }) => {
                    seen.join(object.context());
                    if fits(&object) {
                        page.objects.push((bucket.clone(), key.clone(), object));
                    }
                    page.left_out.push(LeftOut { bucket, key, seen });
                }
                Held::Damaged => {
                    page.incomplete = true;
                    tell(ScanFinding::Damaged(bucket, key));
                }
                Held::Nothing => {}
            }
            if bytes >= bounds.wanted_bytes {
                break;
            }
        }
    }
    Ok(page)
}
