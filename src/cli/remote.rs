//! What all client commands do alike: find the cluster, send one call, end with the right exit code.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::exit::Exit;
use crate::client::{Call, Client, ClientError, Reply};
use crate::protocol::ids::BucketName;

/// Where the cluster is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct UrlArgs {
    /// URLs of one or more nodes, comma-separated, tried in turn [default: $NEAP_URL, else http://127.0.0.1:8101]
    #[arg(long, value_name = "URLS", global = true)]
    pub url: Option<String>,
}

/// Runs a client command's future on a runtime of its own, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Exit> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Ok(runtime.block_on(tokio::task::LocalSet::new().run_until(future))),
        Err(error) => {
            complain(&format!("cannot start the runtime: {error}"));
            Err(Exit::Failed)
        }
    }
}

/// Sends one call, telling the person why if no reply came.
pub(super) fn send(urls: &UrlArgs, call: &Call, json: bool) -> Result<Reply, Exit> {
    let mut client =
        Client::from_urls(urls.url.as_deref()).map_err(|error| usage(&error.to_string(), json))?;
    block_on(client.send(call))?.map_err(|error| not_answered(&error, json))
}

/// Ends a command whose call got no reply.
fn not_answered(error: &ClientError, json: bool) -> Exit {
    complain(&error.to_string());
    if json {
        let outcome = if error.outcome_is_unknown() { "unknown" } else { "not_applied" };
        print_json(&json!({ "error": { "title": error.to_string(), "outcome": outcome } }));
    }
    match error {
        ClientError::TimedOut { .. } => Exit::Quorum,
        ClientError::Malformed { .. } => Exit::Usage,
        ClientError::NotReached { .. } | ClientError::NoneReached { .. } | ClientError::Broken { .. } => {
            Exit::Failed
        }
    }
}

/// Ends a command that a node refused: a sentence for the person, the node's own document for programs.
pub(super) fn refused(reply: &Reply, json: bool) -> Exit {
    complain(&reply.failure_sentence());
    if let Some(wait) = reply.header("retry-after") {
        complain(&format!("it can safely be tried again in {wait} s"));
    }
    if json {
        let problem: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let problem = problem.unwrap_or_else(|| json!({ "title": reply.failure_sentence() }));
        print_json(&json!({
            "status": reply.status.as_u16(),
            "context": reply.context(),
            "error": problem,
        }));
    }
    exit_for(reply.status)
}

/// The exit code for a reply that is a failure.
pub(super) fn exit_for(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Exit::Quorum
        }
        StatusCode::BAD_REQUEST
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// Ends a command that was called wrongly.
pub(super) fn usage(message: &str, json: bool) -> Exit {
    told(message, json);
    Exit::Usage
}

/// Ends a command that was called well and could not do it.
pub(super) fn failed(message: &str, json: bool) -> Exit {
    told(message, json);
    Exit::Failed
}

/// Says what is wrong: a sentence for the person, a document for programs.
fn told(message: &str, json: bool) {
    complain(message);
    if json {
        print_json(&json!({ "error": { "title": message } }));
    }
}

/// Says what is wrong, to the person.
pub(super) fn complain(message: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "neap: {message}");
}

/// Says something at length that is not the command's output.
pub(super) fn say(text: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Says something by the way, to a person who is watching.
pub(super) fn remark(message: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = writeln!(stderr, "{message}");
    }
}

/// Prints the command's one document.
pub(super) fn print_json(document: &Value) {
    print(format!("{document:#}\n").as_bytes());
}

/// Whether some of the output could not be written.
static OUTPUT_LOST: AtomicBool = AtomicBool::new(false);

/// Prints the command's output. A reader that went away is no failure of the command.
pub(super) fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("the output cannot be written: {error}"));
            OUTPUT_LOST.store(true, Ordering::Relaxed);
        }
        Ok(()) | Err(_) => {}
    }
}

/// How a command ends that thinks that it ends so: what a full disk did not take must not look like success.
pub(super) fn ended(exit: Exit) -> Exit {
    if exit == Exit::Done && OUTPUT_LOST.load(Ordering::Relaxed) { Exit::Failed } else { exit }
}

/// Reads a bucket's name from the command line.
pub(super) fn parse_bucket(name: &str) -> Result<BucketName, String> {
    BucketName::new(name).map_err(|error| error.to_string())
}
