//! A bound for log lines that strangers can cause: so many a second, and a count of the rest.

use jiff::Timestamp;
use parking_lot::Mutex;

/// Counts lines of one kind. For rare events: it takes a lock.
#[derive(Debug)]
pub struct Throttle {
    /// Most lines a second.
    most: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    second: i64,
    written: u32,
    suppressed: u64,
}

impl Throttle {
    pub const fn new(most: u32) -> Self {
        let state = State {
            second: 0,
            written: 0,
            suppressed: 0,
        };
        Self {
            most,
            state: Mutex::new(state),
        }
    }

    /// Asks whether one more line may be written now. Returns how many were suppressed since the
    /// last line that was written, or `None` if this one is suppressed too.
    pub fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.state.lock();
        if state.second != now.as_second() {
            (state.second, state.written) = (now.as_second(), 0);
        }
        if state.written >= self.most {
            state.suppressed += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::Throttle;
    use jiff::Timestamp;

    #[test]
    fn a_flood_leaves_so_many_lines_a_second_and_a_count() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let throttle = Throttle::new(2);
        let first: Vec<_> = (0..5).map(|_| throttle.admit(at(7))).collect();
        assert_eq!(first, [Some(0), Some(0), None, None, None]);
        assert_eq!(throttle.admit(at(8)), Some(3));
        assert_eq!(throttle.admit(at(8)), Some(0));
        // A clock that is set back is another second, too.
        assert_eq!(throttle.admit(at(6)), Some(0));
    }
}
