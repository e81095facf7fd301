//! Where the CPU time of the nodes goes, by layer, as perf(1) sees it.
//!
//! perf takes the stacks of all nodes' threads many times a second. The innermost function of a stack that belongs to a
//! layer decides: a write to a file counts for whoever wrote, an allocation for whoever allocated. Stacks are followed
//! by frame pointers, so the program must be built with them: `make layers` does. The C library is not, and hides who
//! sends and receives: what the kernel does for clients' connections and for those among nodes is told in one sum.

use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value, json};

/// Samples a second and core: not a round number, so that it keeps no step with what happens at round intervals.
const SAMPLES_PER_S: &str = "997";

/// What a function belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Clients' connections, requests and replies.
    Http,
    /// Mailboxes, and what carries the protocol out.
    Actors,
    /// Its rules.
    Protocol,
    /// Connections among nodes, and their messages.
    Transport,
    /// Records, the tree on disk and its journal, flushes and compactions.
    Storage,
    /// Traces, metrics and objectives.
    Telemetry,
    /// Sending and receiving, in the kernel, for clients and for peers alike.
    Sockets,
    /// Waiting for events, waking other threads, and whatever has no place above.
    Runtime,
}

impl Layer {
    /// All, outermost first.
    pub const ALL: [Self; 8] = [
        Self::Http,
        Self::Actors,
        Self::Protocol,
        Self::Transport,
        Self::Storage,
        Self::Telemetry,
        Self::Sockets,
        Self::Runtime,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Actors => "actors",
            Self::Protocol => "protocol",
            Self::Transport => "transport",
            Self::Storage => "storage",
            Self::Telemetry => "telemetry",
            Self::Sockets => "sockets",
            Self::Runtime => "runtime",
        }
    }

    /// What a function belongs to; none for those that serve all, whose callers count.
    fn of(function: &str) -> Option<Self> {
        // The innermost module first: actors have parts that are not.
        const WHOSE: [(&str, Layer); 19] = [
            ("neap::actors::traces", Layer::Telemetry),
            ("neap::actors::sli_recorder", Layer::Telemetry),
            ("neap::actors::observability", Layer::Telemetry),
            ("neap::telemetry", Layer::Telemetry),
            ("opentelemetry", Layer::Telemetry),
            ("reqwest", Layer::Telemetry),
            ("neap::http", Layer::Http),
            ("actix_http", Layer::Http),
            ("actix_web", Layer::Http),
            ("actix_server", Layer::Http),
            ("neap::actors", Layer::Actors),
            ("actix::", Layer::Actors),
            ("neap::protocol", Layer::Protocol),
            ("neap::transport", Layer::Transport),
            ("neap::storage", Layer::Storage),
            ("fjall::", Layer::Storage),
            ("lsm_tree::", Layer::Storage),
            ("mio::sys::unix::waker", Layer::Runtime),
            ("tokio::runtime::scheduler", Layer::Runtime),
        ];
        // What a function is generic over says nothing of it, but whose method it is does.
        let own = function.trim_start_matches(['<', '&']);
        let own = own.strip_prefix("core::ptr::drop_in_place<").unwrap_or(own);
        WHOSE.iter().find(|(path, _)| own.starts_with(path)).map(|(_, layer)| *layer)
    }

    /// What a function of the kernel is for, where nothing is known of who called it.
    fn of_kernel(function: &str) -> Option<Self> {
        const FOR: [(&str, Layer); 5] = [
            ("__sys_sendto", Layer::Sockets),
            ("__sys_recvfrom", Layer::Sockets),
            ("tcp_", Layer::Sockets),
            ("inet", Layer::Sockets),
            ("ext4_", Layer::Storage),
        ];
        FOR.iter().find(|(path, _)| function.starts_with(path)).map(|(_, layer)| *layer)
    }
}

/// What a stack tells, from its innermost function on.
#[derive(Debug, Default)]
struct Found {
    layer: Option<Layer>,
    of_kernel: Option<Layer>,
}

/// How many samples fell on each layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split([u64; Layer::ALL.len()]);

