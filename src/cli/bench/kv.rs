//! `neap bench kv`: reads and writes of one key each, as fast as a number of connections go (closed loop).

use std::cell::RefCell;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::load::{Distribution, KeyChooser, RawConnection, key_name, request};
use crate::cli::processes::{ClusterOptions, LocalCluster};
use crate::cli::remote::{block_on, complain, print, print_json, remark};
use crate::cli::table::Table;
use crate::client::{Endpoint, parse_urls};
use crate::config::units::parse_duration;

const BUCKET: &str = "bench";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: more than any `limits.timeout` in use.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Arguments of `neap bench kv`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Reads and writes as fast as a number of connections go",
    long_about = "Reads and writes one key at a time over a number of connections, each of which sends its next \
                  request when the last was answered (closed loop). Makes a cluster of three nodes of its own, \
                  with N = 3, for each --commit, unless --url or NEAP_URL names one. Beside it, in the same run, a \
                  bare HTTP handler is measured under the same client: what no server here could exceed.",
    after_help = "Examples:\n  \
                  neap bench kv\n  \
                  neap bench kv --commit fsync --operations put:2 --duration 30s --json\n  \
                  neap bench kv --url http://127.0.0.1:8101,http://127.0.0.1:8102 --keys 1000000"
)]
pub struct KvArgs {
    /// The nodes of a running cluster, comma-separated
    #[arg(long, env = "NEAP_URL", value_name = "URL")]
    url: Option<String>,
    /// Connections, spread over the nodes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Keys, all of which are written before anything is measured
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// How long each row is measured
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// How long each row runs before it is measured
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// How keys are chosen
    #[arg(long, value_enum, default_value_t = Distribution::Zipfian)]
    dist: Distribution,
    /// What is measured: get:R and put:W
    #[arg(long, value_delimiter = ',', default_value = "get:1,get:2,put:1,put:2", value_parser = parse_operation)]
    operations: Vec<Operation>,
    /// When the self-made clusters count a write as durable
    #[arg(long, value_delimiter = ',', default_value = "fsync,interval,os",
          value_parser = ["fsync", "interval", "os"])]
    commit: Vec<String>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Reads.
    Get {
        /// Their R.
        r: u8,
    },
    /// Writes.
    Put {
        /// Their W.
        w: u8,
    },
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Get { r } => write!(f, "get:{r}"),
            Self::Put { w } => write!(f, "put:{w}"),
        }
    }
}

/// What connections do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How many there are, spread over the nodes.
    pub(super) connections: u16,
    /// Keys.
    pub(super) keys: u64,
    /// Bytes of a value.
    pub(super) value_bytes: u32,
    /// How long they are measured.
    pub(super) duration: Duration,
    /// How long they run before that.
    pub(super) warmup: Duration,
    /// How keys are chosen.
    pub(super) dist: Distribution,
}

impl From<&KvArgs> for Load {
    fn from(args: &KvArgs) -> Self {
        let KvArgs { connections, keys, value_bytes, duration, warmup, dist, .. } = args;
        Self {
            connections: *connections,
            keys: *keys,
            value_bytes: *value_bytes,
            duration: *duration,
            warmup: *warmup,
            dist: *dist,
        }
    }
}

fn parse_operation(text: &str) -> Result<Operation, String> {
    let wrong = || format!("{text:?} is not get:R or put:W, such as get:1 or put:2");
    let (name, quorum) = text.split_once(':').ok_or_else(wrong)?;
    let quorum = quorum.parse().map_err(|_| wrong())?;
    match name {
        "get" => Ok(Operation::Get { r: quorum }),
        "put" => Ok(Operation::Put { w: quorum }),
        _ => Err(wrong()),
    }
}

/// What was measured of one row.
pub(super) struct Measured {
    /// Answers a second.
    pub(super) ops_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
}

/// Runs the command.
pub fn run(args: &KvArgs, json: bool) -> Exit {
    let result = block_on(bench(args));
    let document = match result {
        Ok(Ok(document)) => document,
        Ok(Err(message)) => {
            complain(&message);
            return Exit::Failed;
        }
        Err(exit) => return exit,
    };
    if json {
        print_json(&document);
    } else {
        print(render(&document).as_bytes());
    }
    Exit::Done
}

