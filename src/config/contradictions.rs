//! Keys that are right each for itself and do not fit each other.

use std::net::SocketAddr;

use super::members::MemberConfig;
use super::reader::Reader;
use super::units::{format_duration, format_size};
use super::{Config, exposure};
use crate::protocol::bucket::BucketSettings;

pub(super) fn check(config: &Config, r: &mut Reader) {
    quorum(&config.defaults_as_bucket_settings(), r);
    if config.cluster.seeds.is_empty() && !config.cluster.members.is_empty() {
        founders(config, r);
    }
    if let Some(own) = config.cluster.members.iter().find(|member| member.id == config.node.id) {
        own_entry(config, own, r);
    }
    values(config, r);
    listeners(config, r);
    exposure::check(config, r);
    budgets(config, r);
    alerts(config, r);
}

fn quorum(settings: &BucketSettings, r: &mut Reader) {
    let q = settings.quorum;
    let mut whole = true;
    if let Err(error) = q.check_r(q.r) {
        whole = false;
        r.contradiction(&["defaults.r", "defaults.n"], error.to_string(), format!("r from 1 to {}", q.n));
    }
    if let Err(error) = q.check_w(q.w, 1) {
        whole = false;
        r.contradiction(&["defaults.w", "defaults.n"], error.to_string(), format!("w from 1 to {}", q.n));
    }
    if let Some(error) = settings.validate().err().filter(|_| whole) {
        let accepted = format!("w_min from 1 to {}", q.w);
        r.contradiction(&["defaults.w_min", "defaults.w"], error.to_string(), accepted);
    }
}

/// Objects of buckets that were never set must have room for the values that are allowed.
fn values(config: &Config, r: &mut Reader) {
    let Err(why) = config.value_limit().check(config.defaults.n) else { return };
    let n = match why.highest_n {
        0 => String::new(),
        highest => format!(", or n from 1 to {highest}"),
    };
    r.contradiction(
        &["limits.value", "defaults.n"],
        "the states of all replicas of a key would not fit one message between nodes".to_owned(),
        format!("a value of at most {}{n}", format_size(why.highest_value_bytes)),
    );
}

/// What must hold when the founders are all there is.
fn founders(config: &Config, r: &mut Reader) {
    let members = &config.cluster.members;
    let count = members.len();
    let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
    if usize::from(config.defaults.n) > count {
        r.contradiction(
            &["defaults.n", "cluster.members"],
            format!("more homes for each key than the {nodes} of the cluster"),
            format!("n from 1 to {count}, or more members"),
        );
    }
    if count > config.cluster.partitions as usize {
        r.contradiction(
            &["cluster.partitions", "cluster.members"],
            format!("fewer partitions than the {nodes} of the cluster"),
            "a power of two that gives each node one partition at least".to_owned(),
        );
    }
    if !members.iter().any(|member| member.id == config.node.id) {
        let names: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
        r.contradiction(
            &["node.id", "cluster.members"],
            "this node is not among the members".to_owned(),
            format!("{}; or cluster.seeds, for a node that joins later", names.join(", ")),
        );
    }
}

/// This node's own entry is what its peers go by, so it must be what the node goes by.
fn own_entry(config: &Config, own: &MemberConfig, r: &mut Reader) {
    let node = &config.node;
    let mut differs = |key: &'static str, what: &str, entry: String| {
        r.contradiction(
            &[key, "cluster.members"],
            format!("the members' entry of {} has the {what} {entry}", own.id),
            format!("{entry}, or an entry that says otherwise, in the list of every node"),
        );
    };
    if node.zone != own.zone {
        differs("node.zone", "zone", own.zone.clone());
    }
    if node.weight != own.weight {
        differs("node.weight", "weight", format!("{:?}", own.weight));
    }
    if config.peer.advertise != own.address {
        differs("peer.advertise", "address", own.address.to_string());
    }
}

fn listeners(config: &Config, r: &mut Reader) {
    let (http, peer) = (config.http.listen, config.peer.listen);
    if http.port() == peer.port() && overlap(http, peer) {
        r.contradiction(
            &["http.listen", "peer.listen"],
            "clients and peers cannot be served at one address".to_owned(),
            "different ports".to_owned(),
        );
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
}

fn budgets(config: &Config, r: &mut Reader) {
    let (hints, repair) = (&config.hints, &config.repair);
    if hints.per_target > hints.total {
        r.contradiction(
            &["hints.per_target", "hints.total"],
            "more for one node than in all".to_owned(),
            format!("at most {}", format_size(hints.total)),
        );
    }
    if repair.floor > repair.ceiling {
        r.contradiction(
            &["repair.floor", "repair.ceiling"],
            "the floor is above the ceiling".to_owned(),
            format!("at most {}", format_size(repair.ceiling)),
        );
    }
}

/// A ticket that comes after its page comes too late.
fn alerts(config: &Config, r: &mut Reader) {
    let (page, ticket) = (&config.slo.page, &config.slo.ticket);
    let mut late = |wrong: bool, ticket: &'static str, page: &'static str, most: String| {
        if wrong {
            let fault = "the ticket's threshold is above the page's".to_owned();
            r.contradiction(&[ticket, page], fault, format!("at most {most}"));
        }
    };
    late(
        ticket.age_p95 > page.age_p95,
        "slo.ticket.age_p95",
        "slo.page.age_p95",
        format_duration(page.age_p95),
    );
    late(
        ticket.stale_reads > page.stale_reads,
        "slo.ticket.stale_reads",
        "slo.page.stale_reads",
        page.stale_reads.to_string(),
    );
    late(
        ticket.convergence_p999 > page.convergence_p999,
        "slo.ticket.convergence_p999",
        "slo.page.convergence_p999",
        format_duration(page.convergence_p999),
    );
    late(
        ticket.burn_fast.rate > page.burn_slow.rate,
        "slo.ticket.burn_fast",
        "slo.page.burn_slow",
        page.burn_slow.rate.to_string(),
    );
    let within = config.slo.ticket.age_p95_within;
    let minutes = ticket.age_p95_minutes;
    if u64::from(minutes) * 60 > within.as_secs() {
        r.contradiction(
            &["slo.ticket.age_p95_minutes", "slo.ticket.age_p95_within"],
            "more minutes than there are".to_owned(),
            format!("at most {}", within.as_secs() / 60),
        );
    }
}
