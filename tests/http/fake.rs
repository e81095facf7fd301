//! A node that is only a table: the edge's tests see what the edge asked, and script what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use neap::http::backend::{Backend, Later, MemberView, Operation, OperationReply, RingView};
use neap::protocol::admission::BucketWeight;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use neap::protocol::causality::{Body, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, WriteId};
use neap::protocol::listing::{KeyRange, ListError, ListReply, ListedKey};
use neap::protocol::operation::{
    OperationError, Participation, Read, ReadReply, Write, WriteBody, WriteReply,
};
use neap::protocol::quorum::Quorum;
use neap::protocol::settings::SetBucketError;
use neap::protocol::slo::{SloDocument, SloScope};
use neap::protocol::time::{Hlc, WallMicros};
use neap::telemetry::RequestTrace;

/// The microsecond of the first write; each further one is a microsecond later.
pub const EPOCH: u64 = 1_738_314_425_000_000;

#[derive(Default)]
pub struct Fake {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    objects: BTreeMap<(BucketName, Key), Object>,
    buckets: BTreeMap<BucketName, (BucketSettings, SettingsVersion)>,
    counter: u64,
    reads: Vec<(Read, u64)>,
    writes: Vec<(Write, u64)>,
    next_read: Option<OperationError>,
    next_write: Option<OperationError>,
    next_list: Option<ListError>,
    next_batch: Option<OperationError>,
    next_set: Option<SetBucketError>,
    sibling: bool,
    not_ready: Option<String>,
    slo: Option<SloDocument>,
    scopes: Vec<SloScope>,
}

