//! The latest requests, as the decision saw them: what a new configuration is tried on before it
//! goes live. Bounded; all of a quiet gateway's requests, a sample of a busy one's.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Requests that are remembered.
const SLOTS: usize = 2048;
/// Once that many are, one of so many replaces an older one.
const SAMPLE: usize = 16;
/// A request that takes more is passed over.
const LINE_MAX: usize = 2048;

/// A ring of lines in the form of the access log.
#[derive(Debug)]
pub struct Recent {
    seen: AtomicUsize,
    slots: Box<[Mutex<Vec<u8>>]>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            seen: AtomicUsize::new(0),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Recent {
    /// Remembers a request, if its turn has come. Never waits: a slot in use is passed over.
    pub fn remember(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let seen = self.seen.fetch_add(1, Relaxed);
        let slot = match seen < SLOTS {
            true => seen,
            false if seen.is_multiple_of(SAMPLE) => (seen / SAMPLE) % SLOTS,
            false => return,
        };
        let Some(mut line) = self.slots.get(slot).and_then(Mutex::try_lock) else {
            return;
        };
        line.clear();
        write(&mut line);
        if line.len() > LINE_MAX {
            *line = Vec::new();
        }
    }

    /// All lines, in no order.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let lines = self.slots.iter().map(|slot| slot.lock().clone());
        lines.filter(|line| !line.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, Recent, SLOTS};

    #[test]
    fn it_is_bounded_and_the_latest_replace_the_oldest() {
        let recent = Recent::default();
        for number in 0..SLOTS * 40 {
            recent.remember(|line| line.extend_from_slice(number.to_string().as_bytes()));
        }
        let lines = recent.lines();
        assert_eq!(lines.len(), SLOTS);
        let numbers = lines.iter().map(|line| std::str::from_utf8(line).unwrap());
        let oldest = numbers.map(|line| line.parse::<usize>().unwrap()).min();
        assert!(oldest.unwrap() >= SLOTS, "{oldest:?}");
    }

    #[test]
    fn a_huge_request_is_not_remembered() {
        let recent = Recent::default();
        recent.remember(|line| line.resize(LINE_MAX + 1, b'x'));
        assert!(recent.lines().is_empty());
    }
}
