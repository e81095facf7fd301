//! Log lines, to standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// The logger could not be installed: this process has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process has a logger already")]
pub struct LoggerInstalled;

/// Starts logging for the rest of the process. Libraries are heard from `warn` on: what they say below it is
/// about their insides.
pub fn start(log: &LogConfig) -> Result<(), LoggerInstalled> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(log.level)))
        .with_ansi(false)
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LoggerInstalled)
}

fn filter(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,neap=info",
        LogLevel::Debug => "warn,neap=debug",
        LogLevel::Trace => "warn,neap=trace",
    }
}
