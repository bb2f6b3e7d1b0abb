//! The streams in flight on one connection.

use crate::edge::transport::timer::Timer;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many streams are in flight.
#[derive(Debug, Default)]
pub struct Active {
    count: AtomicUsize,
    none: Notify,
    /// Timers of streams that have ended. A timer that is set already need not be moved for a later
    /// deadline, which spares the runtime's lock.
    timers: Mutex<Vec<Timer>>,
}

/// Most timers that are kept.
const TIMERS_MAX: usize = 128;

impl Active {
    pub fn enter(self: &Arc<Self>) -> Guard {
        self.count.fetch_add(1, Relaxed);
        Guard(self.clone())
    }

    /// Returns a timer for a stream.
    pub fn timer(&self) -> Timer {
        self.timers.lock().pop().unwrap_or_default()
    }

    /// Keeps the timer of a stream that has ended.
    pub fn keep(&self, timer: Timer) {
        let mut timers = self.timers.lock();
        if timers.len() < TIMERS_MAX {
            timers.push(timer);
        }
    }

    /// Returns once there has been none for so long.
    pub async fn idles(&self, how_long: Duration) {
        while self.count.load(Relaxed) != 0 {
            self.none.notified().await;
        }
        sleep(how_long).await;
    }
}

/// Counts a stream as in flight until it is dropped.
pub struct Guard(Arc<Active>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}
