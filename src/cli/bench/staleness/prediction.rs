//! What the model makes of the one-way latencies that nodes measured.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::trials::Point;
use crate::protocol::pbs::{AtHomes, Delay, HomeLegs};
use crate::protocol::quorum::Quorum;

/// Trials of the Monte Carlo for each point.
const TRIALS: u64 = 300_000;

/// The model, fed.
pub struct Prediction {
    /// For each node as the writer and reader, each time it was asked: the latencies that it measured.
    nodes: Vec<AtHomes>,
    summary: String,
}

impl Prediction {
    /// From what each node says at `GET /v1/slo`.
    pub fn new(quorum: Quorum, documents: &[Value]) -> Result<Self, String> {
        let mut nodes = Vec::new();
        let mut summary = String::from("one-way latencies, p50 / p99 ms:\n");
        for (at, document) in documents.iter().enumerate() {
            let node = at % usize::from(quorum.n) + 1;
            let leg = |name: &str| leg(document, name).map_err(|why| format!("node {node}: {why}"));
            let read_legs = |name: &str| if quorum.r > 1 { leg(name) } else { Ok(Delay::none()) };
            let legs = HomeLegs {
                write: leg("write")?,
                sync: leg("sync")?,
                ack: leg("ack")?,
                own_ack: leg("own_ack")?,
                read: read_legs("read")?,
                answer: read_legs("answer")?,
                own_read: leg("own_read")?,
                client_round: Delay::none(),
            };
            summary += &format!("  node {node}");
            for (name, delay) in [
                ("write", &legs.write),
                ("sync", &legs.sync),
                ("ack", &legs.ack),
                ("own_ack", &legs.own_ack),
                ("own_read", &legs.own_read),
            ] {
                let at = |share: f64| delay.draw_ms(&mut || share);
                summary += &format!("  {name} {:.3} / {:.3}", at(0.5), at(0.99));
            }
            summary.push('\n');
            nodes.push(AtHomes { quorum, legs });
        }
        Ok(Self { nodes, summary })
    }

    /// How likely a read misses the write, with the client's round trips at this point.
    pub fn stale(&self, point: &Point) -> Result<f64, String> {
        let rounds = Delay::measured(point.rounds_ms().to_vec()).map_err(|error| error.to_string())?;
        let mut random = StdRng::seed_from_u64(1);
        let mut uniform = || random.random_range(0.0..1.0);
        let (mut trials, mut stale) = (0_u64, 0_u64);
        for node in &self.nodes {
            let mut node = node.clone();
            node.legs.client_round = rounds.clone();
            for _ in 0..TRIALS / self.nodes.len().max(1) as u64 {
                trials += 1;
                stale += u64::from(node.trial(&mut uniform).consistent_after_ms > point.t_ms());
            }
        }
        Ok(stale as f64 / trials.max(1) as f64)
    }

    /// The latencies in words.
    pub fn summary(self) -> String {
        self.summary
    }
}

fn leg(document: &Value, name: &str) -> Result<Delay, String> {
    let quantiles = document.pointer(&format!("/one_way_latency_s/{name}/quantiles"));
    let quantiles = quantiles.ok_or_else(|| format!("it does not say what {name:?} takes"))?;
    let pairs: Vec<(f64, f64)> =
        serde_json::from_value(quantiles.clone()).map_err(|error| error.to_string())?;
    let pairs = pairs.into_iter().map(|(share, seconds)| (share, seconds * 1e3)).collect();
    Delay::quantiles(pairs).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_does_not_tell_its_latencies_is_named() {
        let quorum = Quorum { n: 3, r: 1, w: 1 };
        let why = Prediction::new(quorum, &[json!({})]).err().unwrap();
        assert!(why.contains("node 1") && why.contains("write"), "{why}");
        let empty = json!({ "one_way_latency_s": { "write": { "count": 0, "quantiles": [] } } });
        assert!(Prediction::new(quorum, &[empty]).is_err());
    }
}
