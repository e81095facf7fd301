//! Who is in the cluster, whether each is who it says, and what each may answer for.

mod backfill;
mod completeness;
mod gate;
mod identity;
mod peer_ceilings;
mod start;

pub use backfill::{APPLYING_MAX, Backfill, BackfillEffect, PULLS_MAX};
pub use completeness::{Completeness, Pulled, is_enough};
pub use gate::{Confirmation, Gate, Identity, NotAdmitted, PeerEvent};
pub use identity::{
    DIRECTORIES_MAX, HISTORY_MAX, IdentityRefused, KnownIdentities, Presented, RunId, RunNumber, Shown,
    WhyRefused,
};
pub use peer_ceilings::{ClockAhead, PeerCeilings, PeerClock};
pub use start::{Holding, Memory, REFUSED_BEFORE, RunRecord};
