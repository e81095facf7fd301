//! Causality: which versions a version replaces, exactly.
//!
//! Objects are dotted version vector sets (Preguiça, Baquero, Almeida, Fonte, Gonçalves, "Dotted Version
//! Vectors", 2012; Almeida et al., "Scalable and Accurate Causality Tracking for Eventually Consistent
//! Stores", 2014): the versions that live, each under its own dot, beside a [`CausalContext`] of all dots
//! ever seen for the key. A version is dropped only when a context that covers its dot says it was seen and
//! replaced.

mod context;
mod object;
mod shown;
mod size;
mod version;

pub use context::CausalContext;
pub use object::{Object, SUPERSEDED_MAX};
pub use shown::{Shown, has_live_value, shown, shows_a_value};
pub use size::written_alone;
pub use version::{Answered, Body, Intent, Mode, Superseded, Value, Version};
