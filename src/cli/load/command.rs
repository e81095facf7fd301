//! `neap load`: a steady load that goes on whatever happens, for watching a cluster under it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::nodes::{Nodes, Unanswered};
use super::{Distribution, KeyChooser, Latencies, key_name, request};
use crate::cli::exit::Exit;
use crate::cli::remote::{UrlArgs, block_on, complain, parse_bucket, print, print_json, usage};
use crate::client::endpoints_of;
use crate::config::units::parse_time_taken;
use crate::protocol::ids::BucketName;

/// How often a line is printed.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Operations under way at once; what would be more is skipped, and counted.
const IN_FLIGHT_MAX: usize = 1_000;
/// How late operations may begin before they are skipped: after a pause, nobody wants a burst of what was missed.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How long the operations that are under way at the end are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Arguments of `neap load`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "A steady load of reads and writes, until it is stopped",
    long_about = "Sends reads and writes at a steady rate, on few popular keys and many others (zipfian), to the nodes in \
                  turn. Operations begin when they are due, whether or not earlier ones were answered (open loop), \
                  and each latency counts from then. It goes on through errors: a node that is down is passed over, \
                  a refusal is counted.\n\nA line is printed every 10 s. SIGTERM and Ctrl-C end it, with exit code 0.",
    after_help = "Examples:\n  \
                  neap load\n  \
                  neap load --url http://127.0.0.1:8101,http://127.0.0.1:8102 --rate 500 --r 1 --w 1\n  \
                  neap load --rate 50 --for 30s --json"
)]
pub struct LoadArgs {
    #[command(flatten)]
    urls: UrlArgs,
    /// Operations per second
    #[arg(long, value_name = "OPS", default_value_t = 200.0, value_parser = parse_rate)]
    rate: f64,
    /// How long it runs [default: until it is stopped]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_time_taken)]
    duration: Option<Duration>,
    /// The share of reads, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = parse_share)]
    read_share: f64,
    /// The bucket
    #[arg(long, value_name = "BUCKET", default_value = "load", value_parser = parse_bucket)]
    bucket: BucketName,
    /// Keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// Replicas that must answer a read [default: the bucket's]
    #[arg(long, value_name = "R")]
    r: Option<u8>,
    /// Replicas that must acknowledge a write [default: the bucket's]
    #[arg(long, value_name = "W")]
    w: Option<u8>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok();
    rate.filter(|rate| (0.01..=100_000.0).contains(rate))
        .ok_or_else(|| "0.01 to 100000 operations per second are accepted".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "0 to 1 is accepted".to_owned())
}

/// Runs the command.
#[must_use]
pub fn run(args: &LoadArgs, json: bool) -> Exit {
    let endpoints = match endpoints_of(args.urls.url.as_deref()) {
        Ok(endpoints) => endpoints,
        Err(error) => return usage(&error.to_string(), json),
    };
    let load =
        Rc::new(Load { nodes: Nodes::new(endpoints), tally: RefCell::default(), under_way: Cell::new(0) });
    match block_on(drive(&load, args, json)) {
        Ok(Ok(ended)) => conclude(&load.tally.borrow(), args, ended, json),
        Ok(Err(error)) => {
            complain(&format!("signals cannot be watched: {error}"));
            Exit::Failed
        }
        Err(exit) => exit,
    }
}

/// What was done so far.
#[derive(Default)]
struct Tally {
    reads: u64,
    writes: u64,
    answered: u64,
    skipped: u64,
    errors: BTreeMap<String, u64>,
    latencies: Latencies,
    recent: Recent,
}

/// What was done since the last line.
#[derive(Default)]
struct Recent {
    answered: u64,
    skipped: u64,
    errors: BTreeMap<String, u64>,
    latencies: Latencies,
}

impl Tally {
    fn done(&mut self, outcome: Result<(), String>, micros: u64) {
        match outcome {
            Ok(()) => {
                self.answered += 1;
                self.recent.answered += 1;
                self.latencies.record(micros);
                self.recent.latencies.record(micros);
            }
            Err(kind) => {
                *self.errors.entry(kind.clone()).or_default() += 1;
                *self.recent.errors.entry(kind).or_default() += 1;
            }
        }
    }

    fn skip(&mut self, many: u64) {
        self.skipped += many;
        self.recent.skipped += many;
    }
}

struct Load {
    nodes: Nodes,
    tally: RefCell<Tally>,
    under_way: Cell<usize>,
}

struct Ended {
    took: Duration,
    on_request: bool,
}

async fn drive(load: &Rc<Load>, args: &LoadArgs, json: bool) -> std::io::Result<Ended> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut keys = KeyChooser::new(rand::random(), args.keys, Distribution::Zipfian);
    let mut tasks = JoinSet::new();
    let (began, step) = (Instant::now(), Duration::from_secs_f64(1.0 / args.rate));
    let end = args.duration.map(|duration| began + duration);
    let mut due = began;
    let mut line_at = began + LINE_EVERY;
    let on_request = loop {
        let wake_at = end.into_iter().fold(due.min(line_at), Instant::min);
        tokio::select! {
            _ = term.recv() => break true,
            _ = interrupt.recv() => break true,
            () = tokio::time::sleep_until(wake_at.into()) => {}
        }
        let now = Instant::now();
        if now >= line_at {
            if !json {
                print(line(&mut load.tally.borrow_mut(), now - began, now + LINE_EVERY - line_at).as_bytes());
            }
            line_at = now + LINE_EVERY;
        }
        if end.is_some_and(|end| now >= end) {
            break false;
        }
        if now.saturating_duration_since(due) > LATE_MAX {
            let missed = (now - due).as_secs_f64() / step.as_secs_f64();
            load.tally.borrow_mut().skip(missed as u64);
            due = now;
        }
        while due <= now {
            begin(load, args, &mut keys, &mut tasks, due);
            due += step;
        }
        while tasks.try_join_next().is_some() {}
    };
    let took = began.elapsed();
    // What is not answered by then counts neither way.
    let _ = tokio::time::timeout(LAST_ANSWERS, async { while tasks.join_next().await.is_some() {} }).await;
    Ok(Ended { took, on_request })
}

