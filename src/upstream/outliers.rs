//! Ejection: an endpoint that fails too often in a row gets no requests for a while.

use super::{Cause, EndpointState, Version};
use crate::config::policy::Mode;

impl Version {
    /// Counts how a try ended at an endpoint (`failed`: by its fault, and why), and takes the
    /// endpoint out when it has failed too often. The last one that is available stays: a sick
    /// answer is better than none.
    pub fn judge(&self, endpoint: &EndpointState, failed: Option<Cause>) {
        let Some(outliers) = self.outliers.as_ref() else {
            return;
        };
        let row = endpoint.judge(failed.is_some());
        let enough = outliers.mode != Mode::Off && row >= outliers.consecutive_failures.max(1);
        let Some(cause) = failed.filter(|_| enough) else {
            return;
        };
        let set = self.set();
        let out = set.count(EndpointState::is_ejected);
        let available = set.count(EndpointState::available);
        let share = usize::from(outliers.max_ejected.0) * set.wanted().count() / 10_000;
        if out >= share.max(1) || available <= 1 || endpoint.is_ejected() {
            return;
        }
        if outliers.mode == Mode::Report {
            let (service, version, endpoint_name) = endpoint.names();
            tracing::warn!(
                service, version, endpoint = endpoint_name, %cause, failures = row,
                "would be ejected"
            );
            endpoint.judge(false);
            return;
        }
        endpoint.eject(outliers.eject_for, cause, row);
    }

    /// Whether endpoints may be ejected at all.
    pub fn ejects(&self) -> bool {
        let outliers = self.outliers.as_ref();
        outliers.is_some_and(|outliers| outliers.mode != Mode::Off)
    }
}
