//! Round-robin: one turn each, whatever the weights.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    /// The first eligible index from the next turn on.
    pub fn pick(&self, len: usize, eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
        let start = self.turn();
        (0..len)
            .map(|step| start.wrapping_add(step) % len)
            .find(|index| eligible(*index))
    }

    /// Takes a turn.
    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Relaxed)
    }
}
