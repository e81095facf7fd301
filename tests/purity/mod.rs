//! The protocol core is pure: no runtime, clock, lock, randomness or I/O, in any file of it.

use std::path::Path;

/// Names that no file of the core may hold, outside of comments.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "actix",
    "futures",
    "async fn",
    ".await",
    "std::time",
    "std::net",
    "std::fs",
    "std::io",
    "std::thread",
    "std::env",
    "std::process",
    "std::os",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Atomic",
    "OnceLock",
    "LazyLock",
    "Condvar",
    "thread_local",
    "getrandom",
    "rand::",
    "fjall",
    "tracing",
    "println!",
    "crate::actors",
    "crate::transport",
    "crate::storage",
    "crate::http",
    "crate::cli",
    "crate::config",
    "crate::client",
    "HashMap",
    "HashSet",
];

fn check(folder: &Path, faults: &mut Vec<String>, files: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check(&path, faults, files);
            continue;
        }
        *files += 1;
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in FORBIDDEN.iter().filter(|name| code.contains(*name)) {
                faults.push(format!("{}:{}: {name}", path.display(), number + 1));
            }
        }
    }
}

#[test]
fn the_protocol_core_knows_no_runtime_clock_lock_randomness_or_disk() {
    let (mut faults, mut files) = (Vec::new(), 0);
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol"), &mut faults, &mut files);
    assert!(files > 10, "the core was not found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
