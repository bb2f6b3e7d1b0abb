//! How fast a client sends its body: only the time spent waiting for it counts, so a slow upstream
//! is never held against a client.

use std::io;
use std::time::{Duration, Instant};

/// Waiting that is forgiven.
const GRACE: Duration = Duration::from_secs(5);
/// What the error of a client that is too slow is known by.
pub const TOO_SLOW: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// The pace of one request's body.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes a second; 0: any pace.
    min_rate: u64,
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// A body of at least so many bytes a second.
    pub fn new(min_rate: u64) -> Self {
        Self {
            min_rate,
            ..Self::default()
        }
    }

    /// The next body begins.
    pub fn restart(&mut self) {
        *self = Self::new(self.min_rate);
    }

    /// Nothing is there yet.
    pub fn waits(&mut self) {
        if self.min_rate > 0 && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// Something has come.
    ///
    /// # Errors
    /// When all of it so far has come too slowly.
    pub fn got(&mut self, bytes: usize) -> io::Result<()> {
        if self.min_rate == 0 {
            return Ok(());
        }
        self.bytes += bytes as u64;
        let Some(since) = self.since.take() else {
            return Ok(());
        };
        self.waited += since.elapsed();
        match self.is_too_slow() {
            true => Err(io::Error::new(TOO_SLOW, "the body comes too slowly")),
            false => Ok(()),
        }
    }

    fn is_too_slow(&self) -> bool {
        let counted = self.waited.saturating_sub(GRACE).as_secs_f64();
        (self.bytes as f64) < counted * self.min_rate as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn drips_are_too_slow_and_pauses_are_not() {
        let slow = |bytes, seconds| {
            let pace = Pace {
                bytes,
                waited: Duration::from_secs(seconds),
                ..Pace::new(100)
            };
            pace.is_too_slow()
        };
        assert!(!slow(1, 5), "within the grace");
        assert!(slow(10, 6));
        assert!(!slow(1_000_000, 60));
        assert!(slow(1_000, 60));
    }
}
