//! What clients carry and cannot make up: contexts, and where a listing goes on. Both are authenticated with a key that is
//! derived from the cluster's secret.

mod context;
mod continuation;

pub(crate) use context::decode as decode_set;
pub use context::{ContextToken, TokenError, TokenKey};
pub use continuation::{InvalidContinuation, position_of};
