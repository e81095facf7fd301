//! The program: one file a command.

pub mod bench;
pub mod bucket;
pub mod demo;
pub mod exit;
pub mod keys;
pub mod kv;
pub mod load;
pub mod node;
pub mod processes;
pub mod ready;
mod remote;
pub mod ring;
mod scratch;
pub mod sim;
pub mod slo;
mod slo_render;
mod table;

use clap::{Parser, Subcommand};

use exit::Exit;

const ABOUT: &str = "A Dynamo-style replicated key-value store whose staleness is measured";

const LONG_ABOUT: &str = "\
neap is a replicated key-value store in the manner of Amazon's Dynamo: no leader, N copies of every key, R and W \
chosen per bucket and per request, concurrent versions kept until somebody resolves them. A write that was \
acknowledged is on the disks of W nodes.

This one program is a node of a cluster, a client of it, and a demonstration of it.";

const AFTER_HELP: &str = "\
A first example, and what comes after it:
  neap demo --for 20s                    a live cluster of five nodes on this machine, with load and a fault
  neap node --config n1.toml             runs one node
  neap put carts alice 'two loaves'      writes a key
  neap get carts alice                   reads it
  neap keys carts                        lists what the bucket holds
  neap bucket set sessions n=3 r=1 w=2   what a bucket promises
  neap ring                              who is in the cluster, and who is up
  neap slo --watch                       the objectives on staleness, and how they stand
  neap load --rate 100                   a steady load on it, until it is stopped
  neap sim --faults heavy --seeds 20     the protocol in a simulated cluster, held to its promises

Environment:
  NEAP_URL             where the client commands go; several, comma-separated, are tried in turn
                       [default: http://127.0.0.1:8101]
  NEAP_SECTION__KEY    a key of a node's configuration, such as NEAP_NODE__ID=n1

Exit codes:
  0 done   1 failed   2 wrong usage or configuration   3 not found
  4 quorum, deadline or overload   5 a promise was broken (a lost write)

Every command takes --json and then prints one JSON document on standard output and nothing else there.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "neap", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Node(node::NodeArgs),
    Demo(demo::DemoArgs),
    Put(kv::PutArgs),
    Get(kv::GetArgs),
    Delete(kv::DeleteArgs),
    Keys(keys::KeysArgs),
    Bucket(bucket::BucketArgs),
    Ring(ring::RingArgs),
    Slo(slo::SloArgs),
    Ready(ready::ReadyArgs),
    Load(load::LoadArgs),
    Bench(bench::BenchArgs),
    Sim(sim::SimArgs),
}

/// Runs the command that this process was given.
#[must_use]
pub fn run() -> Exit {
    let Cli { json, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, complaints to standard error; neither can be helped further.
            let _ = error.print();
            if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                let title = error.to_string();
                let title = title.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
                remote::print_json(&serde_json::json!({ "error": { "title": title } }));
            }
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let exit = match command {
        Command::Node(args) => node::run(args, json),
        Command::Demo(args) => demo::run(args, json),
        Command::Put(args) => kv::put(args, json),
        Command::Get(args) => kv::get(args, json),
        Command::Delete(args) => kv::delete(args, json),
        Command::Keys(args) => keys::run(&args, json),
        Command::Bucket(args) => bucket::run(args, json),
        Command::Ring(args) => ring::run(args, json),
        Command::Slo(args) => slo::run(args, json),
        Command::Ready(args) => ready::run(&args, json),
        Command::Load(args) => load::run(&args, json),
        Command::Bench(args) => bench::run(args, json),
        Command::Sim(args) => sim::run(args, json),
    };
    remote::ended(exit)
}
