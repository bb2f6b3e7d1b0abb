//! How fast a client sends its body: only the time spent waiting for it counts, so that a slow
//! upstream is never held against a client.

use std::time::{Duration, Instant};

/// Waiting that is forgiven.
const GRACE: Duration = Duration::from_secs(5);

/// The rate of one request's body.
#[derive(Debug, Default)]
pub struct BodyRate {
    /// Bytes a second; 0: any rate.
    min_rate: u64,
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl BodyRate {
    /// Asks for so many bytes a second at least.
    pub fn new(min_rate: u64) -> Self {
        Self {
            min_rate,
            ..Self::default()
        }
    }

    /// Notes that nothing is there yet.
    pub fn waits(&mut self) {
        if self.min_rate > 0 && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// Notes that bytes have come.
    pub fn got(&mut self, bytes: usize) {
        if self.min_rate > 0 {
            self.bytes += bytes as u64;
            if let Some(since) = self.since.take() {
                self.waited += since.elapsed();
            }
        }
    }

    /// Whether all that has come so far has come too slowly.
    pub fn is_too_slow(&self) -> bool {
        if self.min_rate == 0 || self.waited <= GRACE {
            return false;
        }
        let counted = self.waited.saturating_sub(GRACE).as_secs_f64();
        (self.bytes as f64) < counted * self.min_rate as f64
    }
}

#[cfg(test)]
mod tests {
    use super::BodyRate;
    use std::time::Duration;

    #[test]
    fn drips_are_too_slow_and_pauses_are_not() {
        let slow = |bytes, seconds| {
            let rate = BodyRate {
                bytes,
                waited: Duration::from_secs(seconds),
                ..BodyRate::new(100)
            };
            rate.is_too_slow()
        };
        assert!(!slow(1, 5), "within the grace");
        assert!(slow(10, 6));
        assert!(!slow(1_000_000, 60));
        assert!(slow(1_000, 60));
    }
}
