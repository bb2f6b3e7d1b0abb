//! What a new configuration would change for recent requests, and the gate that asks.

use super::Rollouts;
use crate::config::Config;
use crate::config::server::ReloadGuard;
use crate::replay::{Replay, Report};
use crate::routing::Table;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// Below so many recent requests a share of them says nothing.
const REQUESTS_MIN: u64 = 20;
/// Examples of each change.
const EXAMPLES: usize = 3;

/// Decides recent requests by what is live and by a new configuration.
pub fn recently(
    metrics: &Metrics,
    rollouts: &Rollouts,
    live: &Snapshot,
    new: (&Config, &Table),
) -> Report {
    rollouts.preview(new.0, new.1);
    let mut replay = Replay::new(new, Some((&live.config, &live.table)), EXAMPLES);
    for line in metrics.recent.lines() {
        replay.line(&line);
    }
    replay.finish()
}

/// Why a reload is refused, if it is.
pub fn refusal(guard: &ReloadGuard, report: &Report) -> Option<String> {
    let most = guard.max_changed;
    let over = report.changed_percent > most.ratio() * 100.0;
    (over && report.requests >= REQUESTS_MIN).then(|| {
        format!(
            "error: {} of {} recent requests ({:.2}%) would be decided otherwise; \
             `server.reload_guard` lets {most} change\n\
             help: see which: tyrian diff --replay; go on: tyrian reload --force\n",
            report.changed, report.requests, report.changed_percent
        )
    })
}
