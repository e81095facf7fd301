//! `neap demo`: a live cluster of real node processes, with load, a fault, and a verdict.

mod ledger;
mod show;
mod staleness;
mod verdict;
mod workload;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::processes::{ClusterError, ClusterOptions, LocalCluster};
use super::remote::{block_on, failed, print, print_json, usage};
use crate::client::Endpoint;
use crate::config::units::parse_time_taken;
use ledger::Ledger;
use show::Show;
use verdict::Verdict;
use workload::Workload;

/// Arguments of `neap demo`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "A live cluster of real nodes on loopback, with load, a fault and a verdict",
    long_about = "Starts real `neap node` processes on loopback (N = 3, R = W = 2), each with a data directory of \
                  its own, and drives reads and writes over REST: first 95 reads to 5 writes, then half and half, \
                  on few popular keys and many others. One node is killed with SIGKILL after a third of the time, \
                  and comes back after two thirds; serving goes on.\n\nAt the end every write that was \
                  acknowledged is read back, from each replica by itself and from every node by quorum. The exit \
                  code is 5 if any was lost.",
    after_help = "Examples:\n  \
                  neap demo\n  \
                  neap demo --for 20s --nodes 3\n  \
                  neap demo --keep /tmp/neap-demo --json"
)]
pub struct DemoArgs {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=15))]
    nodes: u16,
    /// How long the load runs; the verdict comes after it
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = parse_time_taken)]
    duration: Duration,
    /// Keep the nodes' data, configurations and logs in this directory, which must be new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Something that happened, for the table and the JSON.
#[derive(Debug, Clone)]
struct Event {
    at: Duration,
    what: String,
    node: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(args: DemoArgs, json: bool) -> Exit {
    match block_on(demo(&args, json)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => failed(&error.to_string(), json),
        Err(exit) => exit,
    }
}

fn machine(what: &str) -> impl FnOnce(std::io::Error) -> ClusterError {
    let what = what.to_owned();
    move |cause| ClusterError::Machine { what, cause }
}

fn is_used(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Ends with the first Ctrl-C or SIGTERM from now on.
async fn interruption() {
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => drop(interrupted),
        _ = term.recv() => {}
    }
}

async fn demo(args: &DemoArgs, json: bool) -> Result<Exit, ClusterError> {
    if let Some(used) = args.keep.as_deref().filter(|keep| is_used(keep)) {
        // What an earlier run wrote would stand in for what this one loses.
        return Ok(usage(
            &format!("--keep {} is not empty: a new or an empty directory is accepted", used.display()),
            json,
        ));
    }
    let mut interrupted = std::pin::pin!(interruption());
    let temporary = match &args.keep {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(machine("no temporary directory"))?),
    };
    let directory = args.keep.clone().or_else(|| temporary.as_ref().map(|made| made.path().to_owned()));
    let mut cluster = LocalCluster::start(ClusterOptions {
        nodes: args.nodes,
        directory: directory.unwrap_or_default(),
        program: std::env::current_exe().map_err(machine("this program cannot be found"))?,
        name: "demo".to_owned(),
        set: Vec::new(),
    })?;
    let mut show = Show::new(json);
    show.say(&format!("starting {} nodes", args.nodes));
    tokio::select! {
        ready = cluster.ready() => ready?,
        () = &mut interrupted => return Ok(Exit::Failed),
    }
    show.introduce(&cluster, args.keep.as_deref());

