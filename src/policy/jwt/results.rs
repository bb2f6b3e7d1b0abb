//! What is counted about the tokens of a provider.

use crate::counts::Counts;
use crate::reason::Reason;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
