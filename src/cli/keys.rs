//! `neap keys`: what a bucket holds.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::exit::Exit;
use super::kv::patience;
use super::remote::{UrlArgs, complain, parse_bucket, print, print_json, refused, remark, send};
use crate::client::Call;
use crate::protocol::ids::BucketName;

/// The most keys of one page.
const PAGE: u64 = 1_000;

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
        A key that lives all the while is listed once; one that is written or deleted meanwhile may be or not."
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
    loop {
        let Page { keys, continuation } = page(args, token, left.min(PAGE), json)?;
        left = left.saturating_sub(keys.len() as u64);
        if json {
            listed.extend(keys);
        } else {
            print(&lines(&keys));
        }
        token = continuation;
        if token.is_none() || left == 0 {
            break;
        }
    }
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

fn page(args: &KeysArgs, token: Option<String>, limit: u64, json: bool) -> Result<Page, Exit> {
    let call = Call::get(format!("/v1/kv/{}", args.bucket))
        .query_bytes("prefix", args.prefix.as_ref().map(|prefix| prefix.as_bytes()))
        // The token says where to go on.
        .query_bytes("start", args.start.as_ref().filter(|_| token.is_none()).map(|start| start.as_bytes()))
        .query("limit", Some(limit))
        .query("token", token)
        .query("timeout", args.timeout.as_deref())
        .wait(patience(args.timeout.as_deref()));
    let reply = send(&args.url, &call, json)?;
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
