//! How many requests may be in flight, and who may wait for a place: bounded in number and time.

use crate::config::limit::InFlightCap;
use crate::telemetry::metrics::Family;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A cap. Survives reloads; what is in flight goes on counting under the new bounds.
#[derive(Debug, Default)]
pub struct Cap {
    max: AtomicU32,
    queue: AtomicU32,
    wait_ms: AtomicU64,
    taken: AtomicU32,
    waiting: AtomicU32,
    refused: AtomicU64,
    freed: Notify,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Cap>);

impl Cap {
    /// Its metrics, by scope (service or route) and name.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "tyrian_in_flight",
            "Places that requests in flight have taken",
            |cap, points| points.add(cap.taken.load(Relaxed)),
        ),
        Family::gauge(
            "tyrian_in_flight_waiting",
            "Requests that wait for a place",
            |cap, points| points.add(cap.waiting.load(Relaxed)),
        ),
        Family::counter(
            "tyrian_in_flight_refused_total",
            "Requests that found no place in time",
            |cap, points| points.add(&cap.refused),
        ),
    ];

    /// Builds a cap, or gives `previous` new bounds.
    pub fn build(config: InFlightCap, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let cap = previous.cloned().unwrap_or_default();
        cap.max.store(config.max, Relaxed);
        cap.queue.store(config.queue, Relaxed);
        cap.wait_ms.store(config.wait.as_millis() as u64, Relaxed);
        cap.freed.notify_waiters();
        cap
    }

    /// Sets how many may be in flight.
    pub fn resize(&self, max: u32) {
        if self.max.swap(max, Relaxed) < max {
            self.freed.notify_waiters();
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let max = self.max.load(Relaxed);
        let more = |taken: u32| (taken < max).then(|| taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(self.clone()))
    }

    /// Takes a place, waiting for one if there is room to wait. `None`: there was none in time.
    pub async fn take(self: &Arc<Self>) -> Option<Place> {
        // Those who wait come first.
        if self.waiting.load(Relaxed) == 0
            && let Some(place) = self.try_take()
        {
            return Some(place);
        }
        let place = self.wait().await;
        if place.is_none() {
            self.refused.fetch_add(1, Relaxed);
        }
        place
    }

    async fn wait(self: &Arc<Self>) -> Option<Place> {
        let room = self.queue.load(Relaxed);
        let more = |waiting: u32| (waiting < room).then(|| waiting + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, more).ok()?;
        let _waiting = Waiting(self);
        let until = Instant::now() + Duration::from_millis(self.wait_ms.load(Relaxed));
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take() {
                return Some(place);
            }
            tokio::time::timeout_at(until, freed).await.ok()?;
        }
    }

    /// Bound, places taken, requests that wait, and refusals so far.
    pub fn state(&self) -> (u32, u32, u32, u64) {
        let (max, taken) = (self.max.load(Relaxed), self.taken.load(Relaxed));
        (
            max,
            taken,
            self.waiting.load(Relaxed),
            self.refused.load(Relaxed),
        )
    }
}

/// Counts a request as waiting until it is dropped.
struct Waiting<'c>(&'c Cap);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
        if self.0.waiting.load(Relaxed) > 0 {
            self.0.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cap;
    use crate::config::limit::InFlightCap;
    use std::sync::Arc;
    use std::time::Duration;

    fn cap(max: u32, queue: u32, wait: u64) -> Arc<Cap> {
        let wait = Duration::from_millis(wait);
        Cap::build(InFlightCap { max, queue, wait }, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_waited_for_within_bounds() {
        let cap = cap(1, 1, 50);
        let place = cap.take().await.unwrap();
        let waiter = tokio::spawn({
            let cap = cap.clone();
            async move { cap.take().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(cap.take().await.is_none(), "the queue is full");
        drop(place);
        assert!(waiter.await.unwrap());
        let _place = cap.take().await.unwrap();
        assert!(cap.take().await.is_none(), "nobody leaves in time");
        assert_eq!(cap.state(), (1, 1, 0, 2));
    }

    #[tokio::test]
    async fn new_bounds_count_what_is_in_flight() {
        let old = cap(2, 0, 0);
        let places = (old.take().await, old.take().await);
        let wait = Duration::ZERO;
        let new = Cap::build(
            InFlightCap {
                max: 3,
                queue: 0,
                wait,
            },
            Some(&old),
        );
        let third = new.take().await;
        assert!(third.is_some());
        assert!(new.take().await.is_none());
        drop(places);
        assert!(new.take().await.is_some());
    }
}
