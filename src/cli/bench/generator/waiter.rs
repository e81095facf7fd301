//! Waiting until a connection can go on, or a time has come, to the microsecond: an open loop whose requests begin a
//! millisecond late, as with the timers of most runtimes, measures its own clock. It takes `epoll_pwait2(2)`, of
//! Linux 5.11: `epoll_wait(2)` knows milliseconds only.

#[cfg(target_os = "linux")]
pub use epoll::Waiter;
#[cfg(not(target_os = "linux"))]
pub use nowhere::Waiter;

#[cfg(target_os = "linux")]
mod epoll {
    use std::io;
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::buffer::spare_capacity;
    use rustix::event::{Timespec, epoll};

    /// How many connections are told of at once.
    const EVENTS_MAX: usize = 256;

    /// Watches connections.
    pub struct Waiter {
        epoll: OwnedFd,
        events: Vec<epoll::Event>,
    }

    impl Waiter {
        /// Watches none.
        pub fn new() -> io::Result<Self> {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX) })
        }

        /// Watches one more, until it is closed. It is told of when something becomes possible, once.
        pub fn watch(&self, stream: &TcpStream, number: usize) -> io::Result<()> {
            let flags = epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET;
            Ok(epoll::add(&self.epoll, stream, epoll::EventData::new_u64(number as u64), flags)?)
        }

        /// Puts into `ready` the numbers of connections that can go on, none of them if the time is over.
        pub fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
            self.events.clear();
            ready.clear();
            let timeout = Timespec {
                tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::NOSYS) => {
                    return Err(io::Error::new(
                        io::ErrorKind::Unsupported,
                        "the load generator needs epoll_pwait2, of Linux 5.11 or newer",
                    ));
                }
                Err(error) => return Err(error.into()),
            }
            ready.extend(self.events.iter().map(|event| {
                let data = event.data;
                usize::try_from(data.u64()).unwrap_or(usize::MAX)
            }));
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::io;
    use std::net::TcpStream;
    use std::time::Duration;

    /// Cannot be made.
    pub enum Waiter {}

    impl Waiter {
        /// Only Linux has what it takes.
        pub fn new() -> io::Result<Self> {
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the load generator needs epoll, which is Linux's",
            ))
        }

        /// Never called.
        pub fn watch(&self, _: &TcpStream, _: usize) -> io::Result<()> {
            match *self {}
        }

        /// Never called.
        pub fn wait(&mut self, _: Duration, _: &mut Vec<usize>) -> io::Result<()> {
            match *self {}
        }
    }
}
