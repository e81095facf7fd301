//! The load: connections that read and write, each over one node at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ledger::{KEYS, Ledger};
use crate::cli::load::{Distribution, KeyChooser, RawConnection, key_name, request};
use crate::client::Endpoint;

/// The bucket that the demo writes to.
pub const BUCKET: &str = "demo";
/// Bytes of a value.
const VALUE_BYTES: usize = 256;
/// Connections. Each owns every [`CONNECTIONS`]th key for writing.
const CONNECTIONS: u64 = 16;
/// How long one exchange may take before its connection is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the connections share.
struct Shared {
    ledger: Rc<Ledger>,
    endpoints: Vec<Endpoint>,
    write_share: Cell<f64>,
    stop: Cell<bool>,
}

/// A running load.
pub struct Workload {
    shared: Rc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    began: Instant,
}

impl Workload {
    /// Starts with 95 reads to 5 writes.
    pub fn start(ledger: Rc<Ledger>, endpoints: Vec<Endpoint>) -> Self {
        let shared =
            Rc::new(Shared { ledger, endpoints, write_share: Cell::new(0.05), stop: Cell::new(false) });
        let tasks = (0..CONNECTIONS).map(|me| tokio::task::spawn_local(drive(shared.clone(), me)));
        Self { tasks: tasks.collect(), shared, began: Instant::now() }
    }

    /// From now on, half of the operations are writes.
    pub fn half_and_half(&self) {
        self.shared.write_share.set(0.5);
    }

    /// The mix, as the table shows it.
    pub fn phase(&self) -> &'static str {
        if self.shared.write_share.get() < 0.5 { "95/5" } else { "50/50" }
    }

    /// Lets each connection finish what it is doing; says how long the load ran.
    pub async fn stop(self) -> Duration {
        let took = self.began.elapsed();
        self.shared.stop.set(true);
        for task in self.tasks {
            // A task that panicked has ended the process.
            let _ = task.await;
        }
        took
    }
}

/// The value of a key's `number`th write.
fn value(number: u64) -> Vec<u8> {
    let mut value = format!("{number:020}:").into_bytes();
    value.resize(VALUE_BYTES, b'.');
    value
}

/// The number in a value.
pub fn number_in(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.get(..20)?).ok()?.parse().ok()
}

/// One connection: its keys' last numbers, and the contexts that their last replies came with.
async fn drive(shared: Rc<Shared>, me: u64) {
    let mut keys = KeyChooser::new(me, KEYS, Distribution::Zipfian);
    let mut written: HashMap<u64, (u64, Option<String>)> = HashMap::new();
    let mut node = me as usize;
    let mut connection = None;
    while !shared.stop.get() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => match connect(&shared, &mut node).await {
                Some(open) => open,
                None => continue,
            },
        };
        let asked = Instant::now();
        let write = keys.chance(shared.write_share.get());
        let key = keys.next_key();
        let exchanged = if write {
            // Its own key next to the chosen one: nobody else writes it.
            let key = key - key % CONNECTIONS + me;
            let key = if key < KEYS { key } else { me };
            let known = written.entry(key).or_default();
            known.0 += 1;
            put(&shared, &mut open, key, known, asked).await
        } else {
            get(&shared, &mut open, key, asked).await
        };
        if exchanged {
            connection = Some(open);
        }
    }
}

/// Connects to the next node that takes the connection.
async fn connect(shared: &Shared, node: &mut usize) -> Option<RawConnection> {
    let endpoint = shared.endpoints.get(*node % shared.endpoints.len().max(1))?;
    match RawConnection::open(endpoint, Duration::from_secs(1)).await {
        Ok(open) => Some(open),
        Err(_) => {
            *node += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

async fn put(
    shared: &Shared,
    connection: &mut RawConnection,
    key: u64,
    (number, context): &mut (u64, Option<String>),
    asked: Instant,
) -> bool {
    let target = format!("/v1/kv/{BUCKET}/{}", key_name(key));
    let headers: Vec<(&str, &str)> =
        context.iter().map(|context| ("neap-context", context.as_str())).collect();
    let request = request("PUT", &target, &headers, &value(*number));
    let exchanged = tokio::time::timeout(TIMEOUT, connection.exchange(&request)).await;
    let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
    let Ok(Ok(reply)) = exchanged else {
        shared.ledger.write(key, *number, None, micros);
        return false;
    };
    let acked = matches!(reply.status, 201 | 204);
    let lagging = reply.header("neap-lagging-replicas").and_then(|count| count.parse().ok()).unwrap_or(0);
    if acked {
        *context = reply.header("neap-context").map(str::to_owned);
    }
    shared.ledger.write(key, *number, acked.then_some(lagging), micros);
    true
}

async fn get(shared: &Shared, connection: &mut RawConnection, key: u64, asked: Instant) -> bool {
    let request = request("GET", &format!("/v1/kv/{BUCKET}/{}", key_name(key)), &[], &[]);
    let exchanged = tokio::time::timeout(TIMEOUT, connection.exchange(&request)).await;
    let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
    let answered = exchanged
        .as_ref()
        .is_ok_and(|reply| reply.as_ref().is_ok_and(|reply| matches!(reply.status, 200 | 300 | 404)));
    shared.ledger.read(answered, micros);
    matches!(exchanged, Ok(Ok(_)))
}
