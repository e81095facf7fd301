//! `neap put`, `neap get`, `neap delete`: one operation each.

mod render;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::Args;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};

use super::exit::Exit;
use super::remote::{UrlArgs, complain, parse_bucket, print, print_json, refused, remark, send, usage};
use crate::client::{Call, kv_target};
use crate::config::units::parse_duration;
use crate::protocol::bounds::MESSAGE_BYTES_MAX;
use crate::protocol::ids::{BucketName, Key, WriteId};

/// The most that `limits.value` can be: no message between nodes carries more.
const VALUE_MAX: usize = MESSAGE_BYTES_MAX;
/// How much longer than `--timeout` a node's reply is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// Which key.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// The bucket: 1 to 64 characters of A-Z a-z 0-9 _ -
    #[arg(value_parser = parse_bucket)]
    pub bucket: BucketName,
    /// The key: any bytes
    pub key: OsString,
}

/// What every operation takes.
#[derive(Debug, Clone, Args)]
pub struct OperationArgs {
    /// Give up after this long, for example 250ms or 2s; up to the node's limits.timeout
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub url: UrlArgs,
}

/// What every write takes.
#[derive(Debug, Clone, Args)]
pub struct WriteOptions {
    /// Replicas that must acknowledge the write [default: the bucket's w]
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u8).range(1..=15))]
    pub w: Option<u8>,
    /// The context a read returned: this write replaces exactly what that read showed
    #[arg(long)]
    pub context: Option<String>,
    /// 32 hexadecimal digits that make it safe to send this write again [default: drawn anew]
    #[arg(long, value_name = "HEX", value_parser = parse_write_id)]
    pub write_id: Option<WriteId>,
    /// What every operation takes.
    #[command(flatten)]
    pub operation: OperationArgs,
}

/// Arguments of `neap put`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Writes a value",
    after_help = "Examples:\n  \
        neap put demo greeting hello\n  \
        neap put demo photo --content-type image/png - < photo.png\n  \
        neap put demo greeting goodbye --context CONTEXT    (CONTEXT as `neap get` showed it)\n\n\
        Without --context the write replaces what the node holds at that moment (or becomes a sibling of it, as \
        the bucket's blind_write says)."
)]
pub struct PutArgs {
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// The value; `-` or nothing reads it from standard input
    pub value: Option<OsString>,
    /// The value's media type [default: application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Show the value for this long, for example 3h [default: the bucket's ttl]
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,
    /// What every write takes.
    #[command(flatten)]
    pub write: WriteOptions,
}

/// Arguments of `neap get`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Reads a value",
    after_help = "Examples:\n  \
        neap get demo greeting\n  \
        neap get demo greeting --r 1 --json\n  \
        neap get demo photo > photo.png\n\n\
        The value's bytes go to standard output as they are; on a terminal, the context that a later write of the \
        key gives back goes to standard error. Concurrent values (siblings) are listed one after the other.\n\n\
        Exit code 3 says that there is no such key."
)]
pub struct GetArgs {
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Replicas that must answer [default: the bucket's r]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u8).range(1..=15))]
    pub r: Option<u8>,
    /// Refuse an answer that may miss an acknowledged write older than this, for example 500ms
    #[arg(long, value_name = "DURATION")]
    pub max_staleness: Option<String>,
    /// What every operation takes.
    #[command(flatten)]
    pub operation: OperationArgs,
}

/// Arguments of `neap delete`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Deletes a key",
    after_help = "Examples:\n  \
        neap delete demo greeting\n  \
        neap delete demo greeting --context CONTEXT --w 3    (deletes only what that context covers)"
)]
pub struct DeleteArgs {
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// What every write takes.
    #[command(flatten)]
    pub write: WriteOptions,
}

/// Runs `neap put`.
#[must_use]
pub fn put(args: PutArgs, json: bool) -> Exit {
    ended(try_put(args, json))
}

/// Runs `neap get`.
#[must_use]
pub fn get(args: GetArgs, json: bool) -> Exit {
    ended(try_get(args, json))
}

/// Runs `neap delete`.
#[must_use]
pub fn delete(args: DeleteArgs, json: bool) -> Exit {
    ended(try_delete(args, json))
}

fn ended(run: Result<Exit, Exit>) -> Exit {
    match run {
        Ok(exit) | Err(exit) => exit,
    }
}

