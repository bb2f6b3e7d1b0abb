//! What files hold for policies, and since when a file that was good cannot be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// Returns the time in seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The content of a file.
#[derive(Debug)]
pub enum Held<T> {
    /// Read just now.
    Read(Arc<T>),
    /// The file cannot be used; this is what it held when it was last good.
    Kept {
        last: Arc<T>,
        /// When the file was last known to be good, in seconds since 1970.
        lost: u64,
    },
}

/// Since when a file cannot be used of which the content is still in force.
#[derive(Debug, Default)]
pub struct Lost {
    /// Seconds since 1970; 0: the file is good.
    since: AtomicU64,
    /// Whether the log says that the content is no longer in force.
    told: AtomicBool,
}

impl Lost {
    /// Notes that the file was last good at `since`, in seconds since 1970.
    pub fn set(&self, since: u64) {
        self.since.store(since.max(1), Relaxed);
    }

    /// Notes that the file is good.
    pub fn clear(&self) {
        self.since.store(0, Relaxed);
    }

    /// When the file was last good, in seconds since 1970; `None`: it is good.
    pub fn since(&self) -> Option<u64> {
        Some(self.since.load(Relaxed)).filter(|since| *since > 0)
    }

    /// Whether the file has not been good for so long that its content is no longer in force.
    pub fn is_over(&self, max_stale: Duration, now: impl FnOnce() -> u64) -> bool {
        let since = self.since();
        since.is_some_and(|since| now().saturating_sub(since) >= max_stale.as_secs())
    }

    /// Notes whether the content is no longer in force. Returns `true` when that is so and was not
    /// at the call before: then the log has to say it.
    pub fn newly_over(&self, over: bool) -> bool {
        !self.told.swap(over, Relaxed) && over
    }
}

#[cfg(test)]
mod tests {
    use super::Lost;
    use std::time::Duration;

    #[test]
    fn content_is_in_force_for_a_while_after_its_file_was_lost() {
        let (lost, hour) = (Lost::default(), Duration::from_hours(1));
        assert!(
            !lost.is_over(Duration::ZERO, || u64::MAX),
            "the file is good"
        );
        lost.set(1_000);
        for (now, over) in [(1_000, false), (4_599, false), (4_600, true), (0, false)] {
            assert_eq!(lost.is_over(hour, || now), over, "{now}");
        }
        lost.clear();
        assert!(!lost.is_over(hour, || 10_000));
    }

    #[test]
    fn the_end_is_told_once_each_time() {
        let lost = Lost::default();
        let told = [false, true, true, false, true].map(|over| lost.newly_over(over));
        assert_eq!(told, [false, true, false, false, true]);
    }
}
