use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use neap::cli::load::{RawConnection, request};
use neap::client::Endpoint;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{call, cluster, get, run};

const KILLS: usize = 10;
const WRITERS: u64 = 8;
const KEYS_EACH: u64 = 40;

/// The last acknowledged number of each key, and who acknowledged it.
#[derive(Default)]
struct Acked {
    last: RefCell<BTreeMap<u64, (u64, Vec<String>)>>,
    count: Cell<u64>,
    stop: Cell<bool>,
}

async fn write(me: u64, nodes: Vec<Endpoint>, acked: Rc<Acked>) {
    let mut node = me as usize;
    let mut number = 0;
    let mut contexts: BTreeMap<u64, String> = BTreeMap::new();
    while !acked.stop.get() {
        number += 1;
        let key = me * KEYS_EACH + number % KEYS_EACH;
        let Ok(mut connection) =
            RawConnection::open(&nodes[node % nodes.len()], Duration::from_secs(1)).await
        else {
            node += 1;
            continue;
        };
        let context = contexts.get(&key).cloned();
        let headers: Vec<_> = context.iter().map(|context| ("neap-context", context.as_str())).collect();
        let put = request("PUT", &format!("/v1/kv/k/{key}"), &headers, number.to_string().as_bytes());
        match connection.exchange(&put).await {
            Ok(reply) if matches!(reply.status, 201 | 204) => {
                contexts.insert(key, reply.header("neap-context").unwrap().to_owned());
                let by = reply.header("neap-acked-by").unwrap().split(',').map(str::to_owned).collect();
                acked.last.borrow_mut().insert(key, (number, by));
                acked.count.set(acked.count.get() + 1);
            }
            // Whether it was applied is unknown: not acknowledged is all that counts here.
            Ok(_) | Err(_) => node += 1,
        }
    }
}

/// The greatest number among the values that a reply shows.
fn shown(reply: &super::Reply) -> Option<u64> {
    match reply.status {
        200 => reply.text().parse().ok(),
        300 => {
            use base64::Engine as _;
            let siblings = reply.json()["siblings"].as_array().unwrap().clone();
            let values = siblings.iter().map(|sibling| {
                let value =
                    base64::engine::general_purpose::STANDARD.decode(sibling["value"].as_str().unwrap());
                String::from_utf8(value.unwrap()).unwrap().parse::<u64>().unwrap()
            });
            values.max()
        }
        404 => None,
        status => panic!("{status}: {}", reply.text()),
    }
}

#[test]
fn no_acknowledged_write_is_missing_after_ten_kills_whichever_node_is_asked() {
    run(async {
        // A read of one replica would repair what its probes find another to lack, before that is looked at.
        let (mut cluster, _directory) = cluster(3, &["log.level=warn", "defaults.read_repair=off"]).await;
        let nodes = cluster.endpoints();
        let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
        let acked = Rc::new(Acked::default());
        let writers: Vec<_> = (0..WRITERS)
            .map(|me| tokio::task::spawn_local(write(me, nodes.clone(), acked.clone())))
            .collect();
        let mut random = StdRng::seed_from_u64(u64::from(std::process::id()));
        for kill in 0..KILLS {
            let before = acked.count.get();
            let victim = random.random_range(0..nodes.len());
            tokio::time::sleep(Duration::from_millis(random.random_range(50..250))).await;
            cluster.kill(victim).unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(50..250))).await;
            cluster.spawn(victim).unwrap();
            cluster.node_ready(victim).await.unwrap();
            println!(
                "kill {} of {KILLS}: {}, {} writes acknowledged",
                kill + 1,
                names[victim],
                acked.count.get() - before
            );
        }
        acked.stop.set(true);
        for writer in writers {
            writer.await.unwrap();
        }
        let last = acked.last.take();
        assert!(last.len() as u64 == WRITERS * KEYS_EACH, "the load reached every key: {}", last.len());

        // Each replica by itself first.
        for (key, (number, by)) in &last {
            for (name, node) in names.iter().zip(&nodes).filter(|(name, _)| by.contains(name)) {
                let held = own(node, name, *key).await;
                assert!(
                    held >= Some(*number),
                    "{name} acknowledged {number} of key {key} and holds {held:?}"
                );
            }
        }
        for (key, (number, _)) in &last {
            for node in &nodes {
                let read = shown(&get(node, &format!("/v1/kv/k/{key}?r=2")).await);
                assert!(read >= Some(*number), "key {key}: {number} was acknowledged, {read:?} is read");
            }
        }
        println!("{} acknowledged writes of {} keys, none missing", acked.count.get(), last.len());
    });
}

/// What a node itself holds: a read that a faster home answered is made again.
async fn own(node: &Endpoint, name: &str, key: u64) -> Option<u64> {
    for _ in 0..50 {
        let reply = call(node, "GET", &format!("/v1/kv/k/{key}?r=1"), &[], b"").await.unwrap();
        if reply.acked_by == [name] {
            return shown(&reply);
        }
    }
    panic!("{name} leaves its own reads to others");
}
