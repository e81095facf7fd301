//! `neap bench staleness`: how likely a read misses the last write, measured on a real cluster beside what the model
//! makes of the same cluster's one-way latencies.

mod lag;
mod prediction;
mod trials;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::load::{RawConnection, request};
use crate::cli::processes::{ClusterOptions, LocalCluster};
use crate::cli::remote::{block_on, complain, failed, print, print_json, usage};
use crate::cli::scratch::Scratch;
use crate::cli::table::Table;
use crate::client::{Endpoint, parse_urls};
use crate::config::units::{parse_duration, parse_time_taken};
use crate::protocol::quorum::Quorum;
use crate::sim::file::parse_quorum;
use lag::Relays;
use prediction::Prediction;
use trials::{Point, Run};

const BUCKET: &str = "bench-staleness";
const NODES: u8 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The greatest wait between commit and read.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The greatest mean delay between nodes: several of them fit into every timeout.
const LAG_MAX: Duration = Duration::from_millis(100);
/// Points at the most.
const POINTS_MAX: usize = 64;
/// How long is measured before the nodes are asked what legs took: they remember the last minute.
const PART_MAX: Duration = Duration::from_secs(50);
/// How far apart what is measured and what is predicted may be (root mean square over the points).
const RMSE_MAX: f64 = 0.01;
/// How long after the last operation every node has told what its legs took: they say so four times a second, and it is
/// shown as often.
const LEGS_SHOWN_AFTER: Duration = Duration::from_millis(750);

/// Arguments of `neap bench staleness`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Measures how likely a read misses the last write, beside what the model predicts",
    long_about = "Writes a key through a node at random; once the reply is there, waits for t, reads the key through a \
                  node at random, and looks whether the write is in the reply. Beside the share of reads that missed it \
                  (p_measured) stands what a Monte Carlo of the PBS model makes of the one-way latencies that the nodes \
                  measured in the same run (p_predicted), and the root mean square of the differences (rmse).\n\n\
                  A client cannot read before it has heard of the commit: t counts from when it has. The way of the \
                  reply to it, and of its read to a node, is in both numbers: the prediction takes it from the round \
                  trips of the same reads. A read asks its node's own replica first, as reads do, and repairs nothing. \
                  Reads of the node that wrote never miss; the model draws them as often.\n\n\
                  Makes a cluster of three nodes of its own unless --url or NEAP_URL names one with as many nodes as \
                  N. Its nodes are processes of one machine: what holds up one message, a busy core, holds up the \
                  read that would miss it too, which no model of independent delays knows of. --lag delays each \
                  message between them by itself, as between machines.",
    after_help = "Examples:\n  \
                  neap bench staleness\n  \
                  neap bench staleness --commit os --lag 5ms --require\n  \
                  neap bench staleness --at 0ms,1ms,5ms --reads 5000 --json\n  \
                  NEAP_URL=http://n1:8101,http://n2:8101,http://n3:8101 neap bench staleness --require"
)]
pub struct StalenessArgs {
    /// The nodes of a running cluster, comma-separated, all of them
    #[arg(long, env = "NEAP_URL", value_name = "URLS")]
    url: Option<String>,
    /// How long after the commit reads begin
    #[arg(long, default_value = "0ms,1ms,5ms,10ms,50ms", value_name = "DURATION,…", value_delimiter = ',',
          value_parser = parse_duration)]
    at: Vec<Duration>,
    /// N,R,W
    #[arg(long, default_value = "3,1,1", value_name = "N,R,W")]
    quorum: String,
    /// Reads for each point at the most
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    reads: u64,
    /// How long is measured at the most; each point gets the share of it that makes its error small
    #[arg(long, default_value = "1m", value_parser = parse_time_taken)]
    duration: Duration,
    /// Clients, each with one operation at a time; more of them load the nodes more
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// When the self-made cluster counts a write as durable
    #[arg(long, default_value = "fsync", value_parser = ["fsync", "interval", "os"])]
    commit: String,
    /// Delays every message between the nodes of the self-made cluster, by a time drawn anew for each, exponential with
    /// this mean: as between machines, where no read of one machine's nodes would be stale
    #[arg(long, default_value = "0ms", value_name = "MEAN", value_parser = parse_duration)]
    lag: Duration,
    /// End with exit code 5 if the rmse is above 0.01
    #[arg(long)]
    require: bool,
}

