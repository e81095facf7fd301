//! Objectives that cannot be met, or not be seen to be, whatever the cluster does: what configuration alone rules out.

use super::Config;
use super::units::format_duration;

/// What to tell the operator, a line each.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.staleness.probe == 0.0 {
        warnings.push(
            "staleness.probe = 0: no read gets a verdict, so slo.age_p95 and slo.stale_reads can never be seen to be \
             met, and never alert"
                .to_owned(),
        );
    }
    let (interval, window) = (config.repair.interval, config.hints.window);
    let sets = config
        .slo
        .sets
        .iter()
        .map(|set| (format!("slo.sets.{}.convergence_p999", set.name), set.convergence_p999));
    let all = std::iter::once(("slo.convergence_p999".to_owned(), config.slo.convergence_p999));
    for (key, objective) in all.chain(sets) {
        if window < objective && interval > objective {
            warnings.push(format!(
                "{key} = {} cannot be met by a write that a home missed: hints are kept for {} (hints.window) and homes \
                 are compared every {} (repair.interval)",
                format_duration(objective),
                format_duration(window),
                format_duration(interval),
            ));
        }
    }
    warnings
}
