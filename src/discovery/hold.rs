//! Which removals are believed. Pure: time is an argument.

use crate::config::discovery::{Empty, Trust};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long a removal of more than half must be confirmed, unless configured.
const HOLD: Duration = Duration::from_secs(10);

/// What is remembered of the sets of one version.
#[derive(Debug)]
pub struct Hold<T> {
    trust: Trust,
    /// Sets that were in force, with the time at which each began; the first one began at or before
    /// the start of the period that counts.
    past: VecDeque<(Instant, BTreeSet<T>)>,
    /// Since when the source has said what is held back.
    since: Option<Instant>,
}

/// What is to be done with what a source says.
#[derive(Debug, PartialEq, Eq)]
pub struct Decided<T> {
    /// The endpoints that are in force now.
    pub set: BTreeSet<T>,
    /// Endpoints that the source does not name any more, and that stay for now.
    pub held: usize,
    /// When to decide again although nothing new is said.
    pub again: Option<Instant>,
}

impl<T> Decided<T> {
    const fn whole(set: BTreeSet<T>) -> Self {
        Self {
            set,
            held: 0,
            again: None,
        }
    }
}

impl<T: Ord + Clone> Hold<T> {
    pub const fn new(trust: Trust) -> Self {
        Self {
            trust,
            past: VecDeque::new(),
            since: None,
        }
    }

    /// Decides on a set that a source names. Additions apply at once. Where more than half of the
    /// endpoints of a period ago would be gone, by one answer or by several, all removals wait until
    /// the source has named no more than this for the period.
    pub fn decide(&mut self, said: BTreeSet<T>, now: Instant) -> Decided<T> {
        let believes = self.trust.empty == Some(Empty::Believe);
        let current = self
            .past
            .back()
            .map(|(_, set)| set.clone())
            .unwrap_or_default();
        if said.is_empty() && !believes && !current.is_empty() {
            self.since = None;
            return Decided::whole(current);
        }
        let period = self.trust.hold.unwrap_or(HOLD);
        let gone = current.difference(&said).count();
        if believes || period.is_zero() || gone == 0 {
            self.since = None;
            return self.enter(said, now, period);
        }
        let base = self.base(now, period);
        let lost = base.difference(&said).count();
        if lost * 2 <= base.len() {
            self.since = None;
            return self.enter(said, now, period);
        }
        let since = *self.since.get_or_insert(now);
        let confirmed = since + period;
        if now >= confirmed {
            self.since = None;
            // The period begins anew: what was before does not count against the next answer.
            self.past.clear();
            return self.enter(said, now, period);
        }
        let set: BTreeSet<T> = current.union(&said).cloned().collect();
        let held = set.len() - said.len();
        let entered = self.enter(set, now, period);
        Decided {
            held,
            again: Some(confirmed),
            ..entered
        }
    }

    /// Forgets everything: the source has failed for longer than its endpoints are kept.
    pub fn forget(&mut self) {
        self.past.clear();
        self.since = None;
    }

    fn enter(&mut self, set: BTreeSet<T>, now: Instant, period: Duration) -> Decided<T> {
        if self.past.back().is_none_or(|(_, last)| *last != set) {
            self.past.push_back((now, set.clone()));
        }
        // One that began before the period is needed, as what was in force at its start.
        while let Some((second, _)) = self.past.get(1)
            && *second + period <= now
        {
            self.past.pop_front();
        }
        Decided::whole(set)
    }

    /// The set that was in force a period ago, or the oldest one that is known.
    fn base(&self, now: Instant, period: Duration) -> BTreeSet<T> {
        let before = self
            .past
            .iter()
            .rev()
            .find(|(began, _)| *began + period <= now);
        let base = before.or_else(|| self.past.front());
        base.map(|(_, set)| set.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Decided, Empty, Hold, Trust};
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    fn set(range: std::ops::Range<u8>) -> BTreeSet<u8> {
        range.collect()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Says each set at its second, and returns how many endpoints are in force after each.
    fn play(trust: Trust, said: &[(u64, std::ops::Range<u8>)]) -> Vec<usize> {
        let (mut hold, start) = (Hold::new(trust), Instant::now());
        let decide = |(at, range): &(u64, std::ops::Range<u8>)| {
            let Decided { set, .. } = hold.decide(set(range.clone()), start + seconds(*at));
            set.len()
        };
        said.iter().map(decide).collect()
    }

    #[test]
    fn a_removal_of_half_is_believed_and_more_must_be_confirmed() {
        let usual = Trust::default();
        assert_eq!(play(usual, &[(0, 0..10), (20, 0..5)]), [10, 5]);
        assert_eq!(
            play(usual, &[(0, 0..10), (20, 0..4), (29, 0..4), (30, 0..4)]),
            [10, 10, 10, 4]
        );
    }

    #[test]
    fn many_small_removals_count_together() {
        let said = [(0, 0..10), (20, 0..8), (22, 0..6), (24, 0..4), (26, 0..2)];
        assert_eq!(play(Trust::default(), &said), [10, 8, 6, 6, 6]);
        // Slowly enough, all are believed.
        let slowly = [(0, 0..10), (20, 0..8), (31, 0..6), (42, 0..4), (53, 0..2)];
        assert_eq!(play(Trust::default(), &slowly), [10, 8, 6, 4, 2]);
    }

    #[test]
    fn additions_apply_while_removals_wait() {
        let said = [(0, 0..10), (20, 8..12), (30, 8..12)];
        assert_eq!(play(Trust::default(), &said), [10, 12, 4]);
    }

    #[test]
    fn a_removal_that_is_taken_back_is_forgotten() {
        let said = [
            (0, 0..10),
            (20, 0..1),
            (25, 0..10),
            (31, 0..1),
            (40, 0..1),
            (41, 0..1),
        ];
        assert_eq!(play(Trust::default(), &said), [10, 10, 10, 10, 10, 1]);
    }

    #[test]
    fn nothing_at_all_is_believed_only_where_that_is_said() {
        let none = [(0, 0..3), (20, 0..0), (60, 0..0)];
        assert_eq!(play(Trust::default(), &none), [3, 3, 3]);
        let believe = Trust {
            empty: Some(Empty::Believe),
            ..Trust::default()
        };
        assert_eq!(play(believe, &none), [3, 0, 0]);
        let off = Trust {
            hold: Some(Duration::ZERO),
            ..Trust::default()
        };
        assert_eq!(play(off, &[(0, 0..10), (1, 0..1), (2, 0..0)]), [10, 1, 1]);
    }

    #[test]
    fn what_is_held_says_when_to_look_again() {
        let (mut hold, start) = (Hold::new(Trust::default()), Instant::now());
        hold.decide(set(0..10), start);
        let held = hold.decide(set(0..1), start + seconds(60));
        assert_eq!((held.held, held.again), (9, Some(start + seconds(70))));
        let later = hold.decide(set(0..1), start + seconds(70));
        assert_eq!((later.set, later.held), (set(0..1), 0));
    }
}
