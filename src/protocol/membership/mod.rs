//! Who is in the cluster, whether each is who it says, and what each may answer for.

mod backfill;
mod completeness;
mod gate;
mod identity;
mod start;

pub use backfill::{APPLYING_MAX, Backfill, BackfillEffect, Found, PULLS_MAX};
pub use completeness::{Completeness, Pulled, is_enough};
pub use gate::{Confirmation, Gate, Identity, NotAdmitted, PeerEvent};
pub use identity::{DIRECTORIES_MAX, IdentityRefused, KnownIdentities, Presented, RunId, Shown, Standing};
pub use start::{LastRun, NextRun, found};
