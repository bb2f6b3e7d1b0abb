//! Ejection: an endpoint that fails too often in a row gets no requests for a while.

use super::{Cause, Version};
use crate::config::policy::Mode;

impl Version {
    /// Counts how a try ended at an endpoint (`failed`: by its fault, and why), and takes the
    /// endpoint out when it has failed too often. The last one that is available stays: a sick
    /// answer is better than none.
    pub fn judge(&self, index: usize, failed: Option<Cause>) {
        let Some(outliers) = self.upkeep.outliers.as_ref() else {
            return;
        };
        let Some(endpoint) = self.endpoints.get(index) else {
            return;
        };
        let row = endpoint.state.judge(failed.is_some());
        let enough = outliers.mode != Mode::Off && row >= outliers.consecutive_failures.max(1);
        let Some(cause) = failed.filter(|_| enough) else {
            return;
        };
        let count =
            |is: fn(&super::EndpointState) -> bool| self.wanted().filter(|e| is(&e.state)).count();
        let (out, available) = (
            count(super::EndpointState::is_ejected),
            count(super::EndpointState::available),
        );
        let share = usize::from(outliers.max_ejected.0) * self.wanted().count() / 10_000;
        if out >= share.max(1) || available <= 1 || endpoint.state.is_ejected() {
            return;
        }
        if outliers.mode == Mode::Report {
            let (service, version, endpoint_name) = endpoint.state.names();
            tracing::warn!(
                service, version, endpoint = endpoint_name, %cause, failures = row,
                "would be ejected"
            );
            endpoint.state.judge(false);
            return;
        }
        endpoint.state.eject(outliers.eject_for, cause, row);
    }

    /// Whether active checks ask its endpoints.
    pub fn is_checked(&self) -> bool {
        self.endpoints.iter().any(super::Endpoint::is_checked)
    }

    /// Whether endpoints may be ejected at all.
    pub fn ejects(&self) -> bool {
        let outliers = self.upkeep.outliers.as_ref();
        outliers.is_some_and(|outliers| outliers.mode != Mode::Off)
    }
}
