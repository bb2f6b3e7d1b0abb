//! One timer for the waits in which a connection reads: for a head, and for an exchange to end.
//!
//! Nearly every deadline is followed by a later one before it has come. So the timer is not moved
//! for each: it stays where it is, and looks again when it rings.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

/// Rings at or before the deadline that is waited for.
#[derive(Default)]
pub struct Timer(Option<(Instant, Pin<Box<Sleep>>)>);

impl Timer {
    /// Ready once `deadline` has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let (rings, sleep) = self
            .0
            .get_or_insert_with(|| (deadline, Box::pin(sleep_until(deadline.into()))));
        if deadline < *rings {
            *rings = deadline;
            sleep.as_mut().reset(deadline.into());
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if *rings >= deadline {
                return Poll::Ready(());
            }
            *rings = deadline;
            sleep.as_mut().reset(deadline.into());
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rings = self.0.as_ref().map(|(rings, _)| rings);
        f.debug_tuple("Timer").field(&rings).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Timer;
    use std::future::poll_fn;
    use std::time::{Duration, Instant};
    use tokio::time::timeout;

    /// Waits for `deadline`, at most a little longer than it is away.
    async fn passes(timer: &mut Timer, deadline: Instant) -> bool {
        let wait = deadline.saturating_duration_since(Instant::now()) + Duration::from_secs(5);
        let passed = poll_fn(|cx| timer.poll_passed(cx, deadline));
        timeout(wait, passed).await.is_ok() && Instant::now() >= deadline
    }

    #[tokio::test]
    async fn it_rings_for_earlier_later_and_passed_deadlines() {
        let mut timer = Timer::default();
        let now = Instant::now();
        let far = now + Duration::from_hours(1);
        let waits = poll_fn(|cx| timer.poll_passed(cx, far));
        assert!(timeout(Duration::from_millis(5), waits).await.is_err());
        for millis in [20, 60, 40] {
            assert!(passes(&mut timer, now + Duration::from_millis(millis)).await);
        }
    }
}
