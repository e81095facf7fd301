//! `neap node`: runs one node.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::remote::{failed, print, print_json, usage};
use crate::actors::node::{RunOptions, StartError};
use crate::actors::observability::Observability;
use crate::config::units::parse_duration;
use crate::config::{Config, Sources, cluster_secret};
use crate::storage::new_directory_id;
use crate::telemetry::{Identity, Telemetry, Tracing, log};
use crate::transport::Secret;

const EXAMPLES: &str = "\
Examples:
  neap node --print-config --set node.id=n1
  neap node --set cluster.members=n1@127.0.0.1:7101 --set node.data=/tmp/neap-n1 \\
            --set defaults.n=1 --set defaults.r=1 --set defaults.w=1

A configuration file, for the first of three nodes:
  [cluster]
  members = [\"n1@10.0.0.1:7101;zone=a\", \"n2@10.0.0.2:7101;zone=b\", \"n3@10.0.0.3:7101;zone=c\"]
  secret_file = \"/etc/neap/secret\"
  [node]
  id = \"n1\"
  data = \"/var/lib/neap\"
  [http]
  listen = \"10.0.0.1:8101\"
  [peer]
  listen = \"10.0.0.1:7101\"

Without [http] and [peer] a node is reached from its own machine alone. The secret is the same file on every node:
  head -c 32 /dev/urandom | base64 > /etc/neap/secret; chmod 600 /etc/neap/secret

The file may leave out any key. NEAP_SECTION__KEY in the environment wins over the file (NEAP_NODE__ID=n2;
lists are separated by commas), --set over both. --print-config shows every key there is.

Exit codes: 0 stopped cleanly; 1 failed; 2 wrong usage or configuration, each error on its line.";

/// Arguments of `neap node`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Runs one node until SIGTERM or Ctrl-C",
    long_about = "Runs one node until SIGTERM or Ctrl-C; then refuses new work, finishes what is in flight within \
                  node.drain_timeout, and stops cleanly.\n\nThe configuration comes from the file, then the \
                  environment (NEAP_SECTION__KEY), then --set; later wins. Everything that is wrong with it is \
                  said at once, and nothing is started.",
    after_help = EXAMPLES
)]
pub struct NodeArgs {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key; may be repeated, and wins over file and environment
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the resolved configuration as TOML, with the source of each value, and end
    #[arg(long)]
    pub print_config: bool,
    /// Give the data directory an id of its own, after a backup was restored or a disk was copied, and end
    #[arg(long, conflicts_with = "print_config")]
    pub new_directory_id: bool,
    /// End when standard input closes, so that a parent that is gone leaves no orphan
    #[arg(long, hide = true)]
    pub exit_on_stdin_close: bool,
    /// For tests: leave what peers send to be applied lying for so long, as a replica does that is behind
    #[arg(long, hide = true, value_name = "DURATION", value_parser = parse_duration)]
    pub test_delay_applies: Option<Duration>,
    /// For tests: let the disk hang while this file is there
    #[arg(long, hide = true, value_name = "FILE")]
    pub test_stall_disk: Option<std::path::PathBuf>,
}

/// Runs the command.
#[must_use]
pub fn run(args: NodeArgs, json: bool) -> Exit {
    let sources = Sources::of_process(args.config, args.set);
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(error) => return usage(&error.to_string(), json),
    };
    if args.print_config {
        return print_config(&config, json);
    }
    if args.new_directory_id {
        return change_directory_id(&config, json);
    }
    let NodeArgs { exit_on_stdin_close, test_delay_applies, test_stall_disk, .. } = args;
    match start(config, RunOptions { exit_on_stdin_close, test_delay_applies, test_stall_disk }, json) {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

/// Has the kernel back memory by small pages alone. The allocator asks for huge ones, and whoever first touches one of those
/// waits until two megabytes are zeroed, and first found by moving others if need be: for milliseconds, on a shard's thread.
#[cfg(target_os = "linux")]
fn take_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!("memory may come in huge pages, which makes some requests slow: {error}");
    }
}

/// How long the collector has to take what was told last.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

fn identity(config: &Config) -> Identity {
    Identity {
        node: config.node.id.clone(),
        zone: config.node.zone.clone(),
        cluster: config.cluster.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn start(config: Config, options: RunOptions, json: bool) -> Result<(), Exit> {
    let refuse = |error: &dyn std::error::Error| usage(&error.to_string(), json);
    config.check_startable().map_err(|error| refuse(&error))?;
    let secret = cluster_secret(&config).map_err(|error| refuse(&error))?;
    log::start(&config.log).map_err(|error| failed(&error.to_string(), json))?;
    let _written = log::FinishAtEnd;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if let Some(delay) = options.test_delay_applies {
        tracing::warn!(
            "--test-delay-applies: this node applies what its peers send {delay:?} late, on purpose"
        );
    }
    if let Some(file) = &options.test_stall_disk {
        tracing::warn!("--test-stall-disk: the disk hangs while {} is there, on purpose", file.display());
    }
    #[cfg(target_os = "linux")]
    take_small_pages();
    let secret = Secret::new(secret.as_bytes());
    let telemetry =
        Telemetry::start(&config.telemetry, &identity(&config)).map_err(|error| refuse(&error))?;
    let observability = Observability {
        tracing: Tracing::new(telemetry.spans(), config.telemetry.sample, config.telemetry.keys),
        metrics: telemetry.metrics(),
        dropped: telemetry.dropped(),
    };
    let ended = crate::actors::node::run(config, secret, options, observability);
    // The node is gone: what it told last is sent.
    let report = telemetry.shutdown(FLUSH_WITHIN);
    if report.spans_lost > 0 || !report.metrics_delivered {
        let (lost, all) = (report.spans_lost, report.spans_lost + report.spans_delivered);
        tracing::warn!(
            "telemetry: {lost} of {all} spans were lost at the end; metrics delivered: {}",
            report.metrics_delivered
        );
    }
    ended.map_err(|error| {
        tracing::error!("{error}");
        match error {
            StartError::Ring(_) | StartError::Weight(_) | StartError::Descriptors(_) => Exit::Usage,
            StartError::Directory(_)
            | StartError::Store(_)
            | StartError::Listen { .. }
            | StartError::Machine(_) => Exit::Failed,
        }
    })
}

fn print_config(config: &Config, json: bool) -> Exit {
    if json {
        print_json(&config.to_json());
    } else {
        print(config.to_toml().as_bytes());
    }
    Exit::Done
}

fn change_directory_id(config: &Config, json: bool) -> Exit {
    match new_directory_id(&config.node.data) {
        Ok(changed) if json => {
            let (old, new) = (changed.old.to_string(), changed.new.to_string());
            print_json(&serde_json::json!({ "old": old, "new": new }));
            Exit::Done
        }
        Ok(changed) => {
            let text = format!(
                "{} had the directory id {} and now has {}; it takes no reads until it has pulled what it may lack\n",
                config.node.data.display(),
                changed.old,
                changed.new
            );
            print(text.as_bytes());
            Exit::Done
        }
        Err(error) => failed(&format!("node.data: {error}"), json),
    }
}
