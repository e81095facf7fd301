//! The committed configuration in a real collector, between real nodes and a file. `make otel-test` builds the
//! collector and names it in `NEAP_OTELCOL`; without it these tests say that they are skipped.

mod collector;
mod nodes;
mod sampling;
mod spans;

/// The collector's program, or none and a line that says so.
fn program() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("NEAP_OTELCOL").filter(|path| !path.is_empty()).map(Into::into);
    if named.is_none() {
        println!("skipped: NEAP_OTELCOL names no collector; `make otel-test` builds one");
    }
    named
}
