//! The node as its REST edge sees it: permits, the shard of a key, read-only views.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::actors::admission::{Admission, Permit};
use crate::actors::bucket_settings::{SetBucket, SettingsTable};
use crate::actors::clock::moment;
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::key_lister::ListKeys;
use crate::actors::messages::{Client, ClientOperation};
use crate::actors::placement::Shards;
use crate::actors::resident::Resident;
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::shell::hand_over;
use crate::actors::sli_recorder::{AskCluster, SloView};
use crate::actors::underway::{Underway, nothing_heard};
use crate::http::backend::{Backend, Later, MemberView, Operation, OperationReply, RingView};
use crate::protocol::bucket::{BucketSettings, SettingsVersion};
use crate::protocol::coordinator::Ask;
use crate::protocol::ids::{BucketName, Key, NodeId, PartitionId, WriteId};
use crate::protocol::listing::{KeyRange, ListError, ListReply};
use crate::protocol::membership::{ClockAhead, Confirmation};
use crate::protocol::message::Refusal;
use crate::protocol::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::protocol::settings::{NewBucket, SetBucketError, SettingsReply, StoredSettings};
use crate::protocol::slo::{SloDocument, SloScope};
use crate::protocol::time::Moment;
use crate::telemetry::{Metrics, RequestTrace, SpanSink, log};
use crate::transport::{MemoryShare, TransportCounters};

/// How much later than at its deadline an operation is answered here, whatever its shard does.
const GRACE: Duration = Duration::from_millis(100);

/// How long the cluster has to say how its objectives stand, in microseconds: twice what its members have.
const SLO_TIMEOUT_US: u64 = 2_000_000;

/// Set once the node takes no new work.
#[derive(Debug, Default)]
pub struct Draining(AtomicBool);

impl Draining {
    /// From now on no new work is taken.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether no new work is taken.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the front is made of.
pub struct FrontParts {
    /// This node.
    pub me: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The data plane.
    pub shards: Arc<Shards>,
    /// Permits.
    pub admission: Admission,
    /// Whether there is memory for another request.
    pub resident: Resident,
    /// Memory of what waits to be sent to peers.
    pub requests: Arc<MemoryShare>,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// Who is up.
    pub gate: Arc<SharedGate>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// The settings actor.
    pub set_bucket: Recipient<SetBucket>,
    /// How the objectives stand here.
    pub slo: Arc<SloView>,
    /// Who lists keys.
    pub list_keys: Recipient<ListKeys>,
    /// Who can say how they stand in the whole cluster.
    pub ask_cluster: Recipient<AskCluster>,
    /// Which partitions this node may answer reads of.
    pub completeness: Arc<CompletenessTable>,
    /// Whether the node is stopping.
    pub draining: Arc<Draining>,
    /// What the actors count.
    pub counters: Arc<NodeCounters>,
    /// What the transport counts.
    pub transport: Arc<TransportCounters>,
    /// All instruments.
    pub metrics: Metrics,
    /// Where traces go.
    pub spans: SpanSink,
}

/// The front of a node.
pub struct Front {
    parts: FrontParts,
}

impl Front {
    /// A front over `parts`.
    #[must_use]
    pub fn new(parts: FrontParts) -> Self {
        Self { parts }
    }

    fn admit(&self, bucket: &BucketName) -> Result<Permit, OperationError> {
        if self.parts.draining.is_set() {
            return Err(OperationError::NotServing(Refusal::Draining));
        }
        if self.parts.resident.is_over() || self.parts.requests.is_spent() {
            self.parts.counters.memory_refused.add();
            return Err(OperationError::Overloaded);
        }
        self.parts.admission.permit(bucket).ok_or_else(|| {
            self.parts.counters.admission_refused.add();
            OperationError::Overloaded
        })
    }

    /// Ends what is answered by threads that do not, with what is said then: they may hang in the disk.
    fn within<T: Send + 'static>(
        &self,
        timeout_us: u64,
        answer: impl Future<Output = T> + Send + 'static,
        late: impl FnOnce() -> T + Send + 'static,
    ) -> Later<T> {
        Box::pin(until(patience(timeout_us), self.parts.counters.clone(), answer, late))
    }

