//! The paths and methods of the contract: one table, by which the router goes, and the `Allow` header, preflights, the
//! OpenAPI document and the tests.

use actix_web::http::Method;

use super::path::{PathHead, PathParts, PathTemplate};
use ApiCall::{
    Batch, Delete, DeleteKey64, Docs, Healthz, ListBuckets, ListKeys, Metrics, NotBuilt, OpenApi,
    PreferenceList, PreferenceListKey64, Put, PutKey64, Read, Readyz, Ring, SetBucket, ShowBucket, Slo,
};

/// Every path of the contract. The data path is first, as the router looks from the top; no path matches two rows.
pub static ROUTES: [Route; 29] = [
    at("/v1/kv/{bucket}/{key}").get(Read).put(Put).delete(Delete),
    at("/v1/kv/{bucket}").get(ListKeys).put(PutKey64).delete(DeleteKey64),
    at("/v1/batch").post(Batch),
    at("/v1/buckets").get(ListBuckets),
    at("/v1/buckets/{bucket}").get(ShowBucket).put(SetBucket),
    at("/v1/ring").get(Ring),
    at("/v1/ring/{bucket}/{key}").get(PreferenceList),
    at("/v1/ring/{bucket}").with_key64().get(PreferenceListKey64),
    at("/v1/changes").get(PROGRESS_OF_CHANGES).post(CHANGES),
    at("/v1/changes/{id}").get(PROGRESS_OF_CHANGES).delete(CHANGES),
    at("/v1/slo").get(Slo),
    at("/v1/slo/advice").get(NotBuilt("advice on quorums")),
    at("/v1/hints").get(NotBuilt("the report of hints")),
    at("/v1/hints/{target}/pause").post(DELIVERY_OF_HINTS),
    at("/v1/hints/{target}/resume").post(DELIVERY_OF_HINTS),
    at("/v1/hints/sync").get(NotBuilt("waiting for hints")),
    at("/v1/repair").get(REPAIR).post(REPAIR),
    at("/v1/repair/{id}").delete(NotBuilt("stopping a repair")),
    at("/v1/convergence").get(NotBuilt("the forecast of convergence")),
    at("/metrics").get(Metrics),
    at("/healthz").get(Healthz),
    at("/readyz").get(Readyz),
    at("/ui").get(NotBuilt("the dashboard")),
    at("/ui/events").get(NotBuilt("the stream of the dashboard")),
    at("/").get(NotBuilt("the page of links")),
    at("/problems/{type}").get(NotBuilt("the explanation of problems")),
    at("/openapi.json").get(OpenApi),
    at("/docs").get(Docs),
    at("/docs/runbook").get(NotBuilt("the runbook")),
];

const PROGRESS_OF_CHANGES: ApiCall = NotBuilt("the progress of membership changes");
const CHANGES: ApiCall = NotBuilt("changing the membership");
const DELIVERY_OF_HINTS: ApiCall = NotBuilt("pausing the delivery of hints");
const REPAIR: ApiCall = NotBuilt("anti-entropy repair");

/// A call of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiCall {
    /// Reads a key.
    Read,
    /// Writes a key.
    Put,
    /// Deletes a key.
    Delete,
    /// Lists the keys of a bucket, or reads the one in `key64`.
    ListKeys,
    /// Writes the key in `key64`.
    PutKey64,
    /// Deletes the key in `key64`.
    DeleteKey64,
    /// Carries out a batch.
    Batch,
    /// Lists the buckets.
    ListBuckets,
    /// Shows the properties of a bucket.
    ShowBucket,
    /// Sets the properties of a bucket.
    SetBucket,
    /// Shows the members.
    Ring,
    /// Shows the preference list of a key.
    PreferenceList,
    /// Shows the preference list of the key in `key64`.
    PreferenceListKey64,
    /// Shows the objectives.
    Slo,
    /// Shows the instruments.
    Metrics,
    /// Tells that the process lives.
    Healthz,
    /// Tells whether the node serves.
    Readyz,
    /// Shows the contract.
    OpenApi,
    /// Shows the contract to people.
    Docs,
    /// A part of the contract that is not built. The text names it.
    NotBuilt(&'static str),
}

