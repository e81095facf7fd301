//! Real `neap node` processes on loopback: for the demo, the benchmark, and the tests.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, Signal, kill_process};

use super::scratch;
use crate::client::{Call, Connection, Endpoint};

/// How long a node may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to stop when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take until all threads of a node stand still.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a dead node's log is shown.
const LOG_TAIL: u64 = 2_000;

/// Whether all threads of a process stand still. Where the system does not tell, they are taken to.
fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_none_or(|state| matches!(state, 'T' | 't' | 'X' | 'Z'))
    })
}

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many nodes.
    pub nodes: u16,
    /// Where their data, configurations and logs go.
    pub directory: PathBuf,
    /// The `neap` program.
    pub program: PathBuf,
    /// The cluster's name.
    pub name: String,
    /// `section.key=value`, for all nodes.
    pub set: Vec<String>,
}

/// Why a cluster, or a node of it, is not running.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file could not be written, or the program not started.
    #[error("{what}: {cause}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A node ended instead of getting ready.
    #[error("node {node} ended ({status}); the end of its log {log}:\n{tail}", log = log.display())]
    Ended {
        /// Its name.
        node: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// A node is not ready in time.
    #[error("node {node} is not ready after {READY_TIMEOUT:?}: {why}; its log is {log}", log = log.display())]
    NotReady {
        /// Its name.
        node: String,
        /// What it says.
        why: String,
        /// Its log.
        log: PathBuf,
    },
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(usize),
}

