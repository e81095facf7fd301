//! Drives the keeper of settings, and what a node does now and then.

use super::Task;
use crate::disk::Disk;
use crate::network::NodeIndex;
use crate::process::{Process, SettingsNode};
use crate::transport::Owner;
use crate::world::{Event, Node, TICK, World};
use neap_protocol::ids::{DirectoryId, NodeId};
use neap_protocol::membership::Shown;
use neap_protocol::settings::{SettingsEffect, SettingsKeeper};
use neap_protocol::time::{CeilingKeeper as _, Moment};
use neap_protocol::view::View;
use std::collections::BTreeSet;

/// Peers that are told a clock ceiling at one tick; in large clusters the others' turn comes later.
const ANNOUNCED_TO: usize = 16;
/// Ticks after which it is written down what peers have announced.
const REMEMBERS_EVERY: u64 = 40;

impl World {
    /// Lets a node's keeper of settings take a step.
    pub fn settings<T>(
        &mut self,
        at: NodeIndex,
        step: impl FnOnce(
            &mut SettingsKeeper<u64>,
            Moment,
            View<'_>,
            &mut SettingsNode<'_>,
            &mut Vec<SettingsEffect<u64>>,
        ) -> T,
    ) -> Option<T> {
        let now = self.now;
        let wall = self.nodes.get(at)?.wall(now);
        let Node { process, id, ring, clock: clocks, disk, .. } = self.nodes.get_mut(at)?;
        let Process { keeper, clock, ceiling, gate, .. } = &mut **process.as_mut()?;
        let table = keeper.table().clone();
        let view = View { me: id, ring, buckets: &table };
        let partitions = ring.partitions();
        let mut host =
            SettingsNode { disk, clock, ceiling, wall, partitions, confirmed: gate.is_confirmed() };
        let mut effects = Vec::new();
        let result = step(keeper, clocks.moment(now), view, &mut host, &mut effects);
        for effect in effects {
            match effect {
                SettingsEffect::Send { to, request, deadline, tag } => {
                    self.send(at, &to, (Owner::Settings, tag), *request, deadline);
                }
                SettingsEffect::Reply { client, reply } => self.settings_answered(client, &reply),
                SettingsEffect::Show => self.tasks.push_back((at, Task::SettingsChanged)),
            }
        }
        Some(result)
    }

    pub(crate) fn tick(&mut self, at: NodeIndex, run: u64) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let wall = node.wall(now);
        let Some(process) = &mut node.process else { return };
        self.queue.push(now + TICK, Event::Tick(at, run));
        let mut synced = process.keep_ceiling_ahead(wall);
        if process.commit.policy == neap_storage::Commit::Interval {
            synced = synced.and_then(|()| neap_storage::Store::sync(&*node.disk.store));
        }
        if synced.is_err() {
            return self.sync_failed(at);
        }
        let parked = process.replica.parked() > 0;
        let ticks = now / TICK;
        self.announce_ceiling(at, ticks);
        self.look_at_rates(at, ticks);
        if ticks.is_multiple_of(REMEMBERS_EVERY) {
            self.remember_announced(at);
        }
        self.look_for_settings(at);
        self.look_for_pages(at);
        if parked {
            self.tasks.push_back((at, Task::SettingsChanged));
        }
    }

    /// Asks those who have not told their bucket settings yet.
    pub(super) fn look_for_settings(&mut self, at: NodeIndex) {
        let nodes = &self.nodes;
        let Some(Node { process: Some(process), .. }) = nodes.get(at) else { return };
        let heard = process.keeper.heard();
        if heard.len() >= process.transport.links.len() {
            return;
        }
        let up = process.transport.links.iter().filter(|(_, link)| link.connection.is_some());
        let up = up.filter_map(|(peer, _)| nodes.get(*peer).map(|node| &node.id));
        let up: BTreeSet<NodeId> = up.filter(|peer| !heard.contains(peer)).cloned().collect();
        if up.is_empty() {
            return;
        }
        self.settings(at, |core, now, view, _, effects| {
            core.look(now, view, |peer| up.contains(peer), effects);
        });
    }

    /// Tells peers how far this node's clock may have come.
    pub(super) fn announce_ceiling(&mut self, at: NodeIndex, ticks: u64) {
        let Some(node) = self.nodes.get(at) else { return };
        let Some(process) = &node.process else { return };
        let (id, ceiling) = (node.id.clone(), process.ceiling.synced());
        let turns = process.transport.links.len().div_ceil(ANNOUNCED_TO).max(1);
        let turn = usize::try_from(ticks).unwrap_or(0) % turns;
        let links = process.transport.links.iter().skip(turn * ANNOUNCED_TO).take(ANNOUNCED_TO);
        let up = links.filter(|(_, link)| link.connection.is_some()).map(|(peer, _)| *peer);
        for peer in up.collect::<Vec<_>>() {
            if self.network.is_cut(at, peer) {
                continue;
            }
            let Some(hears) = self.nodes.get_mut(peer).filter(|peer| !peer.paused) else { continue };
            let Some(process) = &mut hears.process else { continue };
            process.gate.announced(&id, ceiling);
        }
    }

    /// Writes down which ceilings peers have announced.
    pub(super) fn remember_announced(&mut self, at: NodeIndex) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        let announced = process.gate.take_announced();
        remember(&node.disk, &announced);
    }

    /// Makes it durable whom a node has admitted.
    pub fn remember_admitted(&mut self, at: NodeIndex) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        let admitted = process.gate.take_admitted();
        if !admitted.is_empty() {
            remember(&node.disk, &admitted);
            // A disk that fails ends the process at its next sync.
            let _ = neap_storage::Store::sync(&*node.disk.store);
        }
    }
}

/// Writes down what is remembered of peers. It is synced with whatever is synced next.
fn remember(disk: &Disk, peers: &[(NodeId, Vec<(DirectoryId, Shown)>)]) {
    let changes: Vec<_> = peers.iter().map(|(id, shown)| neap_storage::peers::change(id, shown)).collect();
    if !changes.is_empty() {
        // Memory always takes them.
        let _ = neap_storage::Store::apply_from_reserve(&*disk.store, changes);
    }
}
