//! The founders against the rest of the configuration.

use super::{print_config, stderr};

const THREE: &str =
    "cluster.members=n1@127.0.0.1:7101;zone=a,n2@127.0.0.2:7101;zone=b;weight=2,n3@127.0.0.3:7101";

fn refused(sets: &[&str], parts: &[&str]) {
    let output = print_config(sets);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{sets:?}: {text}");
    for part in parts.iter().chain(&["accepted: "]) {
        assert!(text.contains(part), "{sets:?}: {part} is missing from\n{text}");
    }
}

#[test]
fn a_node_that_agrees_with_its_entry_is_accepted() {
    let sets = [THREE, "node.id=n2", "node.zone=b", "node.weight=2", "peer.advertise=127.0.0.2:7101"];
    let output = print_config(&sets);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_node_that_is_no_member_is_refused_unless_it_has_seeds() {
    refused(&[THREE, "node.id=n9"], &["node.id = \"n9\" (--set) contradicts cluster.members", "n1, n2, n3"]);
    let output = print_config(&[THREE, "node.id=n9", "cluster.seeds=127.0.0.1:7101"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_node_that_differs_from_its_entry_is_refused() {
    refused(
        &[THREE, "node.zone=c"],
        &["node.zone = \"c\" (--set) contradicts cluster.members", "accepted: a,"],
    );
    refused(&[THREE, "node.id=n2", "node.weight=1"], &["node.weight = 1.0 (--set)", "accepted: 2.0,"]);
    refused(
        &[THREE, "peer.advertise=127.0.0.9:7101"],
        &["peer.advertise = \"127.0.0.9:7101\" (--set)", "accepted: 127.0.0.1:7101,"],
    );
}

#[test]
fn an_entry_without_a_zone_has_the_default_zone_on_every_node() {
    refused(&[THREE, "node.id=n3", "node.zone=b"], &["the members' entry of n3 has the zone a"]);
}

#[test]
fn members_that_share_a_name_or_an_address_are_refused() {
    refused(&["cluster.members=n1@127.0.0.1:1,n2@127.0.0.2:1,n1@127.0.0.3:1"], &["n1 is there twice"]);
    refused(
        &["cluster.members=n1@127.0.0.1:1,n2@127.0.0.2:1,n3@127.0.0.1:1"],
        &["n1 and n3 have one address, 127.0.0.1:1"],
    );
}

#[test]
fn more_homes_than_members_are_refused() {
    refused(
        &["cluster.members=n1@127.0.0.1:1,n2@127.0.0.2:1"],
        &["defaults.n = 3 (default) contradicts cluster.members", "more homes for each key than the 2 nodes"],
    );
}

#[test]
fn fewer_partitions_than_members_are_refused() {
    refused(&[THREE, "cluster.partitions=2"], &["cluster.partitions = 2 (--set)", "fewer partitions"]);
}