fn machine(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ClusterError {
    let what = what.into();
    move |cause| ClusterError::Machine { what, cause }
}

/// One node.
#[derive(Debug)]
pub struct NodeProcess {
    /// Its name.
    pub name: String,
    /// Where it serves REST.
    pub http_port: u16,
    /// Where it serves peers.
    pub peer_port: u16,
    /// Its data directory.
    pub data: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// A cluster of processes. They end with it: each ends when its standard input closes, so that not even a
/// killed parent leaves orphans.
#[derive(Debug)]
pub struct LocalCluster {
    options: ClusterOptions,
    nodes: Vec<NodeProcess>,
}

impl LocalCluster {
    /// Writes the configurations and starts all nodes. [`LocalCluster::ready`] waits for them.
    pub fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let ports = free_ports(2 * usize::from(options.nodes))?;
        let nodes = ports.chunks_exact(2).enumerate().filter_map(|(at, pair)| {
            let name = format!("n{}", at + 1);
            let [http_port, peer_port] = *pair else { return None };
            let path = |suffix: &str| options.directory.join(format!("{name}{suffix}"));
            let (data, config, log) = (path(""), path(".toml"), path(".log"));
            Some(NodeProcess { name, http_port, peer_port, data, config, log, child: None })
        });
        let nodes: Vec<NodeProcess> = nodes.collect();
        std::fs::create_dir_all(&options.directory)
            .map_err(machine(format!("{} cannot be made", options.directory.display())))?;
        let members: Vec<String> =
            nodes.iter().map(|node| format!("\"{}@127.0.0.1:{}\"", node.name, node.peer_port)).collect();
        for node in &nodes {
            let text = configuration(&options.name, &members.join(", "), node);
            std::fs::write(&node.config, text)
                .map_err(machine(format!("{} cannot be written", node.config.display())))?;
        }
        let mut cluster = Self { options, nodes };
        for at in 0..cluster.nodes.len() {
            cluster.spawn(at)?;
        }
        Ok(cluster)
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// Where each node serves REST.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.nodes.iter().map(|node| Endpoint::loopback(node.http_port)).collect()
    }

    /// Starts a node that is not running.
    pub fn spawn(&mut self, at: usize) -> Result<(), ClusterError> {
        self.spawn_with(at, &[])
    }

    /// Starts a node that is not running, with more arguments.
    pub fn spawn_with(&mut self, at: usize, arguments: &[&str]) -> Result<(), ClusterError> {
        let options = self.options.clone();
        let node = self.node(at)?;
        let log = File::options().create(true).append(true).open(&node.log);
        let log = log.map_err(machine(format!("{} cannot be opened", node.log.display())))?;
        let mut command = Command::new(&options.program);
        command.arg("node").arg("--config").arg(&node.config).arg("--exit-on-stdin-close");
        command.args(arguments);
        for set in &options.set {
            command.arg("--set").arg(set);
        }
        // The parent's own settings are not meant for these nodes, nor is its collector.
        let settings = |name: &str| name.starts_with("NEAP_") || name.starts_with("OTEL_EXPORTER_OTLP_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| settings(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        // A group of its own: a terminal's Ctrl-C is for the parent, which still has questions to the nodes.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = scratch::begin(|| command.spawn());
        let child = child.map_err(machine(format!("{} cannot be started", options.program.display())))?;
        node.child = Some(child);
        Ok(())
    }

    /// Stops all nodes cleanly and starts them with other settings. [`LocalCluster::ready`] waits for them.
    pub fn restart_with(&mut self, set: Vec<String>) -> Result<(), ClusterError> {
        for at in 0..self.nodes.len() {
            self.stop(at)?;
        }
        self.options.set = set;
        (0..self.nodes.len()).try_for_each(|at| self.spawn(at))
    }

    /// The processes of the nodes that run.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| Some(node.child.as_ref()?.id())).collect()
    }

    /// Waits until every node that runs is ready, and says which ended instead.
    pub async fn ready(&mut self) -> Result<(), ClusterError> {
        for at in 0..self.nodes.len() {
            self.node_ready(at).await?;
        }
        Ok(())
    }

    /// Waits until one node is ready.
    pub async fn node_ready(&mut self, at: usize) -> Result<(), ClusterError> {
        let started = Instant::now();
        let mut why = "it does not answer".to_owned();
        loop {
            self.check(at)?;
            let node = self.node(at)?;
            let endpoint = Endpoint::loopback(node.http_port);
            if let Ok(mut connection) = Connection::open(&endpoint, Duration::from_secs(1)).await
                && let Ok(reply) = connection.send(&Call::get("/readyz"), Duration::from_secs(1)).await
            {
                if reply.status == StatusCode::OK {
                    return Ok(());
                }
                why = String::from_utf8_lossy(&reply.body).into_owned();
            }
            if started.elapsed() > READY_TIMEOUT {
                let (node, log) = (node.name.clone(), node.log.clone());
                return Err(ClusterError::NotReady { node, why, log });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Says whether a node that should be running has ended.
    pub fn check(&mut self, at: usize) -> Result<(), ClusterError> {
        let node = self.node(at)?;
        let Some(child) = &mut node.child else { return Ok(()) };
        let ended = child.try_wait().map_err(machine("a child cannot be watched"))?;
        let Some(status) = ended else { return Ok(()) };
        node.child = None;
        let (name, log) = (node.name.clone(), node.log.clone());
        let tail = tail(&log).unwrap_or_default();
        Err(ClusterError::Ended { node: name, status: status.to_string(), log, tail })
    }

    /// Whether a node runs, as far as is known.
    #[must_use]
    pub fn runs(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(|node| node.child.is_some())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self, at: usize) -> Result<(), ClusterError> {
        let node = self.node(at)?;
        if let Some(mut child) = node.child.take() {
            child.kill().map_err(machine(format!("{} cannot be killed", node.name)))?;
            child.wait().map_err(machine(format!("{} cannot be waited for", node.name)))?;
        }
        Ok(())
    }

    /// SIGSTOP: the node is there, and answers nothing. Waits until it is so: a thread that is running when the signal is
    /// sent runs on for a moment.
    pub fn pause(&mut self, at: usize) -> Result<(), ClusterError> {
        self.signal(at, Signal::STOP)?;
        let pid = self.node(at)?.child.as_ref().map(Child::id);
        let asked = Instant::now();
        while pid.is_some_and(|pid| !is_stopped(pid)) && asked.elapsed() < PAUSE_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&mut self, at: usize) -> Result<(), ClusterError> {
        self.signal(at, Signal::CONT)
    }

    /// SIGTERM, and waits for a clean stop. Whether it was one.
    pub fn stop(&mut self, at: usize) -> Result<bool, ClusterError> {
        self.signal(at, Signal::TERM)?;
        let node = self.node(at)?;
        let Some(mut child) = node.child.take() else { return Ok(true) };
        let asked = Instant::now();
        loop {
            match child.try_wait().map_err(machine("a child cannot be watched"))? {
                Some(status) => return Ok(status.success()),
                None if asked.elapsed() > STOP_TIMEOUT => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Ok(false);
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn signal(&mut self, at: usize, signal: Signal) -> Result<(), ClusterError> {
        let node = self.node(at)?;
        let Some(child) = &node.child else { return Ok(()) };
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|errno| machine(format!("{} cannot be signalled", node.name))(errno.into()))
    }

    fn node(&mut self, at: usize) -> Result<&mut NodeProcess, ClusterError> {
        self.nodes.get_mut(at).ok_or(ClusterError::NoSuchNode(at))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // A child that cannot be killed has ended already.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Ports that are free now, out of the range that the system gives to outgoing connections, which come and go.
fn free_ports(count: usize) -> Result<Vec<u16>, ClusterError> {
    let mut random = StdRng::from_rng(&mut rand::rng());
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..count * 100 {
        if ports.len() == count {
            break;
        }
        let port = random.random_range(10_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            // Held until all are known, so that no two are the same.
            held.push(listener);
            ports.push(port);
        }
    }
    if ports.len() == count {
        return Ok(ports);
    }
    let cause = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    Err(ClusterError::Machine { what: format!("no {count} free ports from 10000 to 32000"), cause })
}

fn configuration(cluster: &str, members: &str, node: &NodeProcess) -> String {
    let NodeProcess { name, http_port, peer_port, data, .. } = node;
    let data = toml::Value::String(data.display().to_string());
    format!(
        "[cluster]\nname = \"{cluster}\"\nmembers = [{members}]\n\n[node]\nid = \"{name}\"\ndata = {data}\n\n\
         [http]\nlisten = \"127.0.0.1:{http_port}\"\n\n[peer]\nlisten = \"127.0.0.1:{peer_port}\"\n"
    )
}

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut text = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
