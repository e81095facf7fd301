//! `neap bench staleness`: real nodes, and what it refuses.

use serde_json::Value;

use super::{run, stderr, stdout};

#[test]
fn a_point_each_is_measured_and_predicted_and_the_rmse_is_that_of_the_rows() {
    let output = run(&[
        "bench",
        "staleness",
        "--at",
        "0ms,5ms",
        "--reads",
        "200",
        "--duration",
        "20s",
        "--commit",
        "os",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&document), ["rmse", "rows"]);
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let mut squares = 0.0;
    for (row, t_ms) in rows.iter().zip([0.0, 5.0]) {
        assert_eq!(names(row), ["n", "p_measured", "p_predicted", "r", "reads", "t_ms", "w"]);
        assert_eq!((&row["n"], &row["r"], &row["w"]), (&3.into(), &1.into(), &1.into()));
        assert_eq!(row["t_ms"].as_f64(), Some(t_ms));
        assert!((1..=201).contains(&row["reads"].as_u64().unwrap()), "{row}");
        let p = |name: &str| row[name].as_f64().unwrap();
        assert!((0.0..=0.7).contains(&p("p_measured")) && (0.0..=0.7).contains(&p("p_predicted")), "{row}");
        squares += (p("p_measured") - p("p_predicted")).powi(2);
    }
    let rmse = document["rmse"].as_f64().unwrap();
    assert!((rmse - (squares / 2.0).sqrt()).abs() < 1e-4, "{document}");
}

#[test]
fn what_cannot_be_measured_is_refused_by_name() {
    for (flag, value) in [
        ("--at", "soon"),
        ("--at", "11s"),
        ("--quorum", "3,1"),
        ("--quorum", "5,1,1"),
        ("--reads", "0"),
        ("--clients", "0"),
        ("--lag", "200ms"),
        ("--commit", "never"),
        ("--url", "https://h"),
    ] {
        let output = run(&["bench", "staleness", flag, value]);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {}", stderr(&output));
        let shown = stderr(&output);
        assert!(shown.contains(value) || shown.contains(flag), "{flag} {value}: {shown}");
    }
}

#[test]
fn as_many_nodes_as_n_must_be_named() {
    let output = run(&["bench", "staleness", "--url", "http://127.0.0.1:1,http://127.0.0.1:2"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("N must be the number of nodes, which is 2"), "{}", stderr(&output));
}

#[test]
fn nodes_that_are_not_there_fail_the_run() {
    let nowhere = "http://127.0.0.1:1,http://127.0.0.1:1,http://127.0.0.1:1";
    let output = run(&["bench", "staleness", "--url", nowhere]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
}
