//! The `neap` binary: parse, configure, call one command.
use neap::config::{Config, Sources};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::load(&Sources::of_process(Some(args[3].clone().into()), vec![])).unwrap();
    if let Err(e) = neap::actors::node::run(config, Default::default()) {
        eprintln!("{e}");
        std::process::exit(1)
    }
}
