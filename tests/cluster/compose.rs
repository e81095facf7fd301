//! The nodes of `docker-compose.yml`, as far as no container is needed: their configuration is accepted as a whole.

use std::collections::BTreeMap;
use std::process::Command;

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const DEFAULTS: &str = include_str!("../../.env");

/// `${NAME}` replaced by what `.env` says.
fn filled(text: &str) -> String {
    let pairs =
        DEFAULTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

/// The `NEAP_` variables of a block that begins with a line, up to the next line that is no deeper.
fn variables(text: &str, begins: &str) -> BTreeMap<String, String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(begins));
    let own = depth(lines.next().unwrap_or_else(|| panic!("there is no {begins}")));
    let block = lines.take_while(|line| line.trim().is_empty() || depth(line) > own);
    let pairs =
        block.filter_map(|line| line.trim().split_once(": ")).filter(|(name, _)| name.starts_with("NEAP_"));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

fn print_config(variables: &BTreeMap<String, String>) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(["node", "--print-config", "--json"])
        .env_clear()
        .envs(variables)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_nodes_of_the_compose_file_serve_beyond_their_containers_and_have_a_secret_that_is_not_checked_in() {
    let compose = filled(COMPOSE);
    let shared = variables(&compose, "x-node-environment:");
    for node in ["n1", "n2", "n3", "n4", "n5"] {
        let mut all = shared.clone();
        all.extend(variables(&compose, &format!("  {node}:")));
        let config = print_config(&all);
        let value = |key: &str| config[key]["value"].as_str().unwrap().to_owned();
        assert_eq!(value("node.id"), node);
        assert_eq!(
            (value("http.listen"), value("peer.listen")),
            ("0.0.0.0:8101".into(), "0.0.0.0:7101".into())
        );
        assert_eq!(value("cluster.secret_file"), "/etc/neap/secret");
    }
    // One service writes the secret, on a volume that the nodes only read, and they wait for its end.
    let (_, secret) = compose.split_once("\n  secret:\n").unwrap();
    let (secret, rest) = secret.split_once("\n\n").unwrap();
    assert!(secret.contains("/dev/urandom") && secret.contains("restart: \"no\""), "{secret}");
    assert!(secret.contains("volumes: [\"secret:/etc/neap\"]"), "{secret}");
    assert_eq!(rest.matches("secret:/etc/neap:ro").count(), 5);
    assert!(compose.contains("secret: { condition: service_completed_successfully }"));
}
