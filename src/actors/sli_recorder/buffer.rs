//! The way from where something is observed to the recorder: batches, by a hand-over that never waits.

use std::sync::Arc;

use actix::{Message, Recipient};

use crate::actors::counters::NodeCounters;
use crate::actors::shell::hand_over;
use crate::protocol::sli::{Observation, OperationOutcome};

/// Observations that are handed over at once.
pub const BATCH: usize = 256;
/// Batches that wait at the recorder at the most, beside one of each shard: 65,536 observations.
pub const BATCHES: usize = 256;

/// What was observed, in order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Observations(pub Vec<Observation>);

/// The recorder, as all shards share it: only through one handle does its mailbox bound.
#[derive(Debug)]
pub struct ObservationSink {
    to: Recipient<Observations>,
    /// Whether anything is recorded (`telemetry.metrics`).
    on: bool,
    counters: Arc<NodeCounters>,
}

impl ObservationSink {
    /// Hands over to `to`, if anything is to be recorded.
    #[must_use]
    pub fn new(to: Recipient<Observations>, on: bool, counters: Arc<NodeCounters>) -> Self {
        Self { to, on, counters }
    }
}

/// What one actor has observed and not handed over yet.
#[derive(Debug)]
pub struct ObservationBuffer {
    sink: Arc<ObservationSink>,
    kept: Vec<Observation>,
    /// Answered reads that a dropped batch told of, and of which the recorder is not told yet.
    lost: u64,
}

impl ObservationBuffer {
    /// Nothing was observed yet.
    #[must_use]
    pub fn new(sink: Arc<ObservationSink>) -> Self {
        Self { sink, kept: Vec::new(), lost: 0 }
    }

    /// Keeps an observation, and hands all over once they make a batch.
    pub fn push(&mut self, observation: Observation) {
        if !self.sink.on {
            return;
        }
        self.kept.push(observation);
        if self.kept.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what was kept: to be called on every tick. What the recorder cannot take is dropped, and counted one
    /// by one: what was dropped must be seen to be missing. Reads among it are told of as lost with the next batch.
    pub fn flush(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        if self.lost > 0 {
            self.kept.push(Observation::ReadsLost(std::mem::take(&mut self.lost)));
        }
        let batch = Observations(std::mem::take(&mut self.kept));
        let ObservationSink { to, counters, .. } = &*self.sink;
        if let Err(Observations(dropped)) = hand_over(to, batch, &counters.mailbox_refused) {
            counters.observations_dropped.add_many(dropped.len() as u64);
            self.lost = dropped.iter().map(lost_reads).sum();
        }
    }
}

/// Sampled reads that an observation tells of. Their verdicts come by themselves, or are lost as well.
fn lost_reads(observation: &Observation) -> u64 {
    match observation {
        Observation::Read(read) => u64::from(read.sampled && read.outcome == OperationOutcome::Ok),
        Observation::ReadsLost(reads) => *reads,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use actix::prelude::*;

    use super::*;
    use crate::protocol::sli::UnconvergedObserved;

    struct Taker;

    impl Actor for Taker {
        type Context = Context<Self>;
    }

    impl Handler<Observations> for Taker {
        type Result = ();

        fn handle(&mut self, _: Observations, _: &mut Self::Context) {}
    }

    #[test]
    fn what_the_recorder_cannot_take_is_dropped_and_counted_one_by_one() {
        System::new().block_on(async {
            // It never runs, so its mailbox fills up.
            let context = crate::actors::shell::context_of::<Taker>(2);
            let counters = Arc::new(NodeCounters::default());
            let sink = ObservationSink::new(context.address().recipient(), true, counters.clone());
            let mut buffer = ObservationBuffer::new(Arc::new(sink));
            let observation = || Observation::Unconverged(UnconvergedObserved::default());
            buffer.flush();
            (0..BATCH - 1).for_each(|_| buffer.push(observation()));
            assert_eq!(buffer.kept.len(), BATCH - 1);
            buffer.push(observation());
            assert!(buffer.kept.is_empty(), "a batch is handed over at once");
            while counters.observations_dropped.get() == 0 {
                buffer.push(observation());
                buffer.push(observation());
                buffer.push(observation());
                buffer.flush();
            }
            assert_eq!((counters.observations_dropped.get(), counters.mailbox_refused.get()), (3, 1));
        });
    }
}
