//! A page of what a node holds, for a home that may lack it.

use super::host::ScanHost;
use crate::planted::{self, Bug};
use crate::protocol::ids::{BucketName, Key, NodeId};
use crate::protocol::message::{Refusal, ScanCursor, ScanPage};
use crate::protocol::view::View;

/// How many records a scan looks at before it answers, whether or not any was for the asker.
pub const SCAN_LOOKS_AT: usize = 4_096;
/// How many records are read at once.
const CHUNK: usize = 64;

/// The next objects, in storage order, that `asker` is a home of, about `max_bytes` of them. What cannot be read
/// cannot be handed over, so a page that met a damaged record vouches for nothing; `damaged` is told of each.
pub fn scan_page(
    view: View<'_>,
    host: &impl ScanHost,
    asker: &NodeId,
    after: Option<ScanCursor>,
    max_bytes: usize,
    damaged: &mut dyn FnMut(BucketName, Key),
) -> Result<ScanPage, Refusal> {
    let asker = view.ring.index_of(asker);
    let mut page = ScanPage { objects: Vec::new(), next: after, incomplete: false };
    page.incomplete = host.may_lack() && !planted::has(Bug::LackingVouches);
    let (mut bytes, mut looked) = (0, 0);
    while bytes < max_bytes && looked < SCAN_LOOKS_AT {
        let mut wanted = |partition, bucket: &_| {
            let n = view.buckets.settings(bucket).quorum.n;
            asker.is_some_and(|asker| view.ring.homes(partition, n).contains(&asker))
        };
        let records = host.records(page.next.as_ref(), CHUNK, &mut wanted)?;
        if records.is_empty() {
            page.next = None;
            break;
        }
        for record in records {
            looked += 1;
            page.next = Some(record.cursor);
            let Some((partition, bucket, key)) = record.place else { continue };
            if !wanted(partition, &bucket) {
                continue;
            }
            match record.object {
                Some(object) => {
                    bytes += record.bytes;
                    page.objects.push((bucket, key, object));
                }
                None => {
                    page.incomplete = true;
                    damaged(bucket, key);
                }
            }
            if bytes >= max_bytes {
                break;
            }
        }
    }
    Ok(page)
}
