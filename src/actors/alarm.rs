//! An alarm that goes off to the tenth of a millisecond. Timers of the runtime are of whole milliseconds, which is too
//! coarse for what rests for one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Set from any thread.
#[derive(Debug, Clone)]
pub struct Alarm(Arc<OwnedFd>);

/// What goes off, on the thread that it was made on.
#[derive(Debug)]
pub struct Bell(AsyncFd<Arc<OwnedFd>>);

/// An alarm that is not set, and its bell. An error means that the process has no descriptor left.
#[expect(
    deprecated,
    reason = "its successor is unsafe, and what it asks for is given: an OwnedFd stays open as it is"
)]
pub fn alarm() -> io::Result<(Alarm, Bell)> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = Arc::new(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?);
    let bell = AsyncFd::with_interest(timer.clone(), Interest::READABLE)?;
    Ok((Alarm(timer), Bell(bell)))
}

impl Alarm {
    /// Has it go off after so long, and not at the time that it was set to before.
    pub fn set(&self, after: Duration) {
        let timespec = |time: Duration| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        // Nothing at all would not set it, but put it out.
        let it_value = timespec(after.max(Duration::from_nanos(1)));
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value };
        if let Err(error) = rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once) {
            // Of a timer that was made, with a time that is none below zero: it cannot be.
            tracing::error!(%error, "an alarm could not be set");
        }
    }
}

impl Bell {
    /// Calls `ring` whenever it goes off, until that says false.
    pub async fn ringing(self, mut ring: impl FnMut() -> bool) {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return };
            ready.clear_ready();
            // How often it went off: eight bytes, or none if it was set anew meanwhile.
            let _ = rustix::io::read(self.0.get_ref(), &mut [0; 8]);
            if !ring() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[actix_rt::test]
    async fn it_goes_off_once_for_each_time_that_it_was_set_and_not_before() {
        let (alarm, bell) = alarm().unwrap();
        let (began, mut left) = (Instant::now(), 3);
        let after = Duration::from_millis(2);
        alarm.set(after);
        let again = alarm.clone();
        let ringing = bell.ringing(move || {
            left -= 1;
            again.set(if left > 1 { after } else { Duration::ZERO });
            left > 0
        });
        actix_rt::time::timeout(Duration::from_secs(10), ringing).await.unwrap();
        assert!(began.elapsed() >= 2 * after);
    }
}
