//! What is counted about the keys and tokens of a provider.

use super::Provider;
use crate::counts::Counts;
use crate::reason::Reason;
use crate::telemetry::metrics::Family;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

impl Provider {
    /// Its metrics, by provider.
    pub const METRICS: &[Family<Self>] = &[
        Family::counter(
            "tyrian_jwt_verifications_total",
            "Tokens by what came of them",
            |provider, points| points.each("result", provider.results.iter()),
        ),
        Family::gauge(
            "tyrian_jwt_keys_age_seconds",
            "Seconds since keys were last fetched, or since their file was last good",
            |provider, points| points.maybe(provider.keys_age()),
        ),
        Family::gauge(
            "tyrian_jwt_failed_fetches",
            "Fetches of keys that have failed since the last one that did not",
            |provider, points| points.maybe(provider.failed_fetches()),
        ),
        Family::gauge(
            "tyrian_jwt_keys",
            "Keys of the provider",
            |provider, points| {
                points.add(provider.sizes().0);
            },
        ),
        Family::gauge(
            "tyrian_jwt_cached_tokens",
            "Verified tokens that are remembered",
            |provider, points| points.add(provider.sizes().1),
        ),
    ];
}

/// Verifications by result.
#[derive(Debug, Default)]
pub struct Results {
    pub verified: AtomicU64,
    pub cached: AtomicU64,
    pub refused: Counts<Reason>,
}

impl Results {
    /// Results that have happened, by their word.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let refused = self.refused.iter();
        let refused = refused.map(|(reason, count)| (reason.name(), count));
        let passed = [("verified", &self.verified), ("cached", &self.cached)];
        let passed = passed.map(|(word, count)| (word, count.load(Relaxed)));
        passed
            .into_iter()
            .chain(refused.filter(|(word, count)| *count > 0 || word.starts_with("jwt_")))
    }
}