async fn bench(args: &KvArgs) -> Result<Value, String> {
    let mut rows = Vec::new();
    match &args.url {
        Some(url) => {
            let endpoints = parse_urls(url).map_err(|error| error.to_string())?;
            let n = bucket_n(endpoints.first()).await.unwrap_or(3);
            rows.extend(measure_cluster(args, &endpoints, None, n).await?);
        }
        None => {
            for commit in &args.commit {
                let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
                let mut cluster = LocalCluster::start(ClusterOptions {
                    nodes: 3,
                    directory: directory.path().to_owned(),
                    program: std::env::current_exe().map_err(|error| error.to_string())?,
                    name: "bench".to_owned(),
                    // W = 1 is measured too, which the default w_min would refuse.
                    set: vec![
                        format!("storage.commit={commit}"),
                        "defaults.w_min=1".to_owned(),
                        "log.level=warn".to_owned(),
                    ],
                })
                .map_err(|error| error.to_string())?;
                cluster.ready().await.map_err(|error| error.to_string())?;
                let endpoints = cluster.endpoints();
                rows.extend(measure_cluster(args, &endpoints, Some(commit), 3).await?);
                for at in 0..cluster.nodes().len() {
                    cluster.check(at).map_err(|error| error.to_string())?;
                }
            }
        }
    }
    let ceiling = ceiling(args).await?;
    let best = rows.iter().filter(|row| row["operation"] == "get" && row["r"] == 1);
    let best = best
        .filter_map(|row| row["ops_per_s"].as_f64())
        .fold(None, |best: Option<f64>, rate| Some(best.map_or(rate, |best| best.max(rate))));
    Ok(json!({
        "rows": rows,
        "ceiling": { "ops_per_s": rounded(ceiling, 0) },
        "ratio_to_ceiling": best.map(|best| rounded(best / ceiling, 3)),
    }))
}

async fn bucket_n(endpoint: Option<&Endpoint>) -> Option<u8> {
    let mut connection = RawConnection::open(endpoint?, CONNECT_TIMEOUT).await.ok()?;
    let asked = request("GET", &format!("/v1/buckets/{BUCKET}"), &[], &[]);
    let reply = connection.exchange(&asked).await.ok()?;
    let bucket: Value = serde_json::from_slice(reply.body).ok()?;
    bucket.get("n")?.as_u64().and_then(|n| u8::try_from(n).ok())
}

