//! How far a listing has come, on a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::http::tokens::position_of;

/// Bytes of a key that are shown.
const SHOWN_MAX: usize = 48;

/// A line on standard error, if that is a terminal and nothing wants JSON. How many keys there are nobody knows, so it
/// tells what came and up to which key.
pub(super) struct Progress {
    line: ProgressBar,
    keys: u64,
    pages: u64,
}

impl Progress {
    /// Nothing has come.
    pub(super) fn new(json: bool) -> Self {
        let shown = !json && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {spinner} {wide_msg}") {
            line.set_style(style);
        }
        line.enable_steady_tick(Duration::from_millis(200));
        Self { line, keys: 0, pages: 0 }
    }

    /// A page has come, with so many keys; the next one goes on with `token`.
    pub(super) fn page(&mut self, keys: usize, token: Option<&str>) {
        self.keys += keys as u64;
        self.pages += 1;
        let position = token.and_then(position_of);
        self.line.set_message(message(self.keys, self.pages, position.as_deref()));
    }

    /// Prints something while the line is out of the way.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        self.line.suspend(print);
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.line.finish_and_clear();
    }
}

fn message(keys: u64, pages: u64, position: Option<&[u8]>) -> String {
    let plural = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut message = format!("{} in {}", plural(keys, "key"), plural(pages, "page"));
    if let Some(position) = position {
        let shown = position.get(..SHOWN_MAX).unwrap_or(position);
        let more = if shown.len() < position.len() { "..." } else { "" };
        message.push_str(&format!(", up to {}{more}", shown.escape_ascii()));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_came_and_up_to_which_key() {
        assert_eq!(message(0, 1, Some(b"key-\xff7")), "0 keys in 1 page, up to key-\\xff7");
        assert_eq!(message(1, 2, None), "1 key in 2 pages");
        let long = message(2, 3, Some(&[b'a'; 1_024]));
        assert_eq!(long, format!("2 keys in 3 pages, up to {}...", "a".repeat(SHOWN_MAX)));
    }
}
