//! The document of a batch, as it is published. It is read by hand, operation by operation (see [`super::item`]).

#![expect(dead_code, reason = "it is the schema of what is read property by property")]

/// A batch.
#[derive(utoipa::ToSchema)]
pub struct BatchDocument {
    /// Up to 1,000 operations.
    #[schema(max_items = 1_000)]
    operations: Vec<BatchOperation>,
}

/// An operation of a batch.
#[derive(utoipa::ToSchema)]
pub struct BatchOperation {
    /// `get`, `put` or `delete`.
    #[schema(pattern = "^(get|put|delete)$")]
    op: String,
    /// The bucket.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    bucket: String,
    /// The key as text; any, also one with `.` segments. One of `key` and `key64` is there.
    #[schema(required = false, min_length = 1)]
    key: Option<String>,
    /// The key as base64url.
    key64: Option<String>,
    /// Of a get: its R.
    #[schema(minimum = 1, maximum = 15)]
    r: Option<u8>,
    /// Of a put: the value as base64. One of `value` and `text` is there.
    value: Option<String>,
    /// Of a put: the value as it is, UTF-8.
    text: Option<String>,
    /// Of a put: its media type; of a `text` that does not say, `text/plain; charset=utf-8`.
    #[schema(max_length = 256)]
    content_type: Option<String>,
    /// Of a put: how long the value is shown, such as `3h`.
    ttl: Option<String>,
    /// Of a put: `*` creates only.
    #[schema(pattern = "^[*]$")]
    if_none_match: Option<String>,
    /// Of a put or delete: the context of what it replaces.
    context: Option<String>,
    /// Of a put or delete: its name, 32 hexadecimal digits, which makes a retry safe.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    write_id: Option<String>,
    /// Of a put or delete: its W.
    #[schema(minimum = 1, maximum = 15)]
    w: Option<u8>,
}
