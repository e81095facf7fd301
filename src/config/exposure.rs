//! Addresses beyond loopback: their requirements, and the warnings about what they open.

use super::Config;
use super::members::is_loopback;
use super::reader::Reader;

/// Makes a secret that is accepted, as commands of a shell.
const MAKE_SECRET: &str = "head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE";

pub(super) fn check(config: &Config, r: &mut Reader) {
    let listens_on_loopback = is_loopback(config.peer.listen.ip());
    if listens_on_loopback {
        reachable_by_members(config, r);
    } else if config.cluster.secret_file.is_none() {
        r.contradiction(
            &["peer.listen", "cluster.secret_file"],
            "whoever reaches this address and knows cluster.name could join the cluster".to_owned(),
            format!(
                "the same file of 16 bytes or more on every node as cluster.secret_file, made with: {MAKE_SECRET}; or \
                 a peer.listen on loopback, such as 127.0.0.1:7101"
            ),
        );
    }
}

/// A node of several machines must not listen where only its own machine reaches it.
fn reachable_by_members(config: &Config, r: &mut Reader) {
    let accepted = || {
        let port = config.peer.listen.port();
        format!(
            "peer.listen at an address that peers reach, such as 0.0.0.0:{port}, with cluster.secret_file"
        )
    };
    if let Some(member) = config.cluster.members.iter().find(|member| !member.address.is_loopback()) {
        let fault = format!(
            "{}@{} is beyond loopback, and from there nobody reaches a node that listens on loopback",
            member.id, member.address
        );
        r.contradiction(&["peer.listen", "cluster.members"], fault, accepted());
    } else if !config.peer.advertise.is_loopback() {
        let fault = "peers are told an address beyond loopback, where this node does not listen".to_owned();
        r.contradiction(&["peer.listen", "peer.advertise"], fault, accepted());
    }
}

/// Warnings for the operator at start, a line each.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.cluster.secret_file.is_none() {
        warnings.push(
            "cluster.secret_file is not set: the cluster's secret is derived from cluster.name, so every user of this \
             machine who knows the name can join and forge contexts"
                .to_owned(),
        );
    }
    if !is_loopback(config.http.listen.ip()) {
        warnings.push(format!(
            "http.listen = {} is beyond loopback: whoever reaches it reads and writes, since clients need no password",
            config.http.listen
        ));
    }
    warnings
}
