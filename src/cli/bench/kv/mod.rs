//! `neap bench kv`: reads and writes of one key each, at the highest rate and at steady ones.

mod args;
mod baseline;
mod layers;
mod measure;
mod render;
mod row;

use std::path::Path;

use serde_json::{Value, json};

pub use args::KvArgs;
use measure::Bench;

use crate::cli::exit::Exit;
use crate::cli::remote::{complain, failed, print, print_json, usage};

/// Runs the command.
pub fn run(args: &KvArgs, json: bool) -> Exit {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(complaint) => return usage(&complaint, json),
    };
    // A baseline that cannot be read is better known before everything is measured than after.
    let baseline = match args.against.as_deref().map(baseline::read).transpose() {
        Ok(baseline) => baseline,
        Err(complaint) => return usage(&complaint, json),
    };
    let document = match Bench::new(&plan, json).run() {
        Ok(document) => document,
        Err(message) => return failed(&message, json),
    };
    if json {
        print_json(&document);
    } else {
        print(render::render(&document).as_bytes());
    }
    if let Some(path) = &args.save
        && let Err(message) = save(path, &document)
    {
        complain(&message);
        return Exit::Failed;
    }
    match baseline {
        Some(baseline) => compare(&document, &baseline, args, json),
        None => Exit::Done,
    }
}

fn save(path: &Path, document: &Value) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    std::fs::write(path, format!("{document:#}\n")).map_err(named)
}

fn compare(document: &Value, baseline: &Value, args: &KvArgs, json: bool) -> Exit {
    let comparison = baseline::Comparison::of(document, baseline, args.tolerance);
    if !json {
        print(comparison.render().as_bytes());
    }
    for complaint in comparison.complaints() {
        complain(&complaint);
    }
    if comparison.holds() { Exit::Done } else { Exit::Failed }
}

/// The document of so many rows.
fn document(rows: &[Value], (ceiling, half): (f64, Option<Value>), cores: usize) -> Value {
    let best =
        rows.iter().filter(|row| row["operation"] == "get" && row["r"] == 1 && row["loop"] == "closed");
    let best = best.filter_map(|row| row["ops_per_s"].as_f64()).reduce(f64::max);
    json!({
        "rows": rows,
        "ceiling": { "ops_per_s": rounded(ceiling, 0), "half": half },
        "ratio_to_ceiling": best.map(|best| rounded(best / ceiling, 3)),
        "cores": cores,
    })
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}
