//! A change of a breaker's phase: why it happened, by which numbers, and the log line about it.

use super::{Breaker, Phase, Seen};
use crate::config::units::{Lasting, Percent};
use crate::telemetry::metrics::Family;
use std::time::Duration;

/// Why a breaker has changed its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The share of failed requests has reached `trip.error_rate`.
    ErrorRate,
    /// The share of slow requests has reached `trip.slow_rate`.
    SlowRate,
    /// It has been open for as long as it should be.
    OpenForElapsed,
    /// All probes ended well enough.
    ProbesPassed,
    /// Too many probes failed, or were slow.
    ProbesFailed,
    /// Set by hand, over the admin API.
    Operator,
}

impl Cause {
    /// Returns the word for it in logs and in the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::SlowRate => "slow_rate",
            Self::OpenForElapsed => "open_for_elapsed",
            Self::ProbesPassed => "probes_passed",
            Self::ProbesFailed => "probes_failed",
            Self::Operator => "operator",
        }
    }
}

/// One change of the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub from: Phase,
    pub to: Phase,
    pub cause: Cause,
    /// The requests or probes that decided; none for the causes that count nothing.
    pub seen: Seen,
    /// How long it stays open. `None`: it is not open, or it is held open by hand.
    pub open_for: Option<Duration>,
    /// When, counted from the start of the breaker.
    pub(super) at: Duration,
}

/// Returns the share of `part` in `total`, or `None` of nothing.
fn share(part: u32, total: u32) -> Option<String> {
    let hundredths = (u64::from(part) * 10_000).checked_div(u64::from(total))?;
    Some(Percent(hundredths.min(10_000) as u16).to_string())
}

impl Breaker {
    /// Its metrics, by service and version.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "tyrian_breaker_state",
            "Breakers: 0 closed, 1 half-open, 2 open",
            |breaker, points| points.add(breaker.phase() as u8),
        ),
        Family::counter(
            "tyrian_breaker_transitions_total",
            "Times a breaker has changed its state",
            |breaker, points| {
                let phases = [Phase::Closed, Phase::HalfOpen, Phase::Open].map(Phase::name);
                points.each("to", phases.into_iter().zip(&breaker.transitions));
            },
        ),
        Family::counter(
            "tyrian_breaker_refused_total",
            "Requests that an open breaker refused, or would have",
            |breaker, points| points.add(&breaker.refused),
        ),
    ];

    /// Writes the log line of a change. Called without the lock: a slow log must not hold up
    /// requests that ask this breaker.
    pub(super) fn log(&self, change: Change) {
        match change.to {
            Phase::Closed => self.log_passing("breaker closed", change, None),
            Phase::HalfOpen => {
                self.log_passing("breaker half-open", change, Some(self.config.probes));
            }
            Phase::Open => self.log_opened(change),
        }
    }

    /// Writes the line of a change to a phase that lets requests through.
    fn log_passing(&self, message: &str, change: Change, probes: Option<u32>) {
        tracing::info!(
            service = &*self.service,
            version = &*self.version,
            from = change.from.name(),
            cause = change.cause.name(),
            requests = change.seen.total,
            failed = change.seen.failed,
            slow = change.seen.slow,
            probes,
            mode = self.config.mode.to_string(),
            "{message}"
        );
    }

    fn log_opened(&self, change: Change) {
        let Seen {
            total: requests,
            failed,
            slow,
        } = change.seen;
        let trip = &self.config.trip;
        let error_rate = trip.error_rate.and(share(failed, requests));
        let error_threshold = trip.error_rate.map(|limit| limit.to_string());
        let slow_rate = trip.slow.and(share(slow, requests));
        let slow_threshold = trip.slow.map(|(_, limit)| limit.to_string());
        let open_for = change.open_for.map(|length| Lasting(length).to_string());
        tracing::warn!(
            service = &*self.service,
            version = &*self.version,
            from = change.from.name(),
            cause = change.cause.name(),
            requests,
            failed,
            slow,
            error_rate,
            error_threshold,
            slow_rate,
            slow_threshold,
            open_for,
            mode = self.config.mode.to_string(),
            "breaker opened"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!(share(0, 0), None);
        assert_eq!(share(12, 20).as_deref(), Some("60%"));
        assert_eq!(share(2, 3).as_deref(), Some("66.66%"));
    }
}
