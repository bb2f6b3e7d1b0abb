//! How many retries a service may have: a share of its live requests, so that a failing upstream
//! gets little more than what clients send, never a storm.

use crate::config::units::Percent;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Retries in flight that are always allowed, however little traffic there is.
const FREE: u32 = 3;

/// Requests and retries of a service that are in flight. Survives reloads.
#[derive(Debug, Default)]
pub struct Budget {
    requests: AtomicU32,
    retries: AtomicU32,
    /// Retries that were wanted and not allowed.
    pub exhausted: AtomicU64,
}

/// A request in flight.
#[derive(Debug)]
pub struct Request(Arc<Budget>);

/// A retry in flight.
#[derive(Debug)]
pub struct Retry(Arc<Budget>);

impl Budget {
    /// Counts a request until it is dropped.
    pub fn enter(self: &Arc<Self>) -> Request {
        self.requests.fetch_add(1, Relaxed);
        Request(self.clone())
    }

    /// Allows a retry, if the budget does.
    pub fn retry(self: &Arc<Self>, share: Percent) -> Option<Retry> {
        let requests = u64::from(self.requests.load(Relaxed));
        let most = ((requests * u64::from(share.0) / 10_000) as u32).max(FREE);
        let more = |retries: u32| (retries < most).then(|| retries + 1);
        match self.retries.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Some(Retry(self.clone())),
            Err(_) => {
                self.exhausted.fetch_add(1, Relaxed);
                None
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        self.0.retries.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::config::units::Percent;
    use std::sync::Arc;

    #[test]
    fn retries_stay_a_share_of_what_is_in_flight() {
        let budget = Arc::new(Budget::default());
        let few: Vec<_> = (0..10)
            .filter_map(|_| budget.retry(Percent(2000)))
            .collect();
        assert_eq!(few.len(), 3, "some are always free");
        drop(few);
        let _requests: Vec<_> = (0..100).map(|_| budget.enter()).collect();
        let many: Vec<_> = (0..100)
            .filter_map(|_| budget.retry(Percent(2000)))
            .collect();
        assert_eq!(many.len(), 20);
        assert_eq!(
            budget.exhausted.load(std::sync::atomic::Ordering::Relaxed),
            87
        );
    }
}