/// Begins an operation, unless too many are under way.
fn begin(load: &Rc<Load>, args: &LoadArgs, keys: &mut KeyChooser, tasks: &mut JoinSet<()>, due: Instant) {
    if load.under_way.get() >= IN_FLIGHT_MAX {
        return load.tally.borrow_mut().skip(1);
    }
    let reads = keys.chance(args.read_share);
    let asked = operation(args, reads, keys.next_key());
    load.under_way.set(load.under_way.get() + 1);
    let load = load.clone();
    tasks.spawn_local(async move {
        let answer = load.nodes.ask(&asked).await;
        let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut tally = load.tally.borrow_mut();
        *(if reads { &mut tally.reads } else { &mut tally.writes }) += 1;
        tally.done(judged(answer, reads), micros);
        load.under_way.set(load.under_way.get() - 1);
    });
}

fn operation(args: &LoadArgs, reads: bool, key: u64) -> Vec<u8> {
    let (method, quorum) = if reads { ("GET", ("r", args.r)) } else { ("PUT", ("w", args.w)) };
    let mut target = format!("/v1/kv/{}/{}", args.bucket, key_name(key));
    if let (name, Some(count)) = quorum {
        target.push_str(&format!("?{name}={count}"));
    }
    let value = if reads { Vec::new() } else { vec![b'l'; args.value_bytes as usize] };
    request(method, &target, &[], &value)
}

/// Nothing, or the kind of error.
fn judged(answer: Result<u16, Unanswered>, reads: bool) -> Result<(), String> {
    match answer {
        // A key that nobody has written yet is answered too.
        Ok(200 | 300 | 404) if reads => Ok(()),
        Ok(201 | 204) if !reads => Ok(()),
        Ok(status) => Err(format!("status_{status}")),
        Err(Unanswered::NotReached) => Err("not_reached".to_owned()),
        Err(Unanswered::Broken) => Err("broken".to_owned()),
        Err(Unanswered::TimedOut) => Err("timed_out".to_owned()),
    }
}

fn ms(latencies: &Latencies, quantile: f64) -> String {
    latencies.quantile_ms(quantile).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"))
}

fn errors_in_words(errors: &BTreeMap<String, u64>, skipped: u64) -> String {
    let mut words = format!("{} errors", errors.values().sum::<u64>());
    if !errors.is_empty() {
        let kinds: Vec<String> = errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        words.push_str(&format!(" ({})", kinds.join(", ")));
    }
    if skipped > 0 {
        words.push_str(&format!(", {skipped} skipped"));
    }
    words
}

/// The line of the last `window`, which is then forgotten.
fn line(tally: &mut Tally, at: Duration, window: Duration) -> String {
    let Recent { answered, skipped, errors, latencies } = std::mem::take(&mut tally.recent);
    format!(
        "{:>6}s  {:>8.1} ops/s  p50 {:>7} ms  p99 {:>7} ms  {}\n",
        at.as_secs(),
        answered as f64 / window.as_secs_f64(),
        ms(&latencies, 0.5),
        ms(&latencies, 0.99),
        errors_in_words(&errors, skipped)
    )
}

fn conclude(tally: &Tally, args: &LoadArgs, ended: Ended, json: bool) -> Exit {
    let seconds = ended.took.as_secs_f64();
    let rate = tally.answered as f64 / seconds.max(f64::EPSILON);
    if json {
        print_json(&document(tally, args, seconds, rate));
    } else {
        let text = format!(
            "{} reads and {} writes in {seconds:.1} s ({rate:.1} answered/s), p50 {} ms, p99 {} ms, {}\n",
            tally.reads,
            tally.writes,
            ms(&tally.latencies, 0.5),
            ms(&tally.latencies, 0.99),
            errors_in_words(&tally.errors, tally.skipped)
        );
        print(text.as_bytes());
    }
    if tally.answered == 0 && !ended.on_request {
        complain("no operation was answered");
        return Exit::Failed;
    }
    Exit::Done
}

fn document(tally: &Tally, args: &LoadArgs, seconds: f64, rate: f64) -> Value {
    json!({
        "rate": args.rate,
        "duration_s": seconds,
        "reads": tally.reads,
        "writes": tally.writes,
        "answered": tally.answered,
        "errors": tally.errors.values().sum::<u64>(),
        "error_kinds": tally.errors,
        "skipped": tally.skipped,
        "ops_per_s": (rate * 10.0).round() / 10.0,
        "p50_ms": tally.latencies.quantile_ms(0.5),
        "p99_ms": tally.latencies.quantile_ms(0.99),
    })
}
