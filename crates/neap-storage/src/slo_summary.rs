//! A summary as bytes, for the disk and for other nodes. The types here are those of the bytes and nothing else.
//!
//! ```text
//! "neapslo" | version u8 | xxh3-64 of the body, little-endian | body (bincode 2)
//! ```

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use neap_protocol::ids::NodeId;
use neap_protocol::sli::{CAUSES, ReadTally, Sparse};
use neap_protocol::slo::{
    Ages, BucketPattern, Converged, Levels, Minute, Pending, Ring, Silence, SloSummary, Summarised, Tally,
    Windows,
};

const MAGIC: &[u8; 7] = b"neapslo";
const VERSION: u8 = 2;
/// More than any summary takes: one of all sets with every slot full.
const BYTES_MAX: usize = 64 << 20;

/// Bytes that are no summary. Nothing was kept of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableSummary {
    /// They do not begin as one does.
    #[error("the bytes are no summary of objectives")]
    Foreign,
    /// They are of another version of the program.
    #[error("the summary of objectives is of version {found}, only {VERSION} is known")]
    Version {
        /// The version found.
        found: u8,
    },
    /// They are damaged.
    #[error("the summary of objectives is damaged")]
    Damaged,
}

type Slots<T> = (u64, Vec<(u64, T)>);