impl ApiCall {
    /// The id that the contract's document gives it; none if it is not built.
    #[must_use]
    pub const fn id(self) -> Option<&'static str> {
        Some(match self {
            Read => "read",
            Put => "put",
            Delete => "delete",
            ListKeys => "list_keys",
            PutKey64 => "put_key64",
            DeleteKey64 => "delete_key64",
            Batch => "batch",
            ListBuckets => "list_buckets",
            ShowBucket => "show_bucket",
            SetBucket => "set_bucket",
            Ring => "ring",
            PreferenceList => "preference_list",
            PreferenceListKey64 => "preference_list_key64",
            Slo => "slo",
            Metrics => "metrics",
            Healthz => "healthz",
            Readyz => "readyz",
            OpenApi => "openapi",
            Docs => "docs",
            NotBuilt(_) => return None,
        })
    }

    /// Tells whether a refusal of it says that nothing was applied.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Put | Delete | PutKey64 | DeleteKey64 | Batch | SetBucket)
    }
}

/// A path of the contract, with its methods. HEAD goes with GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The path.
    pub path: PathTemplate,
    /// Whether the path is there only for a query with `key64`.
    pub only_with_key64: bool,
    /// The call of `GET` and `HEAD`.
    pub get: Option<ApiCall>,
    /// The call of `PUT`.
    pub put: Option<ApiCall>,
    /// The call of `POST`.
    pub post: Option<ApiCall>,
    /// The call of `DELETE`.
    pub delete: Option<ApiCall>,
}

const fn at(path: &'static str) -> Route {
    let path = PathTemplate::new(path);
    Route { path, only_with_key64: false, get: None, put: None, post: None, delete: None }
}

impl Route {
    const fn with_key64(self) -> Self {
        Self { only_with_key64: true, ..self }
    }

    const fn get(self, call: ApiCall) -> Self {
        Self { get: Some(call), ..self }
    }

    const fn put(self, call: ApiCall) -> Self {
        Self { put: Some(call), ..self }
    }

    const fn post(self, call: ApiCall) -> Self {
        Self { post: Some(call), ..self }
    }

    const fn delete(self, call: ApiCall) -> Self {
        Self { delete: Some(call), ..self }
    }

    /// The call of `method`, if the path has it.
    #[must_use]
    pub fn call(&self, method: &Method) -> Option<ApiCall> {
        match *method {
            Method::GET | Method::HEAD => self.get,
            Method::PUT => self.put,
            Method::POST => self.post,
            Method::DELETE => self.delete,
            _ => None,
        }
    }

    /// The methods that the path has, in the order of the `Allow` header, each with its call.
    pub fn calls(&self) -> impl Iterator<Item = (Method, ApiCall)> + use<> {
        let Self { get, put, post, delete, .. } = *self;
        let methods = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];
        methods
            .into_iter()
            .zip([get, get, put, post, delete])
            .filter_map(|(method, call)| Some((method, call?)))
    }

    /// The value of the `Allow` header.
    #[must_use]
    pub fn allow(&self) -> String {
        let methods: Vec<Method> = self.calls().map(|(method, _)| method).collect();
        methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// A row of the table that a path matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed<'a> {
    /// The row.
    pub route: &'static Route,
    /// The path's own parts.
    pub parts: PathParts<'a>,
}

/// The row of `path`, if the contract has it. `key64` tells whether the query has that parameter.
#[must_use]
pub fn find(path: &str, key64: bool) -> Option<Routed<'_>> {
    let head = PathHead::of(path);
    ROUTES.iter().find_map(|route| {
        let parts = route.path.parts(path, head).filter(|_| key64 || !route.only_with_key64)?;
        Some(Routed { route, parts })
    })
}
