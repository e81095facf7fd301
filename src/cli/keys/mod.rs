//! `neap keys`: what a bucket holds.

mod progress;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::progress::Progress;
use super::exit::Exit;
use super::kv::patience;
use super::remote::{UrlArgs, complain, parse_bucket, print, print_json, refused, remark, send};
use crate::client::Call;
use crate::protocol::ids::BucketName;

/// The most keys of one page.
const PAGE: u64 = 1_000;
/// Times that a page is asked for, if others came before it: a long listing does not end with a node's short trouble.
const TRIES: u32 = 5;
/// The wait before each further try.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Arguments of `neap keys`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Lists the keys of a bucket, in byte order",
    after_help = "Examples:\n  \
        neap keys demo\n  \
        neap keys demo --prefix user/ --limit 20\n  \
        neap keys demo --start user/m --json\n\n\
        One key a line, as its bytes are. --json has each key as base64url (key64) and, if it is text, as that too; \
        where --limit left keys out, `continuation` is what --token takes to go on.\n\n\
        A key that lives all the while is listed once; one that is written or deleted meanwhile may be or not. A run \
        of deleted or expired keys takes its time: standard error shows how far it is, if that is a terminal. A page \
        that fails later than the first is asked for five times; then --token with what is said goes on."
)]
pub struct KeysArgs {
    /// The bucket: 1 to 64 characters of A-Z a-z 0-9 _ -
    #[arg(value_parser = parse_bucket)]
    pub bucket: BucketName,
    /// Only keys that start with this
    #[arg(long, value_name = "BYTES")]
    pub prefix: Option<OsString>,
    /// Only this key and those after it
    #[arg(long, value_name = "KEY")]
    pub start: Option<OsString>,
    /// At most so many keys [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Go on where a listing of the same bucket and prefix ended
    #[arg(long, value_name = "TOKEN", conflicts_with = "start")]
    pub token: Option<String>,
    /// Give up on a page after this long, for example 250ms or 2s; up to the node's limits.timeout
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub url: UrlArgs,
}

/// A page, as a node answers.
#[derive(Debug, Deserialize)]
struct Page {
    keys: Vec<Listed>,
    continuation: Option<String>,
}

/// A key, as a node lists it.
#[derive(Debug, Deserialize, Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key64: String,
    version_time: String,
    versions: u64,
}

/// Runs `neap keys`.
#[must_use]
pub fn run(args: &KeysArgs, json: bool) -> Exit {
    match list(args, json) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn list(args: &KeysArgs, json: bool) -> Result<Exit, Exit> {
    let mut listed = Vec::new();
    let (mut token, mut left) = (args.token.clone(), args.limit.unwrap_or(u64::MAX));
    let (mut progress, mut pages) = (Progress::new(json), 0);
    loop {
        let wanted =
            Wanted { token: token.clone(), limit: left.min(PAGE), tries: if pages == 0 { 1 } else { TRIES } };
        let asked = page(args, wanted, json);
        let Page { keys, continuation } = asked.inspect_err(|_| {
            progress.end();
            if let Some(token) = token.as_ref().filter(|_| pages > 0 && !json) {
                complain(&format!("--token {token} goes on"));
            }
        })?;
        pages += 1;
        left = left.saturating_sub(keys.len() as u64);
        token = continuation;
        progress.page(keys.len(), token.as_deref());
        if json {
            listed.extend(keys);
        } else {
            progress.aside(|| print(&lines(&keys)));
        }
        if token.is_none() || left == 0 {
            break;
        }
    }
    progress.end();
    if json {
        let mut document = json!({ "keys": listed });
        if let (Some(token), Some(fields)) = (token, document.as_object_mut()) {
            fields.insert("continuation".to_owned(), json!(token));
        }
        print_json(&document);
    } else if let Some(token) = token {
        remark(&format!("there are more: --token {token} goes on"));
    }
    Ok(Exit::Done)
}

/// A page to ask for.
struct Wanted {
    token: Option<String>,
    limit: u64,
    tries: u32,
}

fn page(args: &KeysArgs, wanted: Wanted, json: bool) -> Result<Page, Exit> {
    let Wanted { token, limit, mut tries } = wanted;
    let call = Call::get(format!("/v1/kv/{}", args.bucket))
        .query_bytes("prefix", args.prefix.as_ref().map(|prefix| prefix.as_bytes()))
        // The token says where to go on.
        .query_bytes("start", args.start.as_ref().filter(|_| token.is_none()).map(|start| start.as_bytes()))
        .query("limit", Some(limit))
        .query("token", token)
        .query("timeout", args.timeout.as_deref())
        .wait(patience(args.timeout.as_deref()));
    let reply = loop {
        let reply = send(&args.url, &call, json)?;
        tries -= 1;
        let may_pass = matches!(reply.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        if tries == 0 || !may_pass {
            break reply;
        }
        std::thread::sleep(TRY_AGAIN_AFTER);
    };
    if !reply.status.is_success() {
        return Err(refused(&reply, json));
    }
    serde_json::from_slice(&reply.body).map_err(|error| {
        complain(&format!("{} did not answer with a page of keys: {error}", reply.endpoint));
        Exit::Failed
    })
}

/// One key a line. What is no base64url, which no node sends, is shown as it came.
fn lines(keys: &[Listed]) -> Vec<u8> {
    let mut text = Vec::new();
    for listed in keys {
        let bytes = URL_SAFE_NO_PAD.decode(&listed.key64);
        text.extend_from_slice(&bytes.unwrap_or_else(|_| listed.key64.clone().into_bytes()));
        text.push(b'\n');
    }
    text
}
