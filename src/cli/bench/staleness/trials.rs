//! Writes, waits, and reads, by several clients of one operation at a time each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{BUCKET, CONNECT_TIMEOUT};
use crate::cli::load::{RawConnection, request};
use crate::cli::sim::progress;
use crate::client::Endpoint;

/// What is run before anything counts: connections, caches and the nodes' view of each other's clocks settle.
const WARMUP: Duration = Duration::from_secs(2);
/// Keys of one client: enough that a write has long reached all homes when its key comes again.
const KEYS: u64 = 1_000;
/// The pause between two trials of a client, at the most: what the last one left to do is not to meet the next one
/// every time alike.
const PAUSE_MAX: Duration = Duration::from_millis(2);
/// Waking from a sleep takes up to so long; the rest of a wait is spent looking at the clock. A whole wait spent so
/// would take a core from the nodes.
const WAKE_UP: Duration = Duration::from_micros(200);
/// How long a trial takes beside its t, about, the pause among it.
const TRIAL: Duration = Duration::from_millis(2);
/// Trials that may fail, of a hundred.
const FAILED_MAX: u64 = 1;

/// What is to be measured.
pub struct Run<'a> {
    /// All nodes.
    pub endpoints: &'a [Endpoint],
    /// Reads for each point, at the most.
    pub reads: u64,
    /// How long, at the most.
    pub duration: Duration,
    /// How many clients.
    pub clients: u16,
}

/// What was measured of one t.
#[derive(Debug, Clone, Default)]
pub struct Point {
    t: Duration,
    reads: u64,
    stale: u64,
    /// From when a read was due to its reply, in milliseconds; of reads through another node than the write went through.
    rounds_ms: Vec<f64>,
}

impl Point {
    /// Nothing was measured yet.
    pub fn at(t: Duration) -> Self {
        Self { t, ..Self::default() }
    }

    /// The wait, in milliseconds.
    pub fn t_ms(&self) -> f64 {
        self.t.as_secs_f64() * 1e3
    }

    /// Reads.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// The share that missed the write.
    pub fn stale(&self) -> f64 {
        self.stale as f64 / self.reads.max(1) as f64
    }

    /// The standard error of that share. Even of none or all it is not 0.
    pub fn error(&self) -> f64 {
        let p = (self.stale as f64 + 0.5) / (self.reads as f64 + 1.0);
        (p * (1.0 - p) / self.reads.max(1) as f64).sqrt()
    }

    /// The client's round trips.
    pub fn rounds_ms(&self) -> &[f64] {
        &self.rounds_ms
    }

    /// Their median.
    pub fn round_p50_ms(&self) -> f64 {
        let mut sorted = self.rounds_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.stale += other.stale;
        self.rounds_ms.extend(other.rounds_ms);
    }
}

/// How far a point has come.
struct Progress {
    t: Duration,
    reads: AtomicU64,
    stale: AtomicU64,
}

/// What the clients share.
struct Shared<'a> {
    run: &'a Run<'a>,
    progress: Vec<Progress>,
    failed: AtomicU64,
    over: AtomicBool,
    from: Instant,
    /// Tells the keys of this run from those of others.
    name: u32,
    bar: ProgressBar,
}

impl Run<'_> {
    /// Measures all points at the same time, in turns by chance, so that what changes meanwhile changes for all of them.
    pub fn measure(&self, points: &mut [Point], what: &str, json: bool) -> Result<(), String> {
        let seconds = (WARMUP + self.duration).as_secs();
        let shared = Shared {
            run: self,
            progress: points.iter().map(Progress::of).collect(),
            failed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            from: Instant::now() + WARMUP,
            name: rand::random(),
            bar: progress::bar(seconds, &format!("s {what}"), json),
        };
        let clients: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..self.clients)
                .map(|client| {
                    let shared = &shared;
                    scope.spawn(move || drive(shared, client))
                })
                .collect();
            started.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        shared.bar.finish_and_clear();
        for client in clients {
            let measured = client.map_err(|_| "a client panicked".to_owned())??;
            points.iter_mut().zip(measured).for_each(|(point, measured)| point.add(measured));
        }
        let (reads, failed) =
            (points.iter().map(Point::reads).sum::<u64>(), shared.failed.load(Ordering::Relaxed));
        if failed * 100 > FAILED_MAX * (reads + failed) {
            return Err(format!("{failed} of {} trials were not answered as they should be", reads + failed));
        }
        if let Some(point) = points.iter().find(|point| point.rounds_ms.is_empty()) {
            return Err(format!("too few reads at t = {} ms: give it more --duration", point.t_ms()));
        }
        Ok(())
    }
}

/// One client: its connections, a runtime of its own, and a thread that it may block.
fn drive(shared: &Shared<'_>, client: u16) -> Result<Vec<Point>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let driven = runtime.map_err(|error| error.to_string())?.block_on(trials(shared, client));
    if driven.is_err() {
        shared.over.store(true, Ordering::Relaxed);
    }
    driven.map_err(|error| format!("a connection failed: {error}"))
}

