//! `neap ring`: who owns what.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::Exit;
use super::remote::{UrlArgs, complain, parse_bucket, print, print_json, refused, send, usage};
use super::table::Table;
use crate::client::{Call, ring_key_target};
use crate::protocol::ids::{BucketName, Key};

/// Arguments of `neap ring`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Shows who owns what",
    after_help = "Examples:\n  \
        neap ring                        the members and what each of them owns\n  \
        neap ring key demo greeting      the preference list of one key"
)]
pub struct RingArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<RingCommand>,
    /// Where the cluster is.
    #[command(flatten)]
    pub url: UrlArgs,
}

/// What to show of the ring.
#[derive(Debug, Clone, Subcommand)]
pub enum RingCommand {
    /// Shows the preference list of a key: its homes, in order
    #[command(after_help = "Example:\n  neap ring key carts alice")]
    Key {
        /// The bucket
        #[arg(value_parser = parse_bucket)]
        bucket: BucketName,
        /// The key: any bytes
        key: OsString,
    },
}

/// Runs `neap ring`.
#[must_use]
pub fn run(args: RingArgs, json: bool) -> Exit {
    let (call, render): (Call, fn(&Value) -> String) = match args.command {
        None => (Call::get("/v1/ring"), ring_for_people),
        Some(RingCommand::Key { key, .. }) if key.is_empty() => {
            return usage("the key is empty: 1 byte or more is accepted", json);
        }
        Some(RingCommand::Key { bucket, key }) => {
            (Call::get(ring_key_target(&bucket, &Key::new(key.into_vec()))), key_for_people)
        }
    };
    let reply = match send(&args.url, &call, json) {
        Ok(reply) => reply,
        Err(exit) => return exit,
    };
    if !reply.status.is_success() {
        return refused(&reply, json);
    }
    match serde_json::from_slice(&reply.body) {
        Ok(document) if json => print_json(&document),
        Ok(document) => print(render(&document).as_bytes()),
        Err(error) => {
            complain(&format!("{} did not answer with JSON: {error}", reply.endpoint));
            return Exit::Failed;
        }
    }
    Exit::Done
}

fn ring_for_people(document: &Value) -> String {
    let mut text = String::new();
    let field = |name: &str| document.get(name).map(cell).unwrap_or_default();
    let _ = writeln!(
        text,
        "cluster {}, epoch {}, {} partitions, n = {}\n",
        field("cluster"),
        field("epoch"),
        field("partitions"),
        field("n")
    );
    let columns = ["id", "zone", "weight", "address", "state", "partitions", "first"];
    let mut table = Table::new(columns);
    for member in document.get("members").and_then(Value::as_array).into_iter().flatten() {
        table.row(columns.map(|name| member_cell(member, name)).to_vec());
    }
    text.push_str(&table.render());
    match document.get("incomplete_partitions").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(count) => {
            let _ = writeln!(text, "\n{count} partitions of this node are not complete yet");
        }
    }
    text
}

fn member_cell(member: &Value, name: &str) -> String {
    match (member.get(name), member.get("up").and_then(Value::as_bool)) {
        (Some(value), _) => cell(value),
        (None, Some(up)) if name == "state" => (if up { "up" } else { "down" }).to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn key_for_people(document: &Value) -> String {
    let partition = document.get("partition").map(cell).unwrap_or_default();
    format!("partition {partition}, homes in order: {}\n", homes_of(document).join(", "))
}

/// The names in the preference list of `GET /v1/ring/{bucket}/{key}`.
pub(super) fn homes_of(document: &Value) -> Vec<&str> {
    let list = document.get("preference_list").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_rows_and_those_down_are_said_to_be() {
        let document = json!({ "cluster": "neap", "epoch": 1, "partitions": 64, "n": 3, "members": [
            { "id": "n1", "zone": "a", "weight": 1.0, "address": "h:1", "up": true, "partitions": 64, "first": 30 },
            { "id": "n2", "zone": "b", "weight": 1.0, "address": "h:2", "state": "down", "partitions": 64, "first": 34 },
        ] });
        let text = ring_for_people(&document);
        assert!(text.starts_with("cluster neap, epoch 1, 64 partitions, n = 3\n"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("n1") && line.contains(" up ")), "{text}");
        assert!(text.lines().any(|line| line.starts_with("n2") && line.contains(" down ")), "{text}");
    }

    #[test]
    fn a_keys_homes_are_in_order() {
        let document = json!({ "partition": 7, "preference_list": ["n3", "n1"] });
        assert_eq!(key_for_people(&document), "partition 7, homes in order: n3, n1\n");
    }
}