pub fn name(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

fn homes() -> Participation {
    Participation { acked_by: vec![name("n1"), name("n3")], required: 2, total: 3 }
}

impl Fake {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    pub fn last_read(&self) -> (Read, u64) {
        self.table().reads.last().cloned().unwrap()
    }

    pub fn last_write(&self) -> (Write, u64) {
        self.table().writes.last().cloned().unwrap()
    }

    pub fn writes(&self) -> usize {
        self.table().writes.len()
    }

    pub fn fail_read(&self, error: OperationError) {
        self.table().next_read = Some(error);
    }

    pub fn fail_write(&self, error: OperationError) {
        self.table().next_write = Some(error);
    }

    pub fn fail_batch(&self, error: OperationError) {
        self.table().next_batch = Some(error);
    }

    pub fn fail_list(&self, error: ListError) {
        self.table().next_list = Some(error);
    }

    pub fn fail_set(&self, error: SetBucketError) {
        self.table().next_set = Some(error);
    }

    /// The next write stands beside a sibling.
    pub fn show_sibling(&self) {
        self.table().sibling = true;
    }

    pub fn not_ready(&self, why: &str) {
        self.table().not_ready = Some(why.to_owned());
    }

    /// What is said of the objectives; nothing says that too many ask.
    pub fn set_slo(&self, document: SloDocument) {
        self.table().slo = Some(document);
    }

    pub fn scopes(&self) -> Vec<SloScope> {
        self.table().scopes.clone()
    }

    /// What another node wrote at the same time.
    pub fn concurrent(&self, bucket: &str, key: &[u8], body: Body) {
        let mut table = self.table();
        table.counter += 1;
        let counter = table.counter;
        let mut other = Object::new();
        let mode = Mode::Blind(BlindWrite::Sibling);
        // Each from a node of its own: what one node writes later covers what it wrote before.
        other.put(intent((100 + counter, counter), (WriteId(u128::from(counter)), false), false, mode, body));
        let key = (BucketName::new(bucket).unwrap(), Key::new(key.to_vec()));
        table.objects.entry(key).or_default().merge(&other, Hlc::ZERO);
    }

    pub fn set_resolution(&self, bucket: &str, resolution: Resolution) {
        let settings = BucketSettings { resolution, ..self.bucket_defaults() };
        let version = SettingsVersion { hlc: at(0), node: Some(name("n1")) };
        self.table().buckets.insert(BucketName::new(bucket).unwrap(), (settings, version));
    }
}

pub fn value(bytes: &[u8], content_type: Option<&str>, expires_at: Option<u64>) -> Body {
    let content_type = content_type.map(str::to_owned);
    Body::Value(Value { content_type, bytes: bytes.to_vec().into(), expires_at: expires_at.map(WallMicros) })
}

fn at(counter: u64) -> Hlc {
    Hlc::from_wall(WallMicros(EPOCH + counter))
}

fn intent(
    (directory, counter): (u64, u64),
    (write_id, named): (WriteId, bool),
    created: bool,
    mode: Mode,
    body: Body,
) -> Intent {
    let actor = ActorId(directory);
    Intent { dot: Dot { actor, counter }, hlc: at(counter), w: 2, write_id, named, created, mode, body }
}

impl Table {
    fn read(&mut self, read: Read, timeout_us: u64) -> Result<ReadReply, OperationError> {
        self.reads.push((read.clone(), timeout_us));
        if let Some(error) = self.next_read.take() {
            return Err(error);
        }
        let resolution = self.bucket(&read.bucket).0.resolution;
        let object = self.objects.get(&(read.bucket, read.key)).cloned();
        Ok(ReadReply { object, participation: homes(), resolution })
    }

    fn write(&mut self, write: Write) -> Result<WriteReply, OperationError> {
        if let Some(error) = self.next_write.take() {
            return Err(error);
        }
        self.counter += 1;
        let write_id = write.write_id.unwrap_or(WriteId(u128::from(self.counter)));
        let object = self.objects.entry((write.bucket, write.key)).or_default();
        let live = object.versions().iter().any(|version| !version.is_tombstone());
        if write.only_if_absent && live {
            return Err(OperationError::Exists);
        }
        let body = match write.body {
            WriteBody::Put { content_type, bytes } => {
                let expires_at = write.ttl_us.map(|ttl| WallMicros(EPOCH + ttl));
                Body::Value(Value { content_type, bytes, expires_at })
            }
            WriteBody::Delete => Body::Tombstone,
        };
        let mode = write.context.map_or(Mode::Blind(BlindWrite::Overwrite), Mode::Context);
        let named = write.write_id.is_some();
        let answered = object.put(intent((1, self.counter), (write_id, named), !live, mode, body));
        let sibling = std::mem::take(&mut self.sibling);
        Ok(WriteReply { answered, write_id, sibling, participation: homes() })
    }

    fn bucket(&self, bucket: &BucketName) -> (BucketSettings, SettingsVersion) {
        let set = self.buckets.get(bucket).cloned();
        set.unwrap_or((DEFAULTS, SettingsVersion::DEFAULTS))
    }
}

pub const DEFAULTS: BucketSettings = BucketSettings {
    quorum: Quorum { n: 3, r: 2, w: 2 },
    w_min: 2,
    resolution: Resolution::Siblings,
    blind_write: BlindWrite::Overwrite,
    siblings_max: 100,
    weight: BucketWeight::ONE,
    sloppy: false,
    read_repair: ReadRepair::Blocking,
    ttl_us: None,
};

impl Backend for Fake {
    fn read(
        &self,
        read: Read,
        timeout_us: u64,
        _: Option<RequestTrace>,
    ) -> Later<Result<ReadReply, OperationError>> {
        let reply = self.table().read(read, timeout_us);
        Box::pin(std::future::ready(reply))
    }

    fn write(
        &self,
        write: Write,
        timeout_us: u64,
        _: Option<RequestTrace>,
    ) -> Later<Result<WriteReply, OperationError>> {
        let mut table = self.table();
        table.writes.push((write.clone(), timeout_us));
        let reply = table.write(write);
        Box::pin(std::future::ready(reply))
    }

    fn batch(
        &self,
        operations: Vec<(Operation, Option<RequestTrace>)>,
        timeout_us: u64,
    ) -> Later<Result<Vec<OperationReply>, OperationError>> {
        let mut table = self.table();
        if let Some(error) = table.next_batch.take() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let replies = operations.into_iter().map(|(operation, _)| match operation {
            Operation::Read(read) => OperationReply::Read(table.read(read, timeout_us)),
            Operation::Write(write) => {
                table.writes.push((write.clone(), timeout_us));
                OperationReply::Write(table.write(write))
            }
        });
        let replies = replies.collect();
        Box::pin(std::future::ready(Ok(replies)))
    }

    fn list_keys(&self, range: KeyRange, limit: usize, _: u64) -> Later<Result<ListReply, ListError>> {
        let mut table = self.table();
        if let Some(error) = table.next_list.take() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let mut keys = Vec::new();
        let of_range = table.objects.iter().filter(|((bucket, key), _)| {
            let bytes = key.as_bytes();
            *bucket == range.bucket && bytes.starts_with(&range.prefix) && *bytes > range.after[..]
        });
        for ((_, key), object) in of_range {
            let live = object.versions().iter().filter(|version| !version.is_tombstone()).count();
            if live > 0 {
                keys.push(ListedKey { key: key.clone(), newest: object.newest().unwrap(), versions: live });
            }
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let last = keys.last().map(|listed: &ListedKey| Bytes::copy_from_slice(listed.key.as_bytes()));
        Box::pin(std::future::ready(Ok(ListReply { keys, more_after: last.filter(|_| more) })))
    }

    fn metrics(&self) -> String {
        "# TYPE neap_reads_total counter\n".to_owned()
    }

    fn bucket(&self, bucket: &BucketName) -> (BucketSettings, SettingsVersion) {
        self.table().bucket(bucket)
    }

    fn buckets(&self) -> Vec<(BucketName, BucketSettings, SettingsVersion)> {
        let table = self.table();
        table
            .buckets
            .iter()
            .map(|(name, (set, version))| (name.clone(), set.clone(), version.clone()))
            .collect()
    }

    fn bucket_defaults(&self) -> BucketSettings {
        DEFAULTS
    }

    fn set_bucket(
        &self,
        bucket: BucketName,
        settings: BucketSettings,
        _timeout_us: u64,
    ) -> Later<Result<SettingsVersion, SetBucketError>> {
        let mut table = self.table();
        if let Some(error) = table.next_set.take() {
            return Box::pin(std::future::ready(Err(error)));
        }
        table.counter += 1;
        let version = SettingsVersion { hlc: at(table.counter), node: Some(name("n1")) };
        table.buckets.insert(bucket, (settings, version.clone()));
        Box::pin(std::future::ready(Ok(version)))
    }

    fn ring(&self) -> RingView {
        let member = |id, up| MemberView {
            id: name(id),
            zone: "a".to_owned(),
            weight: 1.5,
            address: format!("{id}:7101"),
            up,
            partitions: 768,
            first: 341,
        };
        RingView {
            cluster: "test".to_owned(),
            epoch: 1,
            fingerprint: 0xab,
            partitions: 1024,
            n: 3,
            members: vec![member("n1", true), member("n2", false)],
            incomplete_partitions: 4,
        }
    }

    fn preference_list(&self, _bucket: &BucketName, _key: &Key) -> (u32, Vec<NodeId>) {
        (7, vec![name("n2"), name("n1"), name("n3")])
    }

    fn slo(&self, scope: SloScope) -> Later<Result<Arc<SloDocument>, OperationError>> {
        let mut table = self.table();
        table.scopes.push(scope);
        let document = table.slo.clone().map(Arc::new).ok_or(OperationError::Overloaded);
        Box::pin(std::future::ready(document))
    }

    fn not_ready(&self) -> Option<String> {
        self.table().not_ready.clone()
    }

    fn node(&self) -> NodeId {
        name("n1")
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("frames_refused", 3)]
    }
}
