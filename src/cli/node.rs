//! `neap node`: runs one node.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::logging;
use super::remote::{complain, print, print_json};
use crate::actors::node::{RunOptions, StartError};
use crate::config::{Config, Sources};
use crate::storage::new_directory_id;

/// Arguments of `neap node`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Runs one node until SIGTERM or Ctrl-C",
    long_about = "Runs one node until SIGTERM or Ctrl-C; then refuses new work, finishes what is in flight within \
                  node.drain_timeout, and stops cleanly.\n\nThe configuration comes from the file, then the \
                  environment (NEAP_SECTION__KEY), then --set; later wins. Everything that is wrong with it is \
                  said at once, and nothing is started.",
    after_help = "Examples:\n  \
                  neap node --config n1.toml\n  \
                  neap node --set node.id=solo --set node.data=/tmp/solo --set defaults.n=1 --print-config\n  \
                  NEAP_LOG__LEVEL=debug neap node --config n1.toml --set storage.commit=interval"
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
    #[arg(long)]
    pub new_directory_id: bool,
    /// End when standard input closes, so that a parent that is gone leaves no orphan
    #[arg(long, hide = true)]
    pub exit_on_stdin_close: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: NodeArgs, json: bool) -> Exit {
    let sources = Sources::of_process(args.config, args.set);
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    };
    if args.print_config {
        return print_config(&config, json);
    }
    if args.new_directory_id {
        return change_directory_id(&config, json);
    }
    logging::start(&config.log);
    let options = RunOptions { exit_on_stdin_close: args.exit_on_stdin_close };
    match crate::actors::node::run(config, options) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error.to_string());
            match error {
                StartError::Secret(_) | StartError::Ring(_) | StartError::Weight(_) => Exit::Usage,
                StartError::Directory(_)
                | StartError::Store(_)
                | StartError::Listen { .. }
                | StartError::Machine(_) => Exit::Failed,
            }
        }
    }
}

fn print_config(config: &Config, json: bool) -> Exit {
    if !json {
        print(config.to_toml().as_bytes());
        return Exit::Done;
    }
    let settings = config.settings().iter().map(|setting| {
        let entry = serde_json::json!({ "value": setting.value, "source": setting.source.to_string() });
        (setting.key.clone(), entry)
    });
    print_json(&serde_json::Value::Object(settings.collect()));
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
        Err(error) => {
            complain(&format!("node.data: {error}"));
            Exit::Failed
        }
    }
}
