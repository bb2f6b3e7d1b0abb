//! How many retries a service may have: each request pays a share of one into an account, each retry
//! takes one out. So a failing upstream gets little more than what clients send, never a storm.

use super::clock;
use crate::config::units::Percent;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// One retry, in hundredths of a percent.
const ONE: i64 = 10_000;
/// Retries that can be saved up.
const SAVED_MAX: i64 = 100 * ONE;
/// Retries that are there at first, and come back by one a second: for services with little traffic.
const FREE: i64 = 3 * ONE;

/// The account of a service. Survives reloads.
#[derive(Debug)]
pub struct Budget {
    balance: AtomicI64,
    /// When a free retry was last given, in milliseconds of the process's clock.
    given_at: AtomicU64,
    /// Retries that were wanted and not allowed.
    pub exhausted: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            balance: AtomicI64::new(FREE),
            given_at: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
        }
    }
}

impl Budget {
    /// A request pays its share.
    pub fn pay(&self, share: Percent) {
        if self.balance.load(Relaxed) < SAVED_MAX {
            self.balance.fetch_add(i64::from(share.0), Relaxed);
        }
    }

    /// Takes one retry out of the account, if there is one.
    pub fn take(&self) -> bool {
        self.give(clock::millis());
        let less = |balance: i64| (balance >= ONE).then(|| balance - ONE);
        let taken = self.balance.fetch_update(Relaxed, Relaxed, less).is_ok();
        self.exhausted.fetch_add(u64::from(!taken), Relaxed);
        taken
    }

    fn give(&self, now: u64) {
        let last = self.given_at.load(Relaxed);
        if self.balance.load(Relaxed) < FREE
            && now.saturating_sub(last) >= 1000
            && self
                .given_at
                .compare_exchange(last, now, Relaxed, Relaxed)
                .is_ok()
        {
            self.balance.fetch_add(ONE, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::config::units::Percent;

    #[test]
    fn retries_stay_a_share_of_requests() {
        let budget = Budget::default();
        let mut retries = 0;
        for _ in 0..1000 {
            budget.pay(Percent(2000));
            retries += (0..4).filter(|_| budget.take()).count();
        }
        // Three and a second's one are free; one more may fall due while this runs.
        assert!((200..=206).contains(&retries), "{retries}");
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::default();
        (0..100_000).for_each(|_| budget.pay(Percent(10_000)));
        let retries = (0..1000).filter(|_| budget.take()).count();
        assert!((100..=102).contains(&retries), "{retries}");
    }
}
