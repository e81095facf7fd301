//! `neap bucket`: the properties of buckets.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::remote::{UrlArgs, complain, parse_bucket, print, print_json, refused, send, usage};
use super::table::Table;
use crate::client::Call;
use crate::protocol::ids::BucketName;

/// Arguments of `neap bucket`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Shows and sets the properties of buckets",
    after_help = "Examples:\n  \
        neap bucket list\n  \
        neap bucket show sessions\n  \
        neap bucket set sessions n=3 r=1 w=2 resolution=lww ttl=3h"
)]
pub struct BucketArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BucketCommand,
    /// Where the cluster is.
    #[command(flatten)]
    pub url: UrlArgs,
}

/// What to do with buckets.
#[derive(Debug, Clone, Subcommand)]
pub enum BucketCommand {
    /// Lists the buckets that were ever set
    #[command(after_help = "Example:\n  neap bucket list --json")]
    List,
    /// Shows a bucket's properties; those of one never set are the cluster's defaults
    #[command(after_help = "Example:\n  neap bucket show carts")]
    Show {
        /// The bucket
        #[arg(value_parser = parse_bucket)]
        bucket: BucketName,
    },
    /// Sets all properties of a bucket; what is left out takes its default
    #[command(after_help = "Example:\n  neap bucket set sessions n=3 r=1 w=2 resolution=lww ttl=24h")]
    Set {
        /// The bucket
        #[arg(value_parser = parse_bucket)]
        bucket: BucketName,
        /// n, r, w, w_min, siblings_max, weight (numbers); sloppy (true, false); resolution (siblings, lww); blind_write (overwrite,
        /// sibling); read_repair (blocking, async, off); ttl (a duration)
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = parse_property)]
        properties: Vec<(String, Value)>,
    },
}

/// Runs `neap bucket`.
#[must_use]
pub fn run(args: BucketArgs, json: bool) -> Exit {
    let call = match args.command {
        BucketCommand::List => Call::get("/v1/buckets"),
        BucketCommand::Show { bucket } => Call::get(format!("/v1/buckets/{bucket}")),
        BucketCommand::Set { bucket, properties } => match set_call(&bucket, properties) {
            Ok(call) => call,
            Err(message) => return usage(&message, json),
        },
    };
    let reply = match send(&args.url, &call, json) {
        Ok(reply) => reply,
        Err(exit) => return exit,
    };
    if !reply.status.is_success() {
        return refused(&reply, json);
    }
    let document: Value = if reply.body.is_empty() {
        json!({ "status": reply.status.as_u16() })
    } else {
        match serde_json::from_slice(&reply.body) {
            Ok(document) => document,
            Err(error) => {
                complain(&format!("{} did not answer with JSON: {error}", reply.endpoint));
                return Exit::Failed;
            }
        }
    };
    if json {
        print_json(&document);
    } else {
        print(for_people(&document).as_bytes());
    }
    Exit::Done
}

fn set_call(bucket: &BucketName, properties: Vec<(String, Value)>) -> Result<Call, String> {
    let mut body = Map::new();
    for (name, value) in properties {
        if body.insert(name.clone(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let mut call = Call::put(format!("/v1/buckets/{bucket}"), Value::Object(body).to_string());
    call = call.header("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(call)
}

fn parse_property(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or_else(|| format!("{text:?} is not a property: NAME=VALUE is accepted, for example n=3"))?;
    let value = match value {
        "true" => json!(true),
        "false" => json!(false),
        _ => number(value).unwrap_or_else(|| json!(value)),
    };
    Ok((name.to_owned(), value))
}

/// A number as it was written: `3` is no `3.0`.
fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<u64>().ok().map(|number| json!(number));
    // JSON knows neither infinity nor NaN, and both would become null.
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| json!(number)))
}

/// A list as a table with a row a bucket, one bucket as a row a property.
fn for_people(document: &Value) -> String {
    let listed = document.get("buckets").unwrap_or(document);
    if let Some(buckets) = listed.as_array() {
        return list_for_people(buckets);
    }
    let mut table = Table::new(["property", "value"]);
    for (name, value) in document.as_object().into_iter().flatten() {
        table.row(vec![name.clone(), cell(value)]);
    }
    table.render()
}

const LISTED: [&str; 11] = [
    "bucket",
    "n",
    "r",
    "w",
    "w_min",
    "resolution",
    "blind_write",
    "siblings_max",
    "weight",
    "read_repair",
    "sloppy",
];

fn list_for_people(buckets: &[Value]) -> String {
    if buckets.is_empty() {
        return "no bucket was set yet: all have the defaults (neap bucket show NAME)\n".to_owned();
    }
    let mut table = Table::new(LISTED);
    for bucket in buckets {
        let field = |name: &str| match (name, bucket.get(name).or_else(|| bucket.get("name"))) {
            ("bucket", found) => found.map_or_else(|| "-".to_owned(), cell),
            (name, _) => bucket.get(name).map_or_else(|| "-".to_owned(), cell),
        };
        table.row(LISTED.map(field).to_vec());
    }
    table.render()
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

    #[test]
    fn properties_are_numbers_truth_values_or_words() {
        assert_eq!(parse_property("n=3"), Ok(("n".to_owned(), json!(3))));
        assert_eq!(parse_property("weight=2.5"), Ok(("weight".to_owned(), json!(2.5))));
        assert_eq!(parse_property("weight=inf"), Ok(("weight".to_owned(), json!("inf"))));
        assert_eq!(parse_property("sloppy=true"), Ok(("sloppy".to_owned(), json!(true))));
        assert_eq!(parse_property("ttl=3h"), Ok(("ttl".to_owned(), json!("3h"))));
        assert!(parse_property("n").is_err());
        assert!(parse_property("=3").is_err());
    }

    #[test]
    fn a_property_given_twice_is_refused() {
        let twice = vec![("n".to_owned(), json!(3)), ("n".to_owned(), json!(5))];
        assert!(set_call(&BucketName::new("b").unwrap(), twice).is_err());
    }

    #[test]
    fn buckets_are_listed_by_name() {
        let document = json!({ "buckets": [{ "bucket": "a", "n": 3, "r": 2, "w": 2 }] });
        let text = for_people(&document);
        assert!(text.lines().nth(1).unwrap().starts_with("a       3  2  2"), "{text}");
    }
}
