//! How the objectives stand.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::Edge;
use super::dto::Counters;
use super::error::Problem;
use super::params::{self, Parameter};
use crate::protocol::sli::{CAUSE_NAMES, LegView};
use crate::protocol::slo::{Objective, SloDocument, SloScope};

/// Shows how the objectives stand
///
/// Of this node, or of the cluster, for which every other node is asked.
#[utoipa::path(method(get, head), path = "/v1/slo", operation_id = "slo", tag = "slo",
    responses((status = 200, description = "The objectives, and how they stand", body = SloBody)))]
pub async fn show(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let query = request.uri().query();
    let scope = params::parse(query, &[Parameter::Scope], edge.limits.timeout_us)?.scope;
    let document = edge.backend.slo(scope.unwrap_or(SloScope::Node)).await.map_err(Problem::read)?;
    Ok(HttpResponse::Ok().json(SloBody::of(&document)))
}

/// The body of `GET /v1/slo`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SloBody {
    scope: &'static str,
    window_s: f64,
    reads: ReadsBody,
    #[schema(value_type = BTreeMap<String, u64>)]
    unknown_causes: Counters,
    stale_read_rate: RateBody,
    staleness_age_p95_s: Option<f64>,
    /// Among stale reads alone.
    stale_age_p95_s: Option<f64>,
    exposure_p95_s: Option<f64>,
    /// Among stale reads alone.
    stale_exposure_p95_s: Option<f64>,
    convergence: ConvergenceBody,
    objectives: Vec<ObjectiveBody>,
    /// What the legs of operations took in the last minute, by name. Only of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, LegBody>>)]
    one_way_latency_s: Option<BTreeMap<&'static str, LegBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<Vec<String>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReadsBody {
    fresh: u64,
    stale: u64,
    suspect: u64,
    behind: u64,
    unknown: u64,
    unsampled: u64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RateBody {
    low: Option<f64>,
    high: Option<f64>,
    /// Of the judged reads alone: alerts go by it.
    judged: Option<f64>,
    any_replica_high: Option<f64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ConvergenceBody {
    p50_s: Option<f64>,
    p999_s: Option<f64>,
    unconverged: u64,
    oldest_s: Option<f64>,
    untracked: u64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LegBody {
    count: u64,
    /// The share of all that took no longer, and the time.
    quantiles: Vec<(f64, f64)>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ObjectiveBody {
    name: String,
    unit: &'static str,
    window_s: f64,
    target: f64,
    low: Option<f64>,
    high: Option<f64>,
    budget_remaining: Option<f64>,
    burn_rates: Vec<BurnBody>,
    state: &'static str,
    why: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BurnBody {
    window_s: f64,
    rate: Option<f64>,
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl SloBody {
    fn of(document: &SloDocument) -> Self {
        let (reads, rate) = (&document.reads, document.stale_read_rate);
        let convergence = document.convergence;
        let unreachable = document.unreachable.iter().map(ToString::to_string);
        Self {
            scope: document.scope.name(),
            window_s: seconds(document.window_us),
            reads: ReadsBody {
                fresh: reads.fresh(),
                stale: reads.stale,
                suspect: reads.suspect,
                behind: reads.behind,
                unknown: reads.unknown_total(),
                unsampled: reads.unsampled,
            },
            unknown_causes: Counters(
                CAUSE_NAMES.into_iter().zip(reads.unknown).chain([("pending", reads.pending)]).collect(),
            ),
            stale_read_rate: RateBody {
                low: rate.and_then(|rate| rate.low),
                high: rate.and_then(|rate| rate.high),
                judged: rate.and_then(|rate| rate.judged),
                any_replica_high: rate.and_then(|rate| rate.any_replica_high),
            },
            staleness_age_p95_s: document.staleness_age_p95_s,
            stale_age_p95_s: document.stale_age_p95_s,
            exposure_p95_s: document.exposure_p95_s,
            stale_exposure_p95_s: document.stale_exposure_p95_s,
            convergence: ConvergenceBody {
                p50_s: convergence.p50_s,
                p999_s: convergence.p999_s,
                unconverged: convergence.unconverged,
                oldest_s: convergence.oldest_s,
                untracked: convergence.untracked,
            },
            objectives: document.objectives.iter().map(ObjectiveBody::of).collect(),
            one_way_latency_s: (document.scope == SloScope::Node)
                .then(|| document.legs.iter().map(LegBody::of).collect()),
            unreachable: (document.scope == SloScope::Cluster).then(|| unreachable.collect()),
        }
    }
}

impl LegBody {
    fn of(view: &LegView) -> (&'static str, Self) {
        (view.leg.name(), Self { count: view.count, quantiles: view.quantiles.clone() })
    }
}

impl ObjectiveBody {
    fn of(objective: &Objective) -> Self {
        let burns = objective.burn_rates.iter();
        let burns = burns.map(|burn| BurnBody { window_s: seconds(burn.window_us), rate: burn.rate });
        Self {
            name: objective.name.clone(),
            unit: objective.unit.name(),
            window_s: seconds(objective.window_us),
            target: objective.target,
            low: objective.low,
            high: objective.high,
            budget_remaining: objective.budget_remaining,
            burn_rates: burns.collect(),
            state: objective.state.name(),
            why: objective.why.clone(),
        }
    }
}