fn try_put(args: PutArgs, json: bool) -> Result<Exit, Exit> {
    let target = key_target(args.key, json)?;
    let value = read_value(args.value).map_err(|error| {
        complain(&format!("cannot read the value from standard input: {error}"));
        Exit::Failed
    })?;
    if value.len() > VALUE_MAX {
        let max = VALUE_MAX >> 20;
        return Err(usage(&format!("the value is too long: no node accepts more than {max} MiB"), json));
    }
    let mut call = Call::put(target, value).query("ttl", args.ttl);
    if let Some(content_type) = args.content_type {
        call = call.header("content-type", header_value("--content-type", &content_type, json)?);
    }
    write(call, args.write, json)
}

fn try_delete(args: DeleteArgs, json: bool) -> Result<Exit, Exit> {
    let call = Call::new(Method::DELETE, key_target(args.key, json)?);
    write(call, args.write, json)
}

fn write(call: Call, options: WriteOptions, json: bool) -> Result<Exit, Exit> {
    let mut call = call.query("w", options.w).query("timeout", options.operation.timeout.as_deref());
    call = call.wait(patience(options.operation.timeout.as_deref()));
    let write_id = match options.write_id {
        Some(write_id) => write_id,
        None => draw_write_id()?,
    };
    call = call.header("neap-write-id", header_value("--write-id", &write_id.to_string(), json)?);
    if let Some(context) = options.context {
        call = call.header("neap-context", header_value("--context", &context, json)?);
    }
    let reply = match send(&options.operation.url, &call, json) {
        Ok(reply) => reply,
        Err(exit) => {
            remark(&format!("the same command with --write-id {write_id} can safely be run again"));
            return Err(exit);
        }
    };
    if !reply.status.is_success() {
        return Err(refused(&reply, json));
    }
    if json {
        print_json(&render::written(&reply));
    } else {
        let done = if call.method == Method::DELETE { "deleted" } else { "stored" };
        print(render::written_sentence(&reply, done).as_bytes());
    }
    Ok(Exit::Done)
}

fn try_get(args: GetArgs, json: bool) -> Result<Exit, Exit> {
    let call = Call::get(key_target(args.key, json)?)
        .query("r", args.r)
        .query("max_staleness", args.max_staleness)
        .query("timeout", args.operation.timeout.as_deref())
        .wait(patience(args.operation.timeout.as_deref()));
    let reply = send(&args.operation.url, &call, json)?;
    match (reply.status, json) {
        (StatusCode::OK | StatusCode::MULTIPLE_CHOICES, true) => match render::value(&reply) {
            Ok(document) => print_json(&document),
            Err(error) => return Err(unreadable(&error)),
        },
        (StatusCode::OK, false) => {
            print(&reply.body);
            if let Some(context) = reply.context() {
                remark(&format!("\ncontext: {context}"));
            }
        }
        (StatusCode::MULTIPLE_CHOICES, false) => match render::siblings_for_people(&reply) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => return Err(unreadable(&error)),
        },
        _ => return Err(refused(&reply, json)),
    }
    Ok(Exit::Done)
}

fn unreadable(error: &serde_json::Error) -> Exit {
    complain(&format!("the node's siblings are not the document expected: {error}"));
    Exit::Failed
}

fn key_target(args: KeyArgs, json: bool) -> Result<String, Exit> {
    if args.key.is_empty() {
        return Err(usage("the key is empty: 1 byte or more is accepted", json));
    }
    Ok(kv_target(&args.bucket, &Key::new(args.key.into_vec())))
}

/// A little longer than the node was told to take, so that it is the node that says what is certain. What is no duration
/// the node refuses.
pub(super) fn patience(timeout: Option<&str>) -> Option<Duration> {
    timeout.and_then(|timeout| parse_duration(timeout).ok()).map(|timeout| timeout + GRACE)
}

fn read_value(value: Option<OsString>) -> std::io::Result<Vec<u8>> {
    match value {
        Some(value) if value != "-" => Ok(value.into_vec()),
        _ => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(VALUE_MAX as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

fn header_value(flag: &str, value: &str, json: bool) -> Result<HeaderValue, Exit> {
    HeaderValue::from_str(value)
        .map_err(|_| usage(&format!("{flag} {value:?}: visible ASCII characters are accepted"), json))
}

fn parse_write_id(text: &str) -> Result<WriteId, String> {
    WriteId::parse(text)
        .ok_or_else(|| format!("{text:?} is not a write id: 32 hexadecimal digits are accepted"))
}

fn draw_write_id() -> Result<WriteId, Exit> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        complain(&format!("the system gives no random numbers: {error}"));
        Exit::Failed
    })?;
    Ok(WriteId(u128::from_be_bytes(bytes)))
}
