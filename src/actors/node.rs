//! A node, from its configuration to its clean stop.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use actix::dev::ContextFutureSpawner as _;
use actix::prelude::*;

use crate::actors::admission::Admission;
use crate::actors::asking::{AskingLane, AskingSink};
use crate::actors::backfill::{Backfill, BackfillParts, Found};
use crate::actors::bucket_settings::{BucketSettingsActor, SettingsParts, SettingsTable};
use crate::actors::clock::{Ceiling, CeilingKeeper, ShardClock, moment};
use crate::actors::completeness::Completeness;
use crate::actors::coordinator::{Coordinator, CoordinatorParts};
use crate::actors::counters::NodeCounters;
use crate::actors::front::{Draining, Front, FrontParts};
use crate::actors::identity::Dots;
use crate::actors::messages::{Answer, AnswerBody, FetchSettings};
use crate::actors::placement::{Placement, Shard, Shards};
use crate::actors::replica_store::{CoordinatorCell, ReplicaParts, ReplicaStore};
use crate::actors::ring_membership::{Attach, Gate, PeerEvent, RingMembership, RingTable, load_known};
use crate::actors::service::{NodeService, ServiceParts};
use crate::actors::shell::{end_the_process_on_panic, hand_over};
use crate::config::{CommitPolicy, Config};
use crate::http::HttpServerHandle;
use crate::protocol::causality::TokenKey;
use crate::protocol::ids::{ActorId, NodeId};
use crate::protocol::message::PeerAnswer;
use crate::protocol::ring::{Member, Ring, RingError, Weight};
use crate::protocol::time::Hlc;
use crate::storage::{Commit, DataDirectory, DirectoryError, Expectation, GroupCommit, Opened, Store, StoreError};
use crate::transport::{AnswerSink, Gatekeeper, Lane, LaneConfig, LanePurpose, TransportCounters};
