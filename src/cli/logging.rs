//! Where the log goes, and how it looks.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogConfig, LogFormat};

/// Logs to standard error from now on. `actix_server` says little that an operator needs, so only its warnings
/// are shown below `debug`.
pub fn start(config: &LogConfig) {
    let mut filter = EnvFilter::default().add_directive(LevelFilter::from_level(config.level).into());
    if config.level < tracing::Level::DEBUG {
        for quiet in ["actix_server=warn", "fjall=warn", "lsm_tree=warn"] {
            if let Ok(directive) = quiet.parse() {
                filter = filter.add_directive(directive);
            }
        }
    }
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    // A second start, as in a test, keeps the first.
    let _ = match config.format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