    /// An operation for the shard of its key, with its way back.
    fn prepare<T>(
        &self,
        ask: Ask,
        client: impl FnOnce(oneshot::Sender<Result<T, OperationError>>) -> Client,
        (permit, deadline, trace): (Permit, Moment, Option<RequestTrace>),
    ) -> (usize, ClientOperation, Underway<T>) {
        let number = self.parts.shards.number_of(&self.parts.ring.current(), ask.bucket(), ask.key());
        let (reply, answer) = oneshot::channel();
        (number, ClientOperation { ask, client: client(reply), deadline, permit, trace }, Underway(answer))
    }

    fn ready<T: Send + 'static>(result: T) -> Later<T> {
        Box::pin(std::future::ready(result))
    }
}

/// The id of a write, drawn where the client gave none.
fn named(write: Write) -> Result<Ask, OperationError> {
    let write_id = write.write_id.or_else(draw_write_id);
    Ok(Ask::Write(write, write_id.ok_or(OperationError::NotServing(Refusal::Storage))?))
}

/// What will come of one operation of a batch.
enum Awaited {
    Read(Underway<ReadReply>),
    Write(Underway<WriteReply>),
    Refused(OperationReply),
}

impl Awaited {
    async fn reply(self, patience: Instant, counters: Arc<NodeCounters>) -> OperationReply {
        match self {
            Self::Read(answer) => {
                let late = || Err(nothing_heard());
                OperationReply::Read(until(patience, counters, answer.read(), late).await)
            }
            Self::Write(answer) => {
                let late = || Err(nothing_heard());
                OperationReply::Write(until(patience, counters, answer.written(), late).await)
            }
            Self::Refused(reply) => reply,
        }
    }
}

/// When a shard is no longer waited for.
fn patience(timeout_us: u64) -> Instant {
    Instant::now() + Duration::from_micros(timeout_us) + GRACE
}

async fn until<T>(
    patience: Instant,
    counters: Arc<NodeCounters>,
    answer: impl Future<Output = T>,
    late: impl FnOnce() -> T,
) -> T {
    tokio::time::timeout_at(patience, answer).await.unwrap_or_else(|_| {
        counters.shards_silent.add();
        late()
    })
}

impl Backend for Front {
    fn read(
        &self,
        read: Read,
        timeout_us: u64,
        trace: Option<RequestTrace>,
    ) -> Later<Result<ReadReply, OperationError>> {
        let permit = match self.admit(&read.bucket) {
            Ok(permit) => permit,
            Err(error) => return Self::ready(Err(error)),
        };
        let with = (permit, moment().plus_micros(timeout_us), trace);
        let (number, operation, underway) = self.prepare(Ask::Read(read), Client::Read, with);
        self.parts.shards.at(number).turnstile.enter(vec![operation]);
        self.within(timeout_us, underway.read(), || Err(nothing_heard()))
    }

    fn write(
        &self,
        write: Write,
        timeout_us: u64,
        trace: Option<RequestTrace>,
    ) -> Later<Result<WriteReply, OperationError>> {
        let (permit, ask) = match self.admit(&write.bucket).and_then(|permit| Ok((permit, named(write)?))) {
            Ok(admitted) => admitted,
            Err(error) => return Self::ready(Err(error)),
        };
        let with = (permit, moment().plus_micros(timeout_us), trace);
        let (number, operation, underway) = self.prepare(ask, Client::Write, with);
        self.parts.shards.at(number).turnstile.enter(vec![operation]);
        self.within(timeout_us, underway.written(), || Err(nothing_heard()))
    }

