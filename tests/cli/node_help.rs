//! Help, and what is no command.

use super::{neap, run, stderr, stdout};

#[test]
fn help_reads_like_documentation() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for part in ["Usage:", "Commands:", "A first example", "Environment:", "NEAP_URL", "Exit codes:"] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}

#[test]
fn every_command_that_help_lists_has_help_with_an_example() {
    let text = stdout(&run(&["--help"]));
    let commands = text.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"node"));
    for name in names.into_iter().filter(|name| *name != "help") {
        let output = run(&[name, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(stdout(&output).contains("Example"), "{name} has no example");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &[][..],
        &["paint"],
        &["node", "--colour"],
        &["node", "extra"],
        &["node", "--print-config", "--new-directory-id"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn what_takes_no_time_is_refused_before_anything_is_started() {
    for args in [
        &["demo", "--for"][..],
        &["load", "--for"],
        &["sim", "--soak"],
        &["bench", "kv", "--duration"],
        &["bench", "overload", "--duration"],
        &["bench", "fairness", "--duration"],
        &["bench", "cost", "--duration"],
        &["bench", "staleness", "--duration"],
    ] {
        let output = run(&[args, &["0s"]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let (flag, text) = (args[args.len() - 1], stderr(&output));
        assert!(text.contains(flag) && text.contains("accepted: 1ms or more"), "{text}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_help_example_of_print_config_works() {
    let output = run(&["node", "--print-config", "--set", "node.id=n1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_node_without_founders_is_refused_at_start_and_told_what_to_say() {
    let output = neap(&["node"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("cluster.members = [] (default)") && text.contains("n1@127.0.0.1:7101"), "{text}");
}
