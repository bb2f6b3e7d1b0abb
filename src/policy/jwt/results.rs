//! What is counted about the tokens of a provider.

use crate::reason::Reason;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Verifications by result.
#[derive(Debug)]
pub struct Results {
    pub verified: AtomicU64,
    pub cached: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Default for Results {
    fn default() -> Self {
        Self {
            verified: AtomicU64::new(0),
            cached: AtomicU64::new(0),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Results {
    pub fn refuse(&self, reason: Reason) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Results that have happened, by their word.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let refused = Reason::ALL.iter().zip(&self.refused);
        let refused = refused.map(|(reason, count)| (reason.name(), count.load(Relaxed)));
        let passed = [("verified", &self.verified), ("cached", &self.cached)];
        let passed = passed.map(|(word, count)| (word, count.load(Relaxed)));
        passed
            .into_iter()
            .chain(refused.filter(|(word, count)| *count > 0 || word.starts_with("jwt_")))
    }
}
