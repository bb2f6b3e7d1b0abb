//! Metrics of sources, by source.

use super::feed::Feed;
use crate::telemetry::metrics::Family;
use std::time::SystemTime;

impl Feed {
    /// Its metrics, by source.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "tyrian_discovery_last_success_timestamp_seconds",
            "When a source of endpoints has answered last, in seconds since 1970",
            |feed, points| {
                if let Some(latest) = feed.latest() {
                    let since = latest.on().duration_since(SystemTime::UNIX_EPOCH);
                    points.add(since.unwrap_or_default().as_secs_f64());
                }
            },
        ),
        Family::counter(
            "tyrian_discovery_failures_total",
            "Times that a source of endpoints could not be asked, and entries that cannot be read",
            |feed, points| points.each("kind", feed.failures()),
        ),
    ];
}