async fn measure_cluster(
    args: &KvArgs,
    endpoints: &[Endpoint],
    commit: Option<&str>,
    n: u8,
) -> Result<Vec<Value>, String> {
    remark(&format!("writing {} keys ({})", args.keys, commit.unwrap_or("a running cluster")));
    // On every replica of a cluster made for this, so that no read at R = 1 misses its key.
    let every_replica = commit.map_or_else(String::new, |_| format!("?w={n}"));
    fill(&args.into(), endpoints, &every_replica).await?;
    let mut rows = Vec::new();
    for operation in &args.operations {
        let (name, r, w) = match operation {
            Operation::Get { r } => ("get", Some(*r), None),
            Operation::Put { w } => ("put", None, Some(*w)),
        };
        let measured = measure(&args.into(), endpoints, *operation).await?;
        remark(&format!(
            "{name} r={r:?} w={w:?} commit={}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} errors",
            commit.unwrap_or("?"),
            measured.ops_per_s,
            measured.p50_ms,
            measured.p99_ms,
            measured.errors
        ));
        rows.push(json!({
            "operation": name, "n": n, "r": r, "w": w, "commit": commit,
            "connections": args.connections, "value_bytes": args.value_bytes, "keys": args.keys, "probe": null,
            "ops_per_s": rounded(measured.ops_per_s, 0), "p50_ms": rounded(measured.p50_ms, 3),
            "p99_ms": rounded(measured.p99_ms, 3), "errors": measured.errors,
        }));
    }
    Ok(rows)
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

/// Writes every key once.
pub(super) async fn fill(args: &Load, endpoints: &[Endpoint], parameters: &str) -> Result<(), String> {
    let next = Rc::new(RefCell::new(0u64));
    let value = vec![b'v'; args.value_bytes as usize];
    let mut tasks = Vec::new();
    for endpoint in endpoints.iter().cycle().take(usize::from(args.connections)) {
        let (next, endpoint, value, keys) = (next.clone(), endpoint.clone(), value.clone(), args.keys);
        let parameters = parameters.to_owned();
        tasks.push(tokio::task::spawn_local(async move {
            let mut connection = RawConnection::open(&endpoint, CONNECT_TIMEOUT).await?;
            loop {
                let key = next.replace_with(|next| *next + 1);
                if key >= keys {
                    return std::io::Result::Ok(());
                }
                let target = format!("/v1/kv/{BUCKET}/{}{parameters}", key_name(key));
                let put = request("PUT", &target, &[], &value);
                let mut tries = 0;
                while !matches!(exchange(&mut connection, &put).await?, 201 | 204) {
                    tries += 1;
                    if tries == 20 {
                        return Err(std::io::Error::other("a key was refused 20 times"));
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }));
    }
    for task in tasks {
        let done = task.await.map_err(|error| error.to_string())?;
        done.map_err(|error| format!("the keys could not be written: {error}"))?;
    }
    Ok(())
}

/// The status that a request is answered with.
async fn exchange(connection: &mut RawConnection, request: &[u8]) -> std::io::Result<u16> {
    let exchanged = tokio::time::timeout(REPLY_TIMEOUT, connection.exchange(request)).await;
    Ok(exchanged.map_err(|_| std::io::ErrorKind::TimedOut)??.status)
}

/// What the connections of a row share.
struct Row {
    latencies: RefCell<Histogram<u64>>,
    errors: RefCell<u64>,
    from: Instant,
    until: Instant,
}

pub(super) async fn measure(
    args: &Load,
    endpoints: &[Endpoint],
    operation: Operation,
) -> Result<Measured, String> {
    let from = Instant::now() + args.warmup;
    let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| error.to_string())?;
    let row = Rc::new(Row {
        latencies: RefCell::new(latencies),
        errors: RefCell::new(0),
        from,
        until: from + args.duration,
    });
    let mut tasks = Vec::new();
    for (at, endpoint) in endpoints.iter().cycle().take(usize::from(args.connections)).enumerate() {
        let keys = KeyChooser::new(at as u64, args.keys, args.dist);
        let value = vec![b'w'; args.value_bytes as usize];
        tasks.push(tokio::task::spawn_local(drive(endpoint.clone(), row.clone(), keys, operation, value)));
    }
    for task in tasks {
        let done = task.await.map_err(|error| error.to_string())?;
        done.map_err(|error| format!("a connection failed: {error}"))?;
    }
    let latencies = row.latencies.borrow();
    let ms = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Measured {
        ops_per_s: latencies.len() as f64 / args.duration.as_secs_f64(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        errors: *row.errors.borrow(),
    })
}

async fn drive(
    endpoint: Endpoint,
    row: Rc<Row>,
    mut keys: KeyChooser,
    operation: Operation,
    value: Vec<u8>,
) -> std::io::Result<()> {
    let mut connection = RawConnection::open(&endpoint, CONNECT_TIMEOUT).await?;
    loop {
        let key = key_name(keys.next_key());
        let asked = match operation {
            Operation::Get { r } => request("GET", &format!("/v1/kv/{BUCKET}/{key}?r={r}"), &[], &[]),
            Operation::Put { w } => request("PUT", &format!("/v1/kv/{BUCKET}/{key}?w={w}"), &[], &value),
        };
        let sent = Instant::now();
        let status = exchange(&mut connection, &asked).await;
        let now = Instant::now();
        if now >= row.until {
            return Ok(());
        }
        if sent >= row.from {
            if matches!(status, Ok(200 | 201 | 204 | 300)) {
                let micros = u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX);
                row.latencies.borrow_mut().saturating_record(micros);
            } else {
                *row.errors.borrow_mut() += 1;
            }
        }
        if status.is_err() {
            // A connection that failed is an error of the row; a node that takes no new one ends the benchmark.
            connection = RawConnection::open(&endpoint, CONNECT_TIMEOUT).await?;
        }
    }
}

/// The bare handler's process; it ends when this value does.
struct CeilingServer(Child);

impl Drop for CeilingServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ceiling(args: &KvArgs) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let free =
        TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).map_err(text)?;
    let child = Command::new(std::env::current_exe().map_err(text)?)
        .args(["bench", "ceiling-server", "--listen", &free.to_string()])
        .args(["--value-bytes", &args.value_bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(text)?;
    let _server = CeilingServer(child);
    let endpoint = Endpoint::loopback(free.port());
    for _ in 0..200 {
        if RawConnection::open(&endpoint, CONNECT_TIMEOUT).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let measured = measure(&args.into(), &[endpoint], Operation::Get { r: 1 }).await?;
    remark(&format!("bare handler, the ceiling: {:.0}/s", measured.ops_per_s));
    Ok(measured.ops_per_s)
}

fn render(document: &Value) -> String {
    let mut table = Table::new(["operation", "r", "w", "commit", "ops/s", "p50 ms", "p99 ms", "errors"]);
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    for row in document.get("rows").and_then(Value::as_array).into_iter().flatten() {
        let columns = ["operation", "r", "w", "commit", "ops_per_s", "p50_ms", "p99_ms", "errors"];
        table.row(columns.iter().map(|column| shown(row.get(*column))).collect());
    }
    let ceiling = shown(document.pointer("/ceiling/ops_per_s"));
    let ratio = shown(document.get("ratio_to_ceiling"));
    format!(
        "{}\na bare handler under the same client: {ceiling}/s; best GET at R=1 is {ratio} of it\n",
        table.render()
    )
}