#[derive(Serialize, Deserialize)]
struct StoredSummary {
    at_us: u64,
    promises: Vec<StoredPromise>,
    ages: Vec<(u64, u64)>,
    untracked: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredPromise {
    name: Option<String>,
    buckets: Vec<String>,
    levels: [u64; 4],
    reads: Vec<(u64, Slots<StoredReads>)>,
    silence: Slots<Vec<(String, u64)>>,
    minutes: Slots<[u64; 3]>,
    ages: Slots<StoredAges>,
    converged: Slots<StoredConverged>,
}

#[derive(Serialize, Deserialize)]
struct StoredReads {
    fresh: [u64; 2],
    stale: u64,
    suspect: u64,
    behind: u64,
    unknown: [u64; CAUSES],
    pending: u64,
    unsampled: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredAges {
    known: u64,
    suspect: u64,
    ages: Vec<(u32, u32)>,
    exposures: Vec<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct StoredConverged {
    count: u64,
    above: [u64; 2],
    times: Vec<(u32, u32)>,
}

fn slots<T: Tally, S>(ring: &Ring<T>, store: impl Fn(&T) -> S) -> Slots<S> {
    (ring.slot_us(), ring.kept().map(|(number, tally)| (number, store(tally))).collect())
}

fn ring<T: Tally, S>((slot_us, slots): Slots<S>, read: impl Fn(S) -> T) -> Ring<T> {
    Ring::from_slots(slot_us, slots.into_iter().map(|(number, stored)| (number, read(stored))))
}

impl From<&ReadTally> for StoredReads {
    fn from(tally: &ReadTally) -> Self {
        let ReadTally { fresh_all, fresh_overlap, stale, suspect, behind, unknown, pending, unsampled } =
            *tally;
        Self { fresh: [fresh_all, fresh_overlap], stale, suspect, behind, unknown, pending, unsampled }
    }
}

impl From<StoredReads> for ReadTally {
    fn from(stored: StoredReads) -> Self {
        let StoredReads { fresh, stale, suspect, behind, unknown, pending, unsampled } = stored;
        let [fresh_all, fresh_overlap] = fresh;
        Self { fresh_all, fresh_overlap, stale, suspect, behind, unknown, pending, unsampled }
    }
}

fn stored_silence(silence: &Silence) -> Vec<(String, u64)> {
    silence.reads.iter().map(|(replica, reads)| (replica.to_string(), *reads)).collect()
}

/// Names that are none, as only damage makes them, are left out.
fn silence(stored: Vec<(String, u64)>) -> Silence {
    let named = stored.into_iter().filter_map(|(replica, reads)| Some((NodeId::new(&replica).ok()?, reads)));
    Silence { reads: named.collect() }
}

impl From<&Ages> for StoredAges {
    fn from(ages: &Ages) -> Self {
        let (times, exposures) = (ages.ages.pairs().to_vec(), ages.exposures.pairs().to_vec());
        Self { known: ages.known, suspect: ages.suspect, ages: times, exposures }
    }
}

impl From<StoredAges> for Ages {
    fn from(stored: StoredAges) -> Self {
        let StoredAges { known, suspect, ages, exposures } = stored;
        Self { known, suspect, ages: Sparse::from_pairs(ages), exposures: Sparse::from_pairs(exposures) }
    }
}

impl From<&Converged> for StoredConverged {
    fn from(converged: &Converged) -> Self {
        let above = [converged.above_page, converged.above_ticket];
        Self { count: converged.count, above, times: converged.times.pairs().to_vec() }
    }
}

impl From<StoredConverged> for Converged {
    fn from(stored: StoredConverged) -> Self {
        let StoredConverged { count, above: [above_page, above_ticket], times } = stored;
        Self { count, above_page, above_ticket, times: Sparse::from_pairs(times) }
    }
}

impl From<&Summarised> for StoredPromise {
    fn from(promise: &Summarised) -> Self {
        let Windows { levels, reads, silence, minutes, ages, converged } = &promise.windows;
        Self {
            name: promise.name.clone(),
            buckets: promise.buckets.iter().map(ToString::to_string).collect(),
            levels: [
                levels.age_page_us,
                levels.age_ticket_us,
                levels.convergence_page_us,
                levels.convergence_ticket_us,
            ],
            reads: reads.iter().map(|(span, ring)| (*span, slots(ring, |tally| tally.into()))).collect(),
            silence: slots(silence, stored_silence),
            minutes: slots(minutes, |minute| [minute.known, minute.above_page, minute.above_ticket]),
            ages: slots(ages, |ages| ages.into()),
            converged: slots(converged, |converged| converged.into()),
        }
    }
}

impl StoredPromise {
    fn read(self) -> Option<Summarised> {
        let buckets = self.buckets.iter().map(|text| BucketPattern::parse(text)).collect::<Option<_>>()?;
        let [age_page_us, age_ticket_us, convergence_page_us, convergence_ticket_us] = self.levels;
        let minute = |[known, above_page, above_ticket]: [u64; 3]| Minute { known, above_page, above_ticket };
        let reads = self.reads.into_iter().map(|(span, slots)| (span, ring(slots, ReadTally::from)));
        let windows = Windows {
            levels: Levels { age_page_us, age_ticket_us, convergence_page_us, convergence_ticket_us },
            reads: reads.collect(),
            silence: ring(self.silence, silence),
            minutes: ring(self.minutes, minute),
            ages: ring(self.ages, Ages::from),
            converged: ring(self.converged, Converged::from),
        };
        Some(Summarised { name: self.name, buckets, windows })
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BYTES_MAX>()
}

/// A summary as bytes.
#[must_use]
pub fn encode(summary: &SloSummary) -> Vec<u8> {
    let stored = StoredSummary {
        at_us: summary.at_us,
        promises: summary.promises.iter().map(StoredPromise::from).collect(),
        ages: summary.pending.ages.clone(),
        untracked: summary.pending.untracked,
    };
    // Numbers, texts and lists always have a form; an empty body would be found damaged.
    let body = bincode::serde::encode_to_vec(&stored, config()).unwrap_or_default();
    [MAGIC.as_slice(), &[VERSION], &xxh3_64(&body).to_le_bytes(), &body].concat()
}

/// A summary from bytes. Its windows have the slots that were stored; merged into those of a plan they are bounded again.
pub fn decode(bytes: &[u8]) -> Result<SloSummary, UnreadableSummary> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(UnreadableSummary::Foreign)?;
    let (version, rest) = rest.split_first().ok_or(UnreadableSummary::Damaged)?;
    if *version != VERSION {
        return Err(UnreadableSummary::Version { found: *version });
    }
    let (sum, body) = rest.split_first_chunk().ok_or(UnreadableSummary::Damaged)?;
    if xxh3_64(body) != u64::from_le_bytes(*sum) {
        return Err(UnreadableSummary::Damaged);
    }
    let read = bincode::serde::decode_from_slice::<StoredSummary, _>(body, config());
    let stored = match read {
        Ok((stored, length)) if length == body.len() => stored,
        _ => return Err(UnreadableSummary::Damaged),
    };
    let promises = stored.promises.into_iter().map(StoredPromise::read).collect::<Option<_>>();
    let pending = Pending { ages: stored.ages, untracked: stored.untracked };
    Ok(SloSummary { at_us: stored.at_us, promises: promises.ok_or(UnreadableSummary::Damaged)?, pending })
}
