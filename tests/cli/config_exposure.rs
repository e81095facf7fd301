//! Who can reach a node: nobody from elsewhere, unless it was told so, with a secret.

use std::process::Command;

use neap::config::{Config, Sources, cluster_secret};

use super::{print_config, run, stderr, stdout};

const SECRET: &str = "cluster.secret_file=/secret";

fn accepted(sets: &[&str]) -> String {
    let output = print_config(sets);
    assert_eq!(output.status.code(), Some(0), "{sets:?}: {}", stderr(&output));
    stdout(&output)
}

fn refused(sets: &[&str], parts: &[&str]) {
    let output = print_config(sets);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{sets:?}: {text}");
    for part in parts.iter().chain(&["has 1 error:", "accepted: "]) {
        assert!(text.contains(part), "{sets:?}: {part} is missing from\n{text}");
    }
}

fn warnings(sets: &[&str]) -> Vec<String> {
    let set = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::load(&Sources { set, ..Sources::default() }).unwrap().warnings()
}

#[test]
fn a_node_that_was_told_nothing_is_on_loopback_alone() {
    let printed = accepted(&[]);
    for line in [
        "listen = \"127.0.0.1:8101\"  # default",
        "listen = \"127.0.0.1:7101\"  # default",
        "advertise = \"127.0.0.1:7101\"  # default, follows peer.listen",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing from\n{printed}");
    }
}

#[test]
fn an_advertised_address_follows_a_loopback_listener_and_else_the_name_of_the_node() {
    for (listen, advertise) in [
        ("127.0.0.9:7", "127.0.0.9:7"),
        ("[::1]:7", "[::1]:7"),
        ("0.0.0.0:7", "n4:7"),
        ("10.0.0.1:7", "n4:7"),
    ] {
        let printed = accepted(&["node.id=n4", SECRET, &format!("peer.listen={listen}")]);
        assert!(printed.contains(&format!("advertise = \"{advertise}\"  # default, follows ")), "{printed}");
    }
}

#[test]
fn a_member_beyond_loopback_is_refused_by_a_node_that_listens_on_loopback() {
    for host in ["n2", "10.0.0.2", "0.0.0.0", "[fe80::1]", "localhost.example"] {
        let members = format!("cluster.members=n1@127.0.0.1:7101,n2@{host}:7102,n3@127.0.0.3:7103");
        let named = format!("\"n2@{host}:7102;zone=a;weight=1.0\"");
        let both = ["peer.listen = \"127.0.0.1:7101\" (default) contradicts cluster.members = [", &named];
        refused(&[&members], &both);
        refused(&[&members, SECRET], &both);
        accepted(&[&members, SECRET, "peer.listen=0.0.0.0:7101"]);
    }
    accepted(&["cluster.members=n1@localhost:7101,n2@127.8.9.1:7102,n3@[::1]:7103"]);
}

#[test]
fn an_advertised_address_beyond_loopback_is_refused_by_a_node_that_listens_on_loopback() {
    let both = ["peer.listen = \"[::1]:7101\" (--set) contradicts peer.advertise = \"n1:7101\" (--set)"];
    refused(&["peer.listen=[::1]:7101", "peer.advertise=n1:7101"], &both);
    refused(&["peer.listen=[::1]:7101", "peer.advertise=n1:7101", SECRET], &both);
    accepted(&["peer.listen=[::]:7101", "peer.advertise=n1:7101", SECRET]);
    accepted(&["peer.listen=127.0.0.1:7101", "peer.advertise=LOCALHOST:9"]);
}

#[test]
fn peers_beyond_loopback_are_served_with_a_secret_alone() {
    for listen in ["0.0.0.0:7101", "[::]:7101", "192.0.2.1:7101"] {
        let listen_set = format!("peer.listen={listen}");
        let both =
            format!("peer.listen = \"{listen}\" (--set) contradicts cluster.secret_file = \"\" (default)");
        refused(&[&listen_set], &[&both, "head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE"]);
        refused(&[&listen_set, "cluster.members=n1@127.0.0.1:7101,n2@127.0.0.1:7102,n3@n3:1"], &[&both]);
        accepted(&[&listen_set, SECRET]);
    }
    let output = run(&["node", "--set", "cluster.members=n1@n1:7101", "--set", "peer.listen=0.0.0.0:7101"]);
    assert_eq!(output.status.code(), Some(2), "no node starts: {}", stderr(&output));
}

#[test]
fn the_commands_that_the_refusal_names_make_a_secret() {
    let text = stderr(&print_config(&["peer.listen=0.0.0.0:7101"]));
    let (_, commands) = text.split_once("made with: ").unwrap();
    let (commands, _) = commands.split_once("; or").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let commands = commands.replace("FILE", file.to_str().unwrap());
    assert!(Command::new("sh").args(["-ec", &commands]).status().unwrap().success(), "{commands}");
    let set = vec![format!("cluster.secret_file={}", file.display()), "peer.listen=0.0.0.0:7101".to_owned()];
    let config = Config::load(&Sources { set, ..Sources::default() }).unwrap();
    assert_eq!(cluster_secret(&config).unwrap().as_bytes().len(), 44);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn clients_call_a_node_by_the_hosts_of_all_members_its_own_and_those_that_are_named() {
    let set = [
        "cluster.members=n1@N1.example:7101,n2@[fd00::2]:7101,n3@n3:7101",
        "cluster.seeds=elsewhere:7101",
        "node.id=n9",
        "peer.listen=0.0.0.0:7101",
        "peer.advertise=n9.example:7101",
        SECRET,
        "http.hosts=db.example,*",
    ];
    let load = |set: &[&str]| {
        let set = set.iter().map(|set| (*set).to_owned()).collect();
        Config::load(&Sources { set, ..Sources::default() })
    };
    assert!(load(&set).is_err(), "a wildcard is none");
    let config = load(&[&set[..6], &["http.hosts=DB.example"]].concat()).unwrap();
    let hosts: Vec<_> = config.known_hosts().collect();
    assert_eq!(hosts, ["N1.example", "[fd00::2]", "n3", "n9.example", "db.example"]);
}

#[test]
fn clients_beyond_loopback_are_served_with_one_warning() {
    assert_eq!(warnings(&[SECRET]), Vec::<String>::new());
    for listen in ["0.0.0.0:8101", "[::]:0", "192.0.2.1:80"] {
        let told = warnings(&[SECRET, &format!("http.listen={listen}")]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("http.listen = {listen} is beyond loopback")), "{told:?}");
        assert!(told[0].contains("reads and writes"), "{told:?}");
    }
    for listen in ["127.0.0.1:0", "127.1.2.3:8101", "[::1]:8101"] {
        assert_eq!(warnings(&[SECRET, &format!("http.listen={listen}")]), Vec::<String>::new());
    }
}
