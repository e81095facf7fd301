//! `neap ready`: whether nodes serve.

use std::time::{Duration, Instant};

use clap::Args;
use hyper::StatusCode;
use serde_json::json;

use super::exit::Exit;
use super::remote::{UrlArgs, block_on, complain, print, print_json, usage};
use crate::client::{Call, Connection, Endpoint, endpoints_of};
use crate::config::units::parse_duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Arguments of `neap ready`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Says whether nodes serve, and waits for it if asked to",
    long_about = "Asks each node for GET /readyz. Exit code 0 if all of them are ready, else 1: for health checks and \
                  for scripts that have to wait for a cluster.",
    after_help = "Examples:\n  \
                  neap ready\n  \
                  neap ready --wait 60s --url http://127.0.0.1:8101,http://127.0.0.1:8102"
)]
pub struct ReadyArgs {
    #[command(flatten)]
    urls: UrlArgs,
    /// How long to wait until all are ready
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    wait: Duration,
}

/// Runs the command.
#[must_use]
pub fn run(args: &ReadyArgs, json: bool) -> Exit {
    let endpoints = match endpoints_of(args.urls.url.as_deref()) {
        Ok(endpoints) => endpoints,
        Err(error) => return usage(&error.to_string(), json),
    };
    let states = match block_on(wait(&endpoints, args.wait)) {
        Ok(states) => states,
        Err(exit) => return exit,
    };
    let ready = states.iter().all(|(_, why)| why.is_none());
    if json {
        let nodes = states.iter().map(
            |(endpoint, why)| json!({ "url": endpoint.to_string(), "ready": why.is_none(), "why": why }),
        );
        print_json(&json!({ "ready": ready, "nodes": nodes.collect::<Vec<_>>() }));
    } else {
        for (endpoint, why) in &states {
            match why {
                None => print(format!("{endpoint} is ready\n").as_bytes()),
                Some(why) => complain(&format!("{endpoint} is not ready: {why}")),
            }
        }
    }
    if ready { Exit::Done } else { Exit::Failed }
}

/// Each node, with what keeps it from being ready, once nothing does or the time is up.
async fn wait(endpoints: &[Endpoint], patience: Duration) -> Vec<(Endpoint, Option<String>)> {
    let until = Instant::now() + patience;
    let mut states: Vec<(Endpoint, Option<String>)> = Vec::new();
    for endpoint in endpoints {
        let why = loop {
            let why = not_ready(endpoint).await;
            if why.is_none() || Instant::now() + PAUSE > until {
                break why;
            }
            tokio::time::sleep(PAUSE).await;
        };
        states.push((endpoint.clone(), why));
    }
    states
}

async fn not_ready(endpoint: &Endpoint) -> Option<String> {
    let asked = async {
        let mut connection = Connection::open(endpoint, ANSWER).await?;
        connection.send(&Call::get("/readyz"), ANSWER).await
    };
    match asked.await {
        Ok(reply) if reply.status == StatusCode::OK => None,
        Ok(reply) => {
            let body: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
            let why = body.as_ref().and_then(|body| body.get("why")).and_then(serde_json::Value::as_str);
            Some(why.map_or_else(|| format!("it answers {}", reply.status), str::to_owned))
        }
        Err(error) => Some(error.to_string()),
    }
}
