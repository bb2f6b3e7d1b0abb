//! Work off the hot path: forgetting, and freeing what was replaced.

use crate::memory::apart;
use crate::snapshot::{Current, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// How often policies forget what is idle.
const SWEEP: Duration = Duration::from_secs(1);

/// Forgets full buckets and expired verdicts, for as long as the process lives.
pub fn sweep(current: Current) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let snapshot = current.load_full();
            let now = crate::rollout::Moment::now().seconds();
            snapshot.table.expire(&snapshot.config, now);
            if snapshot.limiters.is_empty() && snapshot.authorities.is_empty() {
                continue;
            }
            let _ = tokio::task::spawn_blocking(move || snapshot.sweep()).await;
        }
    });
}

/// How often a replaced snapshot is looked at.
const RETIRE_POLL: Duration = Duration::from_secs(1);

/// Frees a replaced snapshot once its last request has ended, off the hot path: taking thousands of
/// routes apart would hold up whichever request happened to be the last.
pub fn retire(mut snapshot: Arc<Snapshot>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(RETIRE_POLL).await;
            match Arc::try_unwrap(snapshot) {
                Ok(last) => {
                    let _ = apart(|| drop(last));
                    return;
                }
                Err(used) => snapshot = used,
            }
        }
    });
}
