//! The actors of the main thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, AsyncContext as _, Context, Recipient};

use super::{Common, Directory};
use crate::actors::backfill::{Backfill, BackfillParts};
use crate::actors::bucket_settings::{BucketSettingsActor, SettingsParts};
use crate::actors::clock::{Ceiling, steady_wall};
use crate::actors::key_lister::{KeyLister, ListerParts};
use crate::actors::placement::Shards;
use crate::actors::ring_membership::{Attach, PeerNews, RingMembership, SharedGate};
use crate::actors::shell::{end_the_process_if_a_sync_failed, end_the_process_on_sync_error};
use crate::actors::sli_recorder::{self, Peers, RecorderParts, Shown, SliRecorder, SloView, Tap};
use crate::config::Config;
use crate::protocol::membership::Holding;
use crate::storage::SloSnapshot;

/// Runs the actors of the control plane on this thread, each with a lane of its own where it asks peers.
pub(super) fn run_control(
    common: &Common,
    shards: &Arc<Shards>,
    directory: &Arc<Directory>,
    holding: Holding,
    (membership, settings, backfill, lister): (
        Context<RingMembership>,
        Context<BucketSettingsActor>,
        Context<Backfill>,
        Context<KeyLister>,
    ),
    (subscribers, gate): (Vec<Recipient<PeerNews>>, Arc<SharedGate>),
) {
    let clock = common.clock();
    let attach: Recipient<Attach> = membership.address().recipient();
    membership.run(RingMembership::new(common.store.clone(), subscribers, common.counters.clone()));
    attach.do_send(Attach(gate.clone()));

    let lane = Rc::new(common.lane_of(settings.address().recipient(), &clock));
    let replicas = shards.iter().map(|shard| shard.replica.clone()).collect();
    settings.run(BucketSettingsActor::new(SettingsParts {
        me: common.me.clone(),
        table: common.settings.clone(),
        ring: common.ring.clone(),
        store: common.store.clone(),
        lane,
        gate: gate.clone(),
        clock: clock.clone(),
        replicas,
        values: common.values,
        counters: common.counters.clone(),
        end_process: Rc::new(end_the_process_on_sync_error),
    }));

    let lane = common.lane_of(backfill.address().recipient(), &clock);
    let marked = directory.clone();
    backfill.run(Backfill::new(BackfillParts {
        me: common.me.clone(),
        holding,
        gate: gate.clone(),
        ring: common.ring.clone(),
        settings: common.settings.clone(),
        completeness: common.completeness.clone(),
        lane,
        shards: shards.clone(),
        mark: Rc::new(move |holding| {
            if let Err(error) = marked.0.bookkeeping().mark_holding(holding) {
                end_the_process_if_a_sync_failed(&error);
                tracing::error!("it was not written down what the directory holds: {error}");
            }
        }),
        counters: common.counters.clone(),
    }));

    let lane = common.lane_of(lister.address().recipient(), &clock);
    lister.run(KeyLister::new(ListerParts {
        me: common.me.clone(),
        ring: common.ring.clone(),
        settings: common.settings.clone(),
        completeness: common.completeness.clone(),
        gate: gate.clone(),
        store: common.store.clone(),
        shards: shards.clone(),
        lane,
        counters: common.counters.clone(),
    }));
    keep_ceiling_ahead(common.ceiling.clone(), gate);
}

/// Runs the recorder on this thread, going on from what the last run left.
pub(super) fn run_recorder(
    config: &Config,
    common: &Common,
    clean: bool,
    context: Context<SliRecorder>,
    (tap, shown): (Tap, Shown),
) -> (Addr<SliRecorder>, Arc<SloView>) {
    let snapshot = SloSnapshot::of(&config.node.data);
    let mut slo = sli_recorder::resume(config.slo.plan(), &snapshot, clean);
    let view = Arc::new(SloView::new(slo.evaluate(steady_wall())));
    let lane = common.lane_of(context.address().recipient(), &common.clock());
    let peers = Peers { me: common.me.clone(), ring: common.ring.clone(), lane };
    let recorder = context.run(SliRecorder::new(RecorderParts {
        slo,
        view: view.clone(),
        snapshot,
        peers,
        time_scale: config.slo.time_scale,
        tap: Some(tap),
        shown: Some(shown),
        counters: common.counters.clone(),
    }));
    (recorder, view)
}

/// Syncs the clocks' ceiling ahead of time, away from all actors.
fn keep_ceiling_ahead(ceiling: Arc<Ceiling>, gate: Arc<SharedGate>) {
    drop(actix_rt::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            let (ceiling, confirmed) = (ceiling.clone(), gate.is_confirmed());
            let raised = tokio::task::spawn_blocking(move || ceiling.keep_ahead(confirmed)).await;
            if let Ok(Err(error)) = raised {
                tracing::warn!("the clock's ceiling could not be raised: {error}");
            }
        }
    }));
}
