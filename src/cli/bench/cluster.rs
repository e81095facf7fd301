//! The nodes that are measured: a cluster made for it, or one that runs already.

use std::time::{Duration, Instant};

use super::ceiling::BareServer;
use super::cpu::Spent;
use crate::cli::load::{RawConnection, request};
use crate::cli::processes::{ClusterOptions, LocalCluster};
use crate::cli::remote::block_on;
use crate::cli::scratch::Scratch;
use crate::client::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether nodes have nothing left to do.
const CALM_LOOK: Duration = Duration::from_millis(500);
/// What share of a core is nothing: timers, exports, and the look itself.
const CALM_SHARE: f64 = 0.1;
/// How long nodes may take until then.
const CALM_TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster of one's own. It ends, and its data goes, with this value.
pub struct OwnCluster {
    cluster: LocalCluster,
    /// What its traces are sent to.
    collector: Option<BareServer>,
    set: Vec<String>,
    _directory: Scratch,
}

impl OwnCluster {
    /// So many nodes, ready, with settings `section.key=value`; `OTLP` in them stands for a collector that forgets all
    /// it is sent.
    pub fn start(nodes: u16, settings: &[String]) -> Result<Self, String> {
        let directory = Scratch::new().map_err(|error| error.to_string())?;
        let collector = settings.iter().any(|setting| setting.ends_with("OTLP"));
        let collector = if collector { Some(BareServer::start(0)?) } else { None };
        let set = resolved(settings, collector.as_ref());
        let cluster = LocalCluster::start(ClusterOptions {
            nodes,
            directory: directory.path().to_owned(),
            program: std::env::current_exe().map_err(|error| error.to_string())?,
            name: "bench".to_owned(),
            set: set.clone(),
        });
        let cluster = cluster.map_err(|error| error.to_string())?;
        let mut own = Self { cluster, collector, set, _directory: directory };
        own.ready()?;
        Ok(own)
    }

    /// Goes on with other settings, of which it has all from then on, on the same data.
    pub fn go_on_with(&mut self, settings: &[String]) -> Result<(), String> {
        let set = resolved(settings, self.collector.as_ref());
        if set == self.set {
            return Ok(());
        }
        self.set = set.clone();
        self.cluster.restart_with(set).map_err(|error| error.to_string())?;
        self.ready()
    }

    /// Waits until all nodes are ready.
    pub fn ready(&mut self) -> Result<(), String> {
        match block_on(self.cluster.ready()) {
            Ok(ready) => ready.map_err(|error| error.to_string()),
            Err(_) => Err("the runtime cannot be started".to_owned()),
        }
    }

    /// An error if a node has ended.
    pub fn check(&mut self) -> Result<(), String> {
        let nodes = 0..self.cluster.nodes().len();
        nodes.into_iter().try_for_each(|at| self.cluster.check(at)).map_err(|error| error.to_string())
    }

    /// The processes.
    pub fn processes(&mut self) -> &mut LocalCluster {
        &mut self.cluster
    }

    /// Where the nodes are.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.cluster.endpoints()
    }

    /// Their processes.
    pub fn pids(&self) -> Vec<u32> {
        self.cluster.pids()
    }

    /// Waits until the nodes have nothing left to do.
    pub fn calm(&self) {
        calm(&self.pids());
    }
}

/// Waits until these processes have nothing left to do, such as compactions, or that takes too long.
pub fn calm(pids: &[u32]) {
    let started = Instant::now();
    while started.elapsed() < CALM_TIMEOUT {
        let (before, from) = (Spent::so_far(pids), Instant::now());
        std::thread::sleep(CALM_LOOK);
        let spent = Spent::so_far(pids).since(before).nodes;
        let share = spent.map(|spent| spent.as_secs_f64() / from.elapsed().as_secs_f64());
        if share.is_none_or(|share| share < CALM_SHARE) {
            return;
        }
    }
}

fn resolved(settings: &[String], collector: Option<&BareServer>) -> Vec<String> {
    let url = collector.map_or_else(String::new, |collector| collector.endpoint().to_string());
    settings.iter().map(|setting| setting.replace("OTLP", &url)).collect()
}

/// The body of a GET of each node; an error if one does not answer 200.
pub fn ask_all(nodes: &[Endpoint], target: &str) -> Result<Vec<Vec<u8>>, String> {
    let asked = async {
        let mut bodies = Vec::new();
        for node in nodes {
            let named = |error: std::io::Error| format!("{node}{target}: {error}");
            let mut connection = RawConnection::open(node, CONNECT_TIMEOUT).await.map_err(named)?;
            let reply = connection.exchange(&request("GET", target, &[], &[])).await.map_err(named)?;
            if reply.status != 200 {
                return Err(format!("{node}{target}: status {}", reply.status));
            }
            bodies.push(reply.body.to_vec());
        }
        Ok(bodies)
    };
    block_on(asked).unwrap_or_else(|_| Err("the runtime cannot be started".to_owned()))
}

/// The sum of a metric's samples over all nodes.
pub fn metric(nodes: &[Endpoint], name: &str) -> Result<f64, String> {
    let texts = ask_all(nodes, "/metrics")?;
    let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let samples = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split(' ').next()?.parse::<f64>().ok()
    });
    Ok(samples.sum())
}