impl Split {
    /// Of what `perf script` printed: a function a line, innermost first, and an empty line behind each stack.
    fn of(printed: impl BufRead) -> std::io::Result<Self> {
        let (mut split, mut found, mut any) = (Self::default(), Found::default(), false);
        for line in printed.lines() {
            let line = line?;
            let line = line.trim();
            if line.is_empty() {
                if std::mem::take(&mut any) {
                    split.add(std::mem::take(&mut found));
                }
                continue;
            }
            any = true;
            let (_, function) = line.split_once(' ').unwrap_or(("", line));
            found.layer = found.layer.or_else(|| Layer::of(function));
            found.of_kernel = found.of_kernel.or_else(|| Layer::of_kernel(function));
        }
        if any {
            split.add(found);
        }
        Ok(split)
    }

    fn add(&mut self, Found { layer, of_kernel }: Found) {
        // The scheduler is below all that it runs: where that is not seen, it says nothing.
        let layer = layer.filter(|layer| *layer != Layer::Runtime || of_kernel.is_none()).or(of_kernel);
        let layer = layer.unwrap_or(Layer::Runtime);
        for (of, samples) in Layer::ALL.iter().zip(&mut self.0) {
            *samples += u64::from(*of == layer);
        }
    }

    /// Each layer's part of `total`, in its unit.
    pub fn share_out(&self, total: f64) -> Value {
        let all = self.0.iter().sum::<u64>().max(1) as f64;
        let part = |(layer, samples): (&Layer, &u64)| {
            let part = total * *samples as f64 / all;
            (layer.name().to_owned(), json!(super::rounded(part, 1)))
        };
        Value::Object(Layer::ALL.iter().zip(&self.0).map(part).collect::<Map<_, _>>())
    }
}

/// perf at work.
pub struct Profiler {
    perf: Child,
}

impl Profiler {
    /// Watches these processes, and writes what it sees to `file`.
    pub fn start(pids: &[u32], file: &Path) -> Result<Self, String> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let perf = Command::new("perf")
            .args(["record", "--call-graph", "fp", "-F", SAMPLES_PER_S, "-p", &pids.join(","), "-o"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self {
            perf: perf.map_err(|error| format!("--layers needs perf(1), which cannot be run: {error}"))?,
        })
    }

    /// Ends it, and says what it saw in `file`.
    pub fn stop(mut self, file: &Path) -> Result<Split, String> {
        let pid = i32::try_from(self.perf.id()).ok().and_then(rustix::process::Pid::from_raw);
        // One that has ended by itself says below why.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
        self.perf.wait().map_err(|error| format!("perf: {error}"))?;
        let text = |error: std::io::Error| format!("perf script: {error}");
        let mut script = Command::new("perf")
            .args(["script", "--no-inline", "-F", "ip,sym", "-i"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(text)?;
        let printed = script.stdout.take().ok_or("perf script prints nothing")?;
        let split = Split::of(std::io::BufReader::new(printed)).map_err(text)?;
        let ended = script.wait().map_err(text)?;
        if !ended.success() || split == Split::default() {
            return Err(
                "perf saw nothing; it may need more rights: see kernel.perf_event_paranoid".to_owned()
            );
        }
        Ok(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_function_of_a_layer_decides() {
        let printed = "\
            \tffffffff81 tcp_sendmsg\n\t7f0 __send\n\t55a tokio::net::tcp::stream::TcpStream::poll_write\n\
            \t55b actix_http::h1::dispatcher::InnerDispatcher<T,S,B,X,U>::poll\n\
            \t55c tokio::runtime::scheduler::current_thread::Context::run_task\n\n\
            \t55d <mio::sys::unix::waker::Waker>::wake\n\t55e <neap::http::kv::read as x>::y\n\n\
            \t55f core::ptr::drop_in_place<neap::protocol::operation::ReadReply>\n\t560 neap::actors::shard::x\n\n\
            \t561 <neap::actors::traces::Traces>::over\n\n\
            \t562 <alloc::vec::Vec<neap::http::X> as y>::from_iter\n\t563 lsm_tree::tree::get\n\n\
            \t564 [unknown]\n\n\
            \t565 copy\n\t566 tcp_recvmsg\n\t567 __sys_recvfrom\n\t568 [unknown]\n";
        let split = Split::of(printed.as_bytes()).unwrap();
        assert_eq!(split, Split([1, 0, 1, 0, 1, 1, 1, 2]));
        let shared = split.share_out(70.0);
        assert_eq!((&shared["http"], &shared["runtime"]), (&json!(10.0), &json!(20.0)));
    }
}
