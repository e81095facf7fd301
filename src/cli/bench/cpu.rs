//! What processes take of the machine, as Linux tells it; nothing is told elsewhere.

use std::time::Duration;

/// CPU time of the load generator and of the nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Of this process.
    pub generator: Option<Duration>,
    /// Of all nodes; none where they are not on this machine.
    pub nodes: Option<Duration>,
}

impl Spent {
    /// Since each process started; `nodes` are theirs.
    pub fn so_far(nodes: &[u32]) -> Self {
        let all = nodes.iter().map(|pid| of(&pid.to_string())).sum::<Option<Duration>>();
        Self { generator: of("self"), nodes: all.filter(|_| !nodes.is_empty()) }
    }

    /// What came since then.
    pub fn since(self, then: Self) -> Self {
        let between = |now: Option<Duration>, then: Option<Duration>| now?.checked_sub(then?);
        Self { generator: between(self.generator, then.generator), nodes: between(self.nodes, then.nodes) }
    }

    /// The generator's part of all.
    pub fn generator_share(self) -> Option<f64> {
        let (generator, nodes) = (self.generator?.as_secs_f64(), self.nodes?.as_secs_f64());
        (generator + nodes > 0.0).then(|| generator / (generator + nodes))
    }
}

/// CPU time, in user and in kernel mode. See proc(5): the 14th and 15th field, counted behind the name, which may have
/// spaces in it.
fn of(process: &str) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    /// What is resident now, in bytes.
    pub bytes: u64,
    /// The most that was.
    pub peak_bytes: u64,
}

impl Resident {
    /// Of a process; none if it cannot be told.
    pub fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Some(Self { bytes: kib("VmRSS")? * 1024, peak_bytes: kib("VmHWM")? * 1024 })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_spends_is_seen() {
        let own = [std::process::id()];
        let before = Spent::so_far(&own);
        let busy_until = std::time::Instant::now() + Duration::from_millis(100);
        while std::time::Instant::now() < busy_until {}
        let spent = Spent::so_far(&own).since(before);
        assert!(spent.nodes > Some(Duration::ZERO) && spent.generator > Some(Duration::ZERO), "{spent:?}");
        assert!(Resident::of(own[0]).is_some_and(|resident| resident.bytes > 0), "this process has memory");
        assert!(Spent::so_far(&[]).nodes.is_none());
    }
}