/// Runs the command.
pub fn run(args: &StalenessArgs, json: bool) -> Exit {
    let (quorum, endpoints) = match check(args) {
        Ok(checked) => checked,
        Err(complaint) => return usage(&complaint, json),
    };
    let outcome = match endpoints {
        Some(endpoints) => bench(args, quorum, &endpoints, json),
        None => own_cluster(args, quorum, json),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => return failed(&message, json),
    };
    if json {
        print_json(&outcome.json(quorum));
    } else {
        print(outcome.render(args).as_bytes());
    }
    if args.require && outcome.rmse() > RMSE_MAX {
        complain(&format!("the rmse {:.4} is above {RMSE_MAX}", outcome.rmse()));
        return Exit::Broken;
    }
    Exit::Done
}

fn check(args: &StalenessArgs) -> Result<(Quorum, Option<Vec<Endpoint>>), String> {
    let quorum = parse_quorum(&args.quorum).map_err(|error| format!("--{error}"))?;
    if let Some(long) = args.at.iter().find(|at| **at > WAIT_MAX) {
        return Err(format!("--at = {long:?}: 0ms to {WAIT_MAX:?} are accepted"));
    }
    if args.at.is_empty() || args.at.len() > POINTS_MAX {
        return Err(format!("--at: 1 to {POINTS_MAX} points are accepted, these are {}", args.at.len()));
    }
    if args.lag > LAG_MAX {
        return Err(format!("--lag = {:?}: 0ms to {LAG_MAX:?} are accepted", args.lag));
    }
    if args.lag > Duration::ZERO && args.url.is_some() {
        return Err("--lag is for a self-made cluster: it needs --url and NEAP_URL unset".to_owned());
    }
    let endpoints = match args.url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Some(parse_urls(url).map_err(|error| error.to_string())?),
        None => None,
    };
    let nodes = endpoints.as_ref().map_or(usize::from(NODES), Vec::len);
    if nodes != usize::from(quorum.n) {
        // A node that is no home hands operations on, which takes legs that are not in the model.
        return Err(format!("--quorum = {}: N must be the number of nodes, which is {nodes}", args.quorum));
    }
    Ok((quorum, endpoints))
}

fn own_cluster(args: &StalenessArgs, quorum: Quorum, json: bool) -> Result<Outcome, String> {
    let directory = Scratch::new().map_err(|error| error.to_string())?;
    let lagging = (args.lag > Duration::ZERO).then(|| Relays::start(u16::from(NODES), args.lag)).transpose();
    let relays = lagging.map_err(|error| format!("nothing can delay messages: {error}"))?;
    let mut cluster = start(&args.commit, relays.as_ref(), directory.path())?;
    let endpoints = cluster.endpoints();
    let outcome = bench(args, quorum, &endpoints, json);
    // A node that ended says more than whoever found it gone.
    for at in 0..cluster.nodes().len() {
        cluster.check(at).map_err(|error| error.to_string())?;
    }
    outcome
}

fn start(commit: &str, relays: Option<&Relays>, directory: &Path) -> Result<LocalCluster, String> {
    let mut set = vec![format!("storage.commit={commit}"), "log.level=warn".to_owned()];
    set.extend(relays.map(|relays| format!("cluster.members={}", relays.members())));
    let options = ClusterOptions {
        nodes: u16::from(NODES),
        directory: directory.to_owned(),
        program: std::env::current_exe().map_err(|error| error.to_string())?,
        name: "bench".to_owned(),
        set,
    };
    let mut cluster = LocalCluster::start(options).map_err(|error| error.to_string())?;
    if let Some(relays) = relays {
        relays.lead_to(cluster.nodes().iter().map(|node| node.peer_port));
    }
    let ready = block_on(cluster.ready()).map_err(|_| "no runtime could be started".to_owned())?;
    ready.map_err(|error| error.to_string())?;
    Ok(cluster)
}