    fn batch(
        &self,
        operations: Vec<(Operation, Option<RequestTrace>)>,
        timeout_us: u64,
    ) -> Later<Result<Vec<OperationReply>, OperationError>> {
        // Each by itself, as it would be alone: a batch of more than there are permits must get somewhere, too.
        let permits = operations.iter().map(|(operation, _)| self.admit(operation.bucket()));
        let permits: Vec<Result<Permit, OperationError>> = permits.collect();
        if !permits.is_empty() && permits.iter().all(Result::is_err) {
            let none = permits.into_iter().find_map(Result::err).unwrap_or(OperationError::Overloaded);
            return Self::ready(Err(none));
        }
        let deadline = moment().plus_micros(timeout_us);
        let mut of_shards: BTreeMap<usize, Vec<ClientOperation>> = BTreeMap::new();
        let mut awaited = Vec::with_capacity(operations.len());
        for ((operation, trace), permit) in operations.into_iter().zip(permits) {
            let with = match permit {
                Ok(permit) => (permit, deadline, trace),
                Err(error) => {
                    awaited.push(Awaited::Refused(operation.refused(error)));
                    continue;
                }
            };
            let (shard, operation, waits) = match operation {
                Operation::Read(read) => {
                    let (shard, operation, underway) = self.prepare(Ask::Read(read), Client::Read, with);
                    (shard, operation, Awaited::Read(underway))
                }
                Operation::Write(write) => match named(write) {
                    Ok(ask) => {
                        let (shard, operation, underway) = self.prepare(ask, Client::Write, with);
                        (shard, operation, Awaited::Write(underway))
                    }
                    Err(error) => {
                        awaited.push(Awaited::Refused(OperationReply::Write(Err(error))));
                        continue;
                    }
                },
            };
            of_shards.entry(shard).or_default().push(operation);
            awaited.push(waits);
        }
        for (number, operations) in of_shards {
            self.parts.shards.at(number).turnstile.enter(operations);
        }
        // Each by itself: what one shard does not answer is no reason to lose what others have done.
        let (patience, counters) = (patience(timeout_us), self.parts.counters.clone());
        Box::pin(async move {
            let mut replies = Vec::with_capacity(awaited.len());
            for answer in awaited {
                replies.push(answer.reply(patience, counters.clone()).await);
            }
            Ok(replies)
        })
    }

    fn list_keys(
        &self,
        range: KeyRange,
        limit: usize,
        timeout_us: u64,
    ) -> Later<Result<ListReply, ListError>> {
        let permit = match self.admit(&range.bucket) {
            Ok(permit) => permit,
            Err(OperationError::NotServing(refusal)) => {
                return Self::ready(Err(ListError::NotServing(refusal)));
            }
            Err(_) => return Self::ready(Err(ListError::Overloaded)),
        };
        let partitions = self.parts.ring.current().partitions();
        let needed = self.parts.settings.current().settings(&range.bucket).quorum.r;
        let late = move || Err(ListError::Deadline { lacking: partitions, partitions, needed });
        let (reply, answer) = oneshot::channel();
        let asked = ListKeys { range, limit, deadline: moment().plus_micros(timeout_us), permit, reply };
        if hand_over(&self.parts.list_keys, asked, &self.parts.counters.mailbox_refused).is_err() {
            return Self::ready(Err(ListError::Overloaded));
        }
        let answer = async { answer.await.unwrap_or(Err(ListError::NotServing(Refusal::Draining))) };
        self.within(timeout_us, answer, late)
    }

    fn bucket(&self, bucket: &BucketName) -> (BucketSettings, SettingsVersion) {
        let buckets = self.parts.settings.current();
        (buckets.settings(bucket).clone(), buckets.version(bucket).clone())
    }

    fn buckets(&self) -> Vec<StoredSettings> {
        self.parts.settings.current().all()
    }

    fn bucket_defaults(&self) -> BucketSettings {
        self.parts.settings.current().defaults().clone()
    }

    fn set_bucket(
        &self,
        bucket: BucketName,
        settings: BucketSettings,
        timeout_us: u64,
    ) -> Later<SettingsReply> {
        let (reply, answer) = oneshot::channel();
        let deadline = moment().plus_micros(timeout_us);
        let request = SetBucket { new: NewBucket { bucket, settings, deadline }, reply };
        if hand_over(&self.parts.set_bucket, request, &self.parts.counters.mailbox_refused).is_err() {
            return Self::ready(Err(SetBucketError::Refused(Refusal::Overloaded)));
        }
        let answer = async { answer.await.unwrap_or(Err(SetBucketError::Refused(Refusal::Draining))) };
        let members = u16::try_from(self.parts.ring.current().members().len()).unwrap_or(u16::MAX);
        let late = move || Err(SetBucketError::NotReached { stored: 0, needed: members / 2 + 1, members });
        self.within(timeout_us, answer, late)
    }

