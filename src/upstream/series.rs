//! What is counted of one version of a service, besides durations and its pool.

use super::cause::Kind;
use crate::counts::Counts;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of a version. They go on over reloads for as long as the version keeps its name.
#[derive(Debug, Default)]
pub struct UpstreamSeries {
    /// Bytes of bodies sent to its endpoints; each try counts.
    pub sent: AtomicU64,
    /// Bytes of bodies received from its endpoints.
    pub received: AtomicU64,
    /// Connection attempts of traffic that failed.
    pub connect_failures: Counts<Kind>,
    /// Active checks that passed.
    passed: AtomicU64,
    /// Active checks that failed.
    failed: Counts<Kind>,
}

impl UpstreamSeries {
    /// Counts an active check by its result.
    pub fn checked(&self, result: Result<(), super::Cause>) {
        match result {
            Ok(()) => drop(self.passed.fetch_add(1, Relaxed)),
            Err(cause) => self.failed.add(cause.kind),
        }
    }

    /// Returns active checks by their result: `passed`, or the kind of the failure.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let failed = self.failed.iter().map(|(kind, count)| (kind.name(), count));
        std::iter::once(("passed", self.passed.load(Relaxed))).chain(failed)
    }
}
