//! Round-robin: one turn each, whatever the weights.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
    /// Turns of endpoints that are out, dealt to the others in turn: were each to go to the next
    /// one in the row, that one would carry a double load.
    dealt: AtomicUsize,
}

impl RoundRobin {
    /// The index whose turn it is, if it is eligible, else one that is.
    pub fn pick(&self, len: usize, eligible: &dyn Fn(usize) -> bool) -> Option<usize> {
        let index = self.turn().checked_rem(len)?;
        if eligible(index) {
            return Some(index);
        }
        let left = (0..len).filter(|index| eligible(*index)).count();
        let place = self.deal().checked_rem(left)?;
        let mut left = (0..len).filter(|index| eligible(*index));
        // They may be fewer by now.
        left.nth(place)
            .or_else(|| (0..len).find(|index| eligible(*index)))
    }

    /// Takes a turn.
    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Relaxed)
    }

    /// Takes a turn among those who share what others cannot take.
    pub fn deal(&self) -> usize {
        self.dealt.fetch_add(1, Relaxed)
    }
}