    let ledger = Rc::new(Ledger::new());
    let workload = Workload::start(ledger.clone(), cluster.endpoints());
    let mut events = Vec::new();
    let stopped_early = tokio::select! {
        done = direct(args.duration, &mut cluster, &workload, &ledger, &mut show, &mut events) => {
            done?;
            false
        }
        () = &mut interrupted => true,
    };
    let took = workload.stop().await;
    if stopped_early {
        show.say("interrupted: judging what was done so far");
    }
    // Before the check reads, and repairs, anything.
    let staleness = staleness::ask(&cluster.endpoints()).await;
    let verdict = tokio::select! {
        verdict = judge(&mut cluster, &ledger, &mut show) => verdict?,
        // A second one: no more questions.
        () = interruption() => return Ok(Exit::Failed),
    };
    let (reads, writes, acked, errors) = ledger.totals();
    if json {
        print_json(&json!({
            "nodes": args.nodes,
            "duration_s": took.as_secs_f64(),
            "reads": reads,
            "writes": writes,
            "acked_writes": acked,
            "lost_writes": verdict.lost,
            "errors": errors,
            "ops_per_s": ((reads + writes) as f64 / took.as_secs_f64()).round(),
            "p50_ms": ledger.quantile_ms(0.5),
            "p99_ms": ledger.quantile_ms(0.99),
            "stale_read_rate": staleness.stale_read_rate.map(|(_, high)| high),
            "convergence_p999_s": staleness.convergence_p999_s,
            "events": events.iter().map(|event| json!({
                "at_s": (event.at.as_secs_f64() * 10.0).round() / 10.0, "what": event.what, "node": event.node,
            })).collect::<Vec<_>>(),
        }));
    } else {
        print(show::summary(&ledger, &verdict, &staleness, took).as_bytes());
    }
    stop(&mut cluster, &mut show);
    Ok(if verdict.lost > 0 { Exit::Broken } else { Exit::Done })
}

/// Lets the time pass: a row a second, the second phase at half of it, the fault from a third to two thirds.
async fn direct(
    duration: Duration,
    cluster: &mut LocalCluster,
    workload: &Workload,
    ledger: &Ledger,
    show: &mut Show,
    events: &mut Vec<Event>,
) -> Result<(), ClusterError> {
    let began = Instant::now();
    let victim = cluster.nodes().len() - 1;
    let mut steps =
        [(duration / 3, Step::Kill), (duration / 2, Step::MoreWrites), (duration * 2 / 3, Step::Restart)]
            .into_iter()
            .peekable();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        let next = steps.peek().map_or(duration, |(at, _)| *at);
        let wait = next.saturating_sub(began.elapsed());
        tokio::select! {
            _ = second.tick() => {
                for at in 0..cluster.nodes().len() {
                    cluster.check(at)?;
                }
                show.row(began.elapsed(), workload.phase(), ledger, cluster);
                continue;
            }
            () = tokio::time::sleep(wait) => {}
        }
        let Some((_, step)) = steps.next() else { return Ok(()) };
        let name = cluster.nodes().get(victim).map(|node| node.name.clone());
        let (what, node) = match step {
            Step::Kill => {
                cluster.kill(victim)?;
                ("killed with SIGKILL", name)
            }
            Step::MoreWrites => {
                workload.half_and_half();
                ("the load turns to half reads, half writes", None)
            }
            Step::Restart => {
                cluster.spawn(victim)?;
                ("started again", name)
            }
        };
        let event = Event { at: began.elapsed(), what: what.to_owned(), node };
        show.event(&event);
        events.push(event);
    }
}

enum Step {
    Kill,
    MoreWrites,
    Restart,
}

async fn judge(
    cluster: &mut LocalCluster,
    ledger: &Ledger,
    show: &mut Show,
) -> Result<Verdict, ClusterError> {
    for at in 0..cluster.nodes().len() {
        if !cluster.runs(at) {
            cluster.spawn(at)?;
        }
    }
    cluster.ready().await?;
    show.say(&format!("reading {} keys back from every node", ledger.acked_keys()));
    let names = cluster.nodes().iter().map(|node| node.name.clone());
    let nodes: Vec<(String, Endpoint)> = names.zip(cluster.endpoints()).collect();
    verdict::judge(ledger, &nodes).await.map_err(machine("the nodes could not be read from"))
}

fn stop(cluster: &mut LocalCluster, show: &mut Show) {
    for at in 0..cluster.nodes().len() {
        match cluster.stop(at) {
            Ok(true) => {}
            Ok(false) => show.say("a node did not stop cleanly"),
            Err(error) => show.say(&error.to_string()),
        }
    }
}
