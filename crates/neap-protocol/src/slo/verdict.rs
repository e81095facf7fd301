//! What is found about one objective: the worst reason first, one sentence of them shown.

use super::document::SloState;

/// Reasons as they are found.
#[derive(Debug, Default)]
pub struct Findings {
    worst: Option<(SloState, String)>,
}

impl Findings {
    /// Notes a reason, if it holds. Of equally bad ones the first is kept.
    pub fn when(&mut self, holds: bool, state: SloState, why: impl FnOnce() -> String) {
        let worse = self.worst.as_ref().is_none_or(|(worst, _)| state > *worst);
        if holds && worse {
            self.worst = Some((state, why()));
        }
    }

    /// The worst of them, else what holds without any.
    pub fn or(
        self,
        enough: bool,
        few: impl FnOnce() -> String,
        fine: impl FnOnce() -> String,
    ) -> (SloState, String) {
        match self.worst {
            Some(worst) => worst,
            None if enough => (SloState::Ok, fine()),
            None => (SloState::NoData, few()),
        }
    }
}