async fn trials(shared: &Shared<'_>, client: u16) -> std::io::Result<Vec<Point>> {
    let run = shared.run;
    let mut connections = Vec::new();
    for endpoint in run.endpoints {
        connections.push(RawConnection::open(endpoint, CONNECT_TIMEOUT).await?);
    }
    let mut random = StdRng::from_rng(&mut rand::rng());
    let mut points = vec![Point::default(); shared.progress.len()];
    for number in 0.. {
        let now = Instant::now();
        let counts = now >= shared.from;
        let over = counts && now - shared.from >= run.duration;
        let Some(at) = choose(shared, &mut random).filter(|_| !over) else { break };
        if shared.over.load(Ordering::Relaxed) {
            break;
        }
        let (writer, reader) =
            (random.random_range(0..connections.len()), random.random_range(0..connections.len()));
        let Some(progress) = shared.progress.get(at) else { break };
        let key = format!("/v1/kv/{BUCKET}/{:08x}-{client}-{}", shared.name, number % KEYS);
        let seen = trial(&mut connections, (writer, reader), &key, number, progress.t).await;
        if seen.is_err() {
            // One of the two is spent. A node that takes no new one ends the run.
            for at in [writer, reader] {
                if let (Some(spent), Some(endpoint)) = (connections.get_mut(at), run.endpoints.get(at)) {
                    *spent = RawConnection::open(endpoint, CONNECT_TIMEOUT).await?;
                }
            }
        }
        match seen.unwrap_or_default() {
            None => drop(shared.failed.fetch_add(1, Ordering::Relaxed)),
            Some(_) if !counts => {}
            Some(Seen { stale, round }) => {
                progress.reads.fetch_add(1, Ordering::Relaxed);
                progress.stale.fetch_add(u64::from(stale), Ordering::Relaxed);
                if let Some(point) = points.get_mut(at) {
                    point.reads += 1;
                    point.stale += u64::from(stale);
                    if writer != reader {
                        point.rounds_ms.push(round.as_secs_f64() * 1e3);
                    }
                }
            }
        }
        let since = (Instant::now() + WARMUP).saturating_duration_since(shared.from);
        shared.bar.set_position(since.as_secs());
        std::thread::sleep(PAUSE_MAX.mul_f64(random.random_range(0.0..1.0)));
    }
    Ok(points)
}

impl Progress {
    fn of(point: &Point) -> Self {
        Self { t: point.t, reads: point.reads.into(), stale: point.stale.into() }
    }

    /// How likely this point is next, beside the others: so that of the errors of all, squared, the sum is least for the
    /// time that it takes (Neyman, "On the Two Different Aspects of the Representative Method", 1934).
    fn weight(&self, enough: u64) -> f64 {
        let (reads, stale) = (self.reads.load(Ordering::Relaxed), self.stale.load(Ordering::Relaxed));
        if reads >= enough {
            return 0.0;
        }
        let p = (stale as f64 + 1.0) / (reads as f64 + 2.0);
        (p * (1.0 - p) / (self.t + TRIAL).as_secs_f64()).sqrt()
    }
}

/// A point that still wants reads; none if all have enough.
fn choose(shared: &Shared<'_>, random: &mut StdRng) -> Option<usize> {
    let wanted: Vec<f64> = shared.progress.iter().map(|progress| progress.weight(shared.run.reads)).collect();
    let mut pick = random.random_range(0.0..1.0) * wanted.iter().sum::<f64>();
    wanted.into_iter().enumerate().filter(|(_, weight)| *weight > 0.0).find_map(|(at, weight)| {
        pick -= weight;
        (pick < 0.0).then_some(at)
    })
}

/// What came of a trial.
struct Seen {
    stale: bool,
    /// From when the read was due to its reply.
    round: Duration,
}

/// One trial; none if an answer is not one of those that there should be.
async fn trial(
    connections: &mut [RawConnection],
    (writer, reader): (usize, usize),
    key: &str,
    number: u64,
    wait: Duration,
) -> std::io::Result<Option<Seen>> {
    let put = request("PUT", key, &[], number.to_string().as_bytes());
    let get = request("GET", key, &[], &[]);
    let Some(writes) = connections.get_mut(writer) else { return Ok(None) };
    let status = writes.exchange(&put).await?.status;
    let due = Instant::now() + wait;
    if !matches!(status, 201 | 204) {
        return Ok(None);
    }
    let Some(reads) = connections.get_mut(reader) else { return Ok(None) };
    wait_until(due);
    let reply = reads.exchange(&get).await?;
    let round = due.elapsed();
    let held = std::str::from_utf8(reply.body).ok().and_then(|body| body.parse::<u64>().ok());
    Ok(match (reply.status, held) {
        (200, Some(held)) => Some(Seen { stale: held < number, round }),
        (404, _) => Some(Seen { stale: true, round }),
        _ => None,
    })
}

/// Blocks this thread, which does nothing else. Timers of the runtime are of whole milliseconds.
fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > WAKE_UP {
        std::thread::sleep(left - WAKE_UP);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_due_and_not_before() {
        for wait in [0, 50, 1_500] {
            let due = Instant::now() + Duration::from_micros(wait);
            wait_until(due);
            assert!(due <= Instant::now());
        }
    }

    #[test]
    fn the_error_of_a_share_is_that_of_as_many_coins_and_never_none() {
        let point = |stale, reads| Point { stale, reads, ..Point::default() };
        assert!((point(5_000, 10_000).error() - 0.005).abs() < 1e-6);
        assert!(point(0, 10_000).error() > 0.0);
    }
}
