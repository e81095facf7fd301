//! `neap slo`: the objectives, how they stand, and why.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::remote::{UrlArgs, block_on, complain, print, print_json, refused, send, usage};
use super::slo_render::{Colour, for_people};
use crate::client::{Call, Client, Reply};

/// How often `--watch` asks.
const WATCH: Duration = Duration::from_secs(1);

/// Clears the terminal and goes to its top left (ECMA-48, ED and CUP).
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

/// Arguments of `neap slo`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Shows the objectives on staleness, how they stand, and why",
    long_about = "Shows the objectives on staleness, how they stand, and why.\n\nA value is an interval where the truth \
                  is not known exactly: reads of which nobody can say whether they missed a write count as fresh for \
                  its lower end and as stale for its upper end. Alerts go by the judged reads. State `unknown` means \
                  that the judged reads are fine, and that those that could not be judged may not be; `why` says \
                  which replicas were silent. Nodes that do not answer are named, and what they served is not \
                  known. `budget left` is the share of the \
                  stale reads allowed in the budget's window that is left; `burn` is how many times faster than it \
                  lasts for it is used up, over the shortest window that has enough reads.",
    after_help = "Examples:\n  \
        neap slo                            the objectives of all nodes together\n  \
        neap slo --scope node               those of the node that answers\n  \
        neap slo --watch                    again every second, until Ctrl-C\n  \
        neap slo --json                     the document of GET /v1/slo"
)]
pub struct SloArgs {
    /// Of whom: of the node that answers, or of all nodes together
    #[arg(long, value_enum, default_value_t = ScopeArg::Cluster)]
    pub scope: ScopeArg,
    /// Show it again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub url: UrlArgs,
}

/// Of whom objectives are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// The node that answers
    Node,
    /// All nodes together
    Cluster,
}

impl ScopeArg {
    fn call(self) -> Call {
        let scope = match self {
            Self::Node => None,
            Self::Cluster => Some("cluster"),
        };
        Call::get("/v1/slo").query("scope", scope)
    }
}

/// Runs `neap slo`.
#[must_use]
pub fn run(args: SloArgs, json: bool) -> Exit {
    if args.watch {
        return watch(&args, json);
    }
    match send(&args.url, &args.scope.call(), json) {
        Ok(reply) => show(&reply, json, false),
        Err(exit) => exit,
    }
}

fn show(reply: &Reply, json: bool, clear: bool) -> Exit {
    if !reply.status.is_success() {
        return refused(reply, json);
    }
    let document: Value = match serde_json::from_slice(&reply.body) {
        Ok(document) => document,
        Err(error) => {
            complain(&format!("{} did not answer with JSON: {error}", reply.endpoint));
            return Exit::Failed;
        }
    };
    if json {
        print_json(&document);
        return Exit::Done;
    }
    let terminal = stdout().is_terminal();
    let text = for_people(&document, Colour { on: terminal });
    let mut output = if clear && terminal { CLEAR.to_vec() } else { Vec::new() };
    output.extend_from_slice(text.as_bytes());
    print(&output);
    Exit::Done
}

/// Shows it every second until Ctrl-C. A node that does not answer for a while is told of, and asked again: what is
/// watched for may be just that.
fn watch(args: &SloArgs, json: bool) -> Exit {
    let mut client = match Client::from_urls(args.url.url.as_deref()) {
        Ok(client) => client,
        Err(error) => return usage(&error.to_string(), json),
    };
    let call = args.scope.call();
    let watched = block_on(async move {
        let mut interrupt = match signal(SignalKind::interrupt()) {
            Ok(interrupt) => interrupt,
            Err(error) => {
                complain(&format!("cannot watch for Ctrl-C: {error}"));
                return Exit::Failed;
            }
        };
        let mut tick = tokio::time::interval(WATCH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Exit::Done,
                _ = tick.tick() => {}
            }
            let reply = tokio::select! {
                _ = interrupt.recv() => return Exit::Done,
                reply = client.send(&call) => reply,
            };
            match reply {
                Ok(reply) => {
                    let shown = show(&reply, json, true);
                    // What was asked wrongly is wrong the next time too.
                    if shown == Exit::Usage || shown == Exit::NotFound {
                        return shown;
                    }
                }
                Err(error) => complain(&error.to_string()),
            }
        }
    });
    watched.unwrap_or_else(|exit| exit)
}
