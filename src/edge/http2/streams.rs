//! The streams in flight on one connection.

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
}

impl Active {
    pub fn enter(self: &Arc<Self>) -> Guard {
        self.count.fetch_add(1, Relaxed);
        Guard(self.clone())
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
