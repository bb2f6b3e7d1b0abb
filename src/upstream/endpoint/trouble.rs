//! Why an endpoint gets no requests, and since when. Changes are rare, so a lock keeps them; the
//! flags that requests read stay atomics.

use super::{EndpointState, Health};
use crate::config::units::Lasting;
use crate::upstream::{Cause, clock};
use jiff::Timestamp;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why an endpoint is out, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    pub since: Timestamp,
    pub cause: Cause,
}

/// All that may keep an endpoint out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Troubles {
    /// Connections fail.
    pub unreachable: Option<Trouble>,
    /// Active checks fail.
    pub unhealthy: Option<Trouble>,
    /// It failed too often in a row; the time says when the ejection ends.
    pub ejected: Option<(Trouble, Timestamp)>,
    /// It was taken out by hand.
    pub drained: Option<Timestamp>,
}

impl EndpointState {
    /// Returns what keeps the endpoint out now.
    pub fn troubles(&self) -> Troubles {
        let mut troubles = *self.troubles.lock();
        if !self.is_ejected() {
            troubles.ejected = None;
        }
        troubles
    }

    /// Takes over the state of health that checks begin with. Returns whether that is new.
    pub fn found(&self, health: Health) -> bool {
        let before = Health::of(self.health.swap(health as u8, Ordering::Relaxed));
        if health == Health::Healthy && before == Health::Unhealthy {
            self.comes_back();
        }
        if health != Health::Unhealthy && before == Health::Unhealthy {
            self.troubles.lock().unhealthy = None;
        }
        before != health
    }

    /// Takes over what a check has found, and writes it to the log if it is new. `failed`: why the
    /// latest check failed, if it did, and how many have failed in a row.
    pub(in crate::upstream) fn checked(&self, health: Health, failed: Option<(Cause, u32)>) {
        let before = self.health();
        let is_new = self.found(health);
        if let (Health::Unhealthy, Some((cause, _))) = (health, failed) {
            let mut troubles = self.troubles.lock();
            let since = troubles.unhealthy.map(|trouble| trouble.since);
            let since = since.unwrap_or_else(Timestamp::now);
            troubles.unhealthy = Some(Trouble { since, cause });
        }
        if !is_new {
            return;
        }
        let (service, version, endpoint) = self.names();
        let (health, before) = (health.name(), before.name());
        match failed {
            Some((cause, checks)) => tracing::warn!(
                service, version, endpoint, health, before, %cause, checks, "health changed"
            ),
            None => tracing::info!(service, version, endpoint, health, before, "health changed"),
        }
    }

    /// Takes the endpoint out until a probe reaches it. Returns whether it was in before.
    pub fn mark_down(&self, cause: Cause) -> bool {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
        let is_new = !self.down.swap(true, Ordering::AcqRel);
        if is_new {
            let since = Timestamp::now();
            self.troubles.lock().unreachable = Some(Trouble { since, cause });
            let (service, version, endpoint) = self.names();
            tracing::warn!(service, version, endpoint, %cause, "endpoint taken out");
        }
        is_new
    }

    /// A probe has reached it.
    pub(in crate::upstream) fn mark_up(&self) {
        let trouble = self.troubles.lock().unreachable.take();
        self.down.store(false, Ordering::Release);
        self.comes_back();
        let (service, version, endpoint) = self.names();
        let since = trouble.map(|trouble| trouble.since.to_string());
        tracing::info!(service, version, endpoint, since, "endpoint is back");
    }

    /// Takes it out by hand, or lets it in again.
    pub fn drain(&self, out: bool) {
        let was_out = self.drained.swap(out, Ordering::Relaxed);
        if was_out != out {
            self.troubles.lock().drained = out.then(Timestamp::now);
        }
        if was_out && !out {
            self.comes_back();
        }
    }

    pub fn is_ejected(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && clock::millis() < until
    }

    /// Takes it out for `first`, longer each time it happens again within a short while. `cause`
    /// is that of the last of so many `failures` in a row.
    pub fn eject(&self, first: Duration, cause: Cause, failures: u32) -> Duration {
        let now = clock::millis();
        let first = first.as_millis() as u64;
        let last = self.ejected_until.load(Ordering::Relaxed);
        if now.saturating_sub(last) > first.saturating_mul(10) {
            self.ejections.store(0, Ordering::Relaxed);
        }
        let times = (self.ejections.fetch_add(1, Ordering::Relaxed) + 1).min(10);
        let length = Duration::from_millis(first * u64::from(times));
        let until = now + length.as_millis() as u64;
        self.ejected_until.store(until, Ordering::Relaxed);
        self.returned_at.store(until, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_by.add(cause.kind.ejection());
        let since = Timestamp::now();
        let ends = since.checked_add(length).unwrap_or(since);
        self.troubles.lock().ejected = Some((Trouble { since, cause }, ends));
        let (service, version, endpoint) = self.names();
        let ejected_for = Lasting(length).to_string();
        tracing::warn!(
            service, version, endpoint, %cause, failures, ejected_for, "endpoint ejected"
        );
        length
    }

    fn comes_back(&self) {
        self.returned_at.store(clock::millis(), Ordering::Relaxed);
    }
}
