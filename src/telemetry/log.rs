//! Log lines, to standard error. No line ends or blocks the thread that says it: lines wait in a bounded queue for a
//! thread that writes them. Lines for which there is no room, and lines that the system does not take (a full disk, a
//! reader that has gone), are counted and dropped.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::Counter;
use super::names::value;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// Lines that may wait to be written.
const LINES_MAX: usize = 4_096;

/// The queue of this process: one logger is all that it can have.
static QUEUE: OnceLock<ErrorCounter> = OnceLock::new();
/// The thread that writes; gone once [`finish`] was called.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);
/// Lines that the system did not take.
static NOT_WRITTEN: Counter = Counter::new();

/// The logger could not be installed: this process has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process has a logger already")]
pub struct LoggerInstalled;

/// Starts logging for the rest of the process. Libraries are heard from `warn` on: what they say below it is
/// about their insides.
///
/// # Errors
///
/// The process has a logger.
pub fn start(log: &LogConfig) -> Result<(), LoggerInstalled> {
    let builder = NonBlockingBuilder::default().thread_name("neap-log");
    let (queue, writer) =
        builder.buffered_lines_limit(LINES_MAX).lossy(true).finish(Lines::new(io::stderr()));
    let dropped = queue.error_counter();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(log.level)))
        .with_ansi(false)
        .with_writer(queue);
    match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LoggerInstalled)?;
    QUEUE.set(dropped).map_err(|_| LoggerInstalled)?;
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    Ok(())
}

/// Waits until the lines of before are written, for about a second at the most. Lines said later are lost.
pub fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Calls [`finish`] when it is dropped.
#[derive(Debug)]
pub struct FinishAtEnd;

impl Drop for FinishAtEnd {
    fn drop(&mut self) {
        finish();
    }
}

/// Lines that nobody will read, by reason.
#[must_use]
pub fn dropped() -> [(&'static str, u64); 2] {
    let no_room = QUEUE.get().map_or(0, |queue| queue.dropped_lines() as u64);
    [(value::LOG_QUEUE_FULL, no_room), (value::LOG_NOT_WRITTEN, NOT_WRITTEN.get())]
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

/// Writes lines, and counts those that were not taken. To whoever writes, no line fails.
struct Lines<W> {
    to: W,
    /// The last line may have been cut off.
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn new(to: W) -> Self {
        Self { to, torn: false }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.to.write_all(b"\n")?;
            self.torn = false;
        }
        self.to.write_all(line)
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.line(line).is_err() {
            self.torn = true;
            NOT_WRITTEN.add();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is not flushed is standard error's, which buffers nothing.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        holds: Vec<u8>,
        room: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.holds.extend(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_later_ones_start_a_line() {
        let mut disk = Disk { holds: Vec::new(), room: 9 };
        let before = NOT_WRITTEN.get();
        for line in ["first\n", "second\n", "third\n"] {
            Lines::new(&mut disk).write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(NOT_WRITTEN.get() - before, 2);
        disk.room = 100;
        let mut lines = Lines { to: &mut disk, torn: true };
        lines.write_all(b"fourth\n").unwrap();
        lines.write_all(b"fifth\n").unwrap();
        assert_eq!(disk.holds, b"first\nsec\nfourth\nfifth\n");
        assert_eq!(NOT_WRITTEN.get() - before, 2);
    }
}
