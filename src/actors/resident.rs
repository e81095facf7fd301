//! The last bound on memory: the bytes that are resident. Shares bound what is known to be large; what they do not count, and
//! what the allocator keeps, shows here alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval of the looks: what a loopback's speed fills meanwhile is a small part of the room that is left.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether the node takes as much memory as it may.
#[derive(Debug, Clone, Default)]
pub struct Resident(Arc<AtomicBool>);

impl Resident {
    /// Watches this process from a thread of its own. Requests are refused from `refuse_from` resident bytes on, until there
    /// are a sixteenth fewer. Where the system does not tell, none are.
    ///
    /// # Errors
    ///
    /// The thread could not be started.
    pub fn watch(refuse_from: u64) -> io::Result<Self> {
        let resident = Self::default();
        if bytes().is_none() {
            return Ok(resident);
        }
        // Ends once nobody else asks.
        let over = Arc::downgrade(&resident.0);
        std::thread::Builder::new().name("neap-memory".to_owned()).spawn(move || {
            while let Some(over) = over.upgrade() {
                look(&over, bytes().unwrap_or(0), refuse_from);
                drop(over);
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(resident)
    }

    /// Whether requests are to be refused.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn look(over: &AtomicBool, bytes: u64, refuse_from: u64) {
    let was = over.load(Ordering::Relaxed);
    let is = bytes >= if was { refuse_from - refuse_from / 16 } else { refuse_from };
    if is != was {
        over.store(is, Ordering::Relaxed);
        let mib = bytes >> 20;
        if is {
            tracing::warn!(
                "requests are refused: {mib} MiB are resident, as many as may be by limits.memory"
            );
        } else {
            tracing::info!("requests are taken again: {mib} MiB are resident");
        }
    }
}

/// Bytes of this process that are resident and not those of files; none where the system does not tell.
fn bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_whitespace().skip(1).map(|pages| pages.parse::<u64>().ok());
    let (resident, of_files) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(of_files) * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_from_the_bound_on_until_there_is_room_again() {
        let over = AtomicBool::new(false);
        let after = |bytes| {
            look(&over, bytes, 1_600);
            over.load(Ordering::Relaxed)
        };
        let refused: Vec<bool> = [1_599, 1_600, 1_550, 1_500, 1_499, 1_550].map(after).to_vec();
        assert_eq!(refused, [false, true, true, true, false, false]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_allocated_and_written_to_is_seen() {
        let before = bytes().unwrap();
        let much = vec![1_u8; 64 << 20];
        assert!(bytes().unwrap() >= before + (32 << 20), "{}", much.len());
    }
}
