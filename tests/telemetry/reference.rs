//! docs/telemetry.md names every instrument, span, event and attribute, and nothing that does not exist.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names that one of the modules of names declares.
fn declared(source: &str, module: &str) -> BTreeSet<String> {
    let (_, from) = source.split_once(&format!("pub mod {module} {{")).unwrap();
    let (inside, _) = from.split_once("\n}").unwrap();
    let names = inside.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
    names.map(str::to_owned).collect()
}

#[test]
fn the_reference_names_every_instrument_span_and_attribute_and_no_other() {
    let (source, reference) = (read("src/telemetry/names.rs"), read("docs/telemetry.md"));
    let named: BTreeSet<&str> = reference.split('`').skip(1).step_by(2).collect();
    let modules = ["metric", "span", "event", "attribute", "resource"];
    let declared: BTreeSet<String> =
        modules.into_iter().flat_map(|module| declared(&source, module)).collect();
    assert!(declared.len() > 60, "{declared:?}");
    let missing: Vec<_> = declared.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/telemetry.md: {missing:?}");
    let ours = named.iter().filter(|name| name.starts_with("neap.") && !name.contains(' '));
    let unknown: Vec<_> = ours.filter(|name| !declared.contains(**name)).collect();
    assert!(unknown.is_empty(), "docs/telemetry.md names what does not exist: {unknown:?}");
}