    fn ring(&self) -> RingView {
        let ring = self.parts.ring.current();
        let n = self.parts.settings.current().defaults().quorum.n;
        let mut counts = vec![(0, 0); ring.members().len()];
        for partition in (0..ring.partitions()).map(PartitionId) {
            for (place, home) in ring.homes(partition, n).iter().enumerate() {
                if let Some((partitions, first)) = counts.get_mut(usize::from(home.0)) {
                    *partitions += 1;
                    *first += u32::from(place == 0);
                }
            }
        }
        let members = ring.members().iter().zip(counts).map(|(member, (partitions, first))| MemberView {
            id: member.id.clone(),
            zone: member.zone.clone(),
            weight: member.weight.as_f64(),
            address: member.address.clone(),
            up: self.parts.gate.is_up(&member.id),
            partitions,
            first,
        });
        RingView {
            cluster: self.parts.cluster.clone(),
            epoch: ring.epoch().0,
            fingerprint: ring.fingerprint(),
            partitions: ring.partitions(),
            n,
            members: members.collect(),
            incomplete_partitions: self.parts.completeness.current().missing(),
        }
    }

    fn preference_list(&self, bucket: &BucketName, key: &Key) -> (u32, Vec<NodeId>) {
        let ring = self.parts.ring.current();
        let partition = ring.partition_of(bucket, key);
        let homes = ring.homes(partition, self.parts.settings.current().settings(bucket).quorum.n).iter();
        (partition.0, homes.filter_map(|&home| ring.member(home).map(|member| member.id.clone())).collect())
    }

    fn slo(&self, scope: SloScope) -> Later<Result<Arc<SloDocument>, OperationError>> {
        if scope == SloScope::Node {
            return Self::ready(Ok(self.parts.slo.current()));
        }
        let (reply, answer) = oneshot::channel();
        let handed =
            hand_over(&self.parts.ask_cluster, AskCluster { reply }, &self.parts.counters.mailbox_refused);
        if handed.is_err() {
            return Self::ready(Err(OperationError::Overloaded));
        }
        let answer = async { answer.await.map_err(|_| OperationError::Overloaded) };
        self.within(SLO_TIMEOUT_US, answer, || Err(nothing_heard()))
    }

    fn not_ready(&self) -> Option<String> {
        let missing = self.parts.completeness.current().missing();
        if self.parts.draining.is_set() {
            return Some("the node is stopping".to_owned());
        }
        match self.parts.gate.confirmation() {
            Confirmation::Refused(reason) => Some(reason),
            Confirmation::Awaited => {
                Some("fewer than a majority of the members have admitted this node yet".to_owned())
            }
            Confirmation::Confirmed if missing > 0 => Some(self.still_incomplete(missing)),
            Confirmation::Confirmed => self.parts.gate.clock_ahead().map(clock_ahead),
        }
    }

    fn node(&self) -> NodeId {
        self.parts.me.clone()
    }

    fn metrics(&self) -> String {
        self.parts.metrics.prometheus()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.parts.counters.snapshot();
        counters.extend(self.parts.transport.snapshot());
        let (delivered, dropped) = self.parts.spans.counts();
        counters.extend([("spans_delivered", delivered), ("spans_dropped", dropped)]);
        counters.push(("log_lines_dropped", log::dropped().iter().map(|(_, lines)| lines).sum()));
        counters
    }
}

impl Front {
    /// Names those who are not there, as it may be they who are waited for: a new directory counts as its node's
    /// first only once all have been asked.
    fn still_incomplete(&self, missing: u32) -> String {
        let ring = self.parts.ring.current();
        let away = ring.members().iter().map(|member| &member.id);
        let away: Vec<&str> = away.filter(|id| !self.parts.gate.is_up(id)).map(NodeId::as_str).collect();
        let mut why = format!(
            "{missing} partitions are not yet pulled from, or confirmed by, other members; a new node waits until \
             each of them has been there once"
        );
        if !away.is_empty() {
            why += &format!("; not connected now: {}", away.join(", "));
        }
        why
    }
}

fn clock_ahead(ClockAhead { of, ahead_us, left_us }: ClockAhead) -> String {
    let s = |us: u64| us as f64 / 1e6;
    let of: Vec<&str> = of.iter().map(NodeId::as_str).collect();
    format!(
        "times that this node has issued, or may have, are {:.1} s ahead of the clocks of {}, which refuse them; they \
         get there in {:.1} s (or give the directory a new id, and have it refilled)",
        s(ahead_us),
        of.join(", "),
        s(left_us)
    )
}

fn draw_write_id() -> Option<WriteId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(WriteId(u128::from_be_bytes(bytes)))
}