fn bench(
    args: &StalenessArgs,
    quorum: Quorum,
    endpoints: &[Endpoint],
    json: bool,
) -> Result<Outcome, String> {
    exchange(endpoints.first(), &bucket_request(quorum))?;
    let parts = u32::try_from(args.duration.as_secs() / PART_MAX.as_secs() + 1).unwrap_or(u32::MAX);
    let run = Run { endpoints, reads: args.reads, duration: args.duration / parts, clients: args.clients };
    let mut points: Vec<Point> = args.at.iter().map(|t| Point::at(*t)).collect();
    let mut documents = Vec::new();
    for part in 1..=parts {
        run.measure(&mut points, &format!("of part {part} of {parts}"), json)?;
        std::thread::sleep(LEGS_SHOWN_AFTER);
        for endpoint in endpoints {
            documents.push(exchange(Some(endpoint), &request("GET", "/v1/slo", &[], &[]))?);
        }
        if points.iter().all(|point| point.reads() >= args.reads) {
            break;
        }
    }
    let prediction = Prediction::new(quorum, &documents)?;
    let rows = points.into_iter().map(|point| {
        let p_predicted = prediction.stale(&point)?;
        Ok(Row { p_predicted, point })
    });
    Ok(Outcome { rows: rows.collect::<Result<_, String>>()?, legs: prediction.summary() })
}

/// The bucket's own settings: nothing but the write itself is to bring it to its homes.
fn bucket_request(quorum: Quorum) -> Vec<u8> {
    let Quorum { n, r, w } = quorum;
    let settings = json!({ "n": n, "r": r, "w": w, "w_min": w, "read_repair": "off" });
    let json = [("content-type", "application/json")];
    request("PUT", &format!("/v1/buckets/{BUCKET}"), &json, settings.to_string().as_bytes())
}

/// One request over a connection of its own, whose answer is a document.
fn exchange(endpoint: Option<&Endpoint>, asked: &[u8]) -> Result<Value, String> {
    let endpoint = endpoint.ok_or("there are no nodes")?;
    let exchanged = block_on(async {
        let mut connection = RawConnection::open(endpoint, CONNECT_TIMEOUT).await?;
        let reply = connection.exchange(asked).await?;
        std::io::Result::Ok((reply.status, reply.body.to_vec()))
    });
    let (status, body) = exchanged
        .map_err(|_| "no runtime could be started".to_owned())?
        .map_err(|error| format!("{endpoint}: {error}"))?;
    if !(200..300).contains(&status) {
        return Err(format!("{endpoint} answered {status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{endpoint}: {error}"))
}

struct Row {
    point: Point,
    p_predicted: f64,
}

struct Outcome {
    rows: Vec<Row>,
    /// What the nodes measured, in words.
    legs: String,
}

fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

impl Outcome {
    fn rmse(&self) -> f64 {
        let squares = self.rows.iter().map(|row| (row.point.stale() - row.p_predicted).powi(2));
        (squares.sum::<f64>() / self.rows.len().max(1) as f64).sqrt()
    }

    fn json(&self, quorum: Quorum) -> Value {
        let Quorum { n, r, w } = quorum;
        let rows = self.rows.iter().map(|Row { point, p_predicted }| {
            json!({
                "n": n, "r": r, "w": w, "t_ms": point.t_ms(), "reads": point.reads(),
                "p_measured": rounded(point.stale()), "p_predicted": rounded(*p_predicted),
            })
        });
        json!({ "rows": rows.collect::<Vec<_>>(), "rmse": rounded(self.rmse()) })
    }

    fn render(&self, args: &StalenessArgs) -> String {
        let mut table =
            Table::new(["t ms", "reads", "measured %", "+- %", "predicted %", "client round p50 ms"]);
        for Row { point, p_predicted } in &self.rows {
            let percent = |share: f64| format!("{:.3}", share * 100.0);
            table.row(vec![
                point.t_ms().to_string(),
                point.reads().to_string(),
                percent(point.stale()),
                percent(point.error()),
                percent(*p_predicted),
                format!("{:.3}", point.round_p50_ms()),
            ]);
        }
        let whose = args.url.as_ref().map_or_else(
            || {
                let lag = args.lag.as_secs_f64() * 1e3;
                format!("a cluster of its own, storage.commit = {}, lag {lag} ms", args.commit)
            },
            |url| format!("the nodes at {url}"),
        );
        format!(
            "stale reads at N,R,W = {} on {whose}; t counts from when the client heard of the commit, so its \
             round trip comes on top, measured and predicted\n{}\nrmse {:.4} ({:.2} percentage points)\n{}",
            args.quorum,
            table.render(),
            self.rmse(),
            self.rmse() * 100.0,
            self.legs
        )
    }
}
