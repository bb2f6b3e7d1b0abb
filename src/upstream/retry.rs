//! How many retries a service may have: each request pays a share of one into an account, each retry
//! takes one out. So a failing upstream gets little more than what clients send, never a storm.
//!
//! **Invariant:** of `n` requests come at most `n × budget` retries, and three.

use crate::config::units::Percent;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// One retry, in hundredths of a percent.
const ONE: i64 = 10_000;
/// Retries that can be saved up.
const SAVED_MAX: i64 = 100 * ONE;
/// Retries that are there at first: the first requests of all have paid for none yet.
const FIRST: i64 = 3 * ONE;

/// The account of a service. Survives reloads.
#[derive(Debug)]
pub struct Budget {
    balance: AtomicI64,
    /// Retries that were wanted and not allowed.
    pub exhausted: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            balance: AtomicI64::new(FIRST),
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
        let less = |balance: i64| (balance >= ONE).then(|| balance - ONE);
        let taken = self.balance.fetch_update(Relaxed, Relaxed, less).is_ok();
        self.exhausted.fetch_add(u64::from(!taken), Relaxed);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::config::units::Percent;

    #[test]
    fn retries_stay_a_share_of_requests_however_few() {
        for requests in [1_usize, 5, 30, 1000] {
            let budget = Budget::default();
            let mut retries = 0;
            for _ in 0..requests {
                budget.pay(Percent(2000));
                retries += (0..4).filter(|_| budget.take()).count();
            }
            assert_eq!(retries, 3 + requests / 5, "{requests}");
        }
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::default();
        (0..100_000).for_each(|_| budget.pay(Percent(10_000)));
        let retries = (0..1000).filter(|_| budget.take()).count();
        assert!((100..=101).contains(&retries), "{retries}");
    }
}
