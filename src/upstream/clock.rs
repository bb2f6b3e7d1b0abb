//! The process's own clock: milliseconds that fit into an atomic.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the first call, plus one, so that 0 can mean "never".
pub fn millis() -> u64 {
    START.elapsed().as_millis() as u64 + 1
}
