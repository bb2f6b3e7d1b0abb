//! What cannot be read anew, and what that means by now.

use crate::policy::held::Held;
use crate::telemetry::metrics::Family;
use std::time::Duration;

/// Something that cannot be read anew.
#[derive(Debug, Clone)]
pub struct Stale {
    pub(super) what: String,
    pub(super) meaning: Meaning,
}

impl Stale {
    /// Metrics of all that cannot be read anew.
    pub const METRICS: &[Family<[Self]>] = &[Family::gauge(
        "tyrian_stale_files",
        "Keys, lists, secrets and certificates that cannot be read anew from their files",
        |stale, points| points.add(stale.len()),
    )];

    /// Says what cannot be read, and what is in force at this time.
    pub fn sentence(&self, now: jiff::Timestamp) -> String {
        format!("{}; {}", self.what, self.meaning.words(now))
    }
}

/// What is in force while something cannot be read anew.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    Fixed(&'static str),
    /// The last good keys, until then (seconds since 1970).
    KeysUntil(i64),
}

impl Meaning {
    /// The keys that a file held before.
    pub fn of_keys<T>(held: &Held<T>, max_stale: Duration) -> Self {
        let Held::Kept { lost, .. } = held else {
            return Self::Fixed("its keys are accepted");
        };
        let end = lost.saturating_add(max_stale.as_secs());
        Self::KeysUntil(i64::try_from(end).unwrap_or(i64::MAX))
    }

    pub fn words(&self, now: jiff::Timestamp) -> String {
        let end = match self {
            Self::Fixed(words) => return (*words).to_owned(),
            Self::KeysUntil(end) => *end,
        };
        match jiff::Timestamp::from_second(end) {
            Ok(until) if end > now.as_second() => {
                format!("the last good keys are accepted until {until} (`max_stale`)")
            }
            Ok(since) => {
                format!("the last good keys are no longer accepted since {since} (`max_stale`)")
            }
            Err(_) => "the last good keys are accepted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Meaning, Stale};
    use crate::policy::held::Held;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn what_it_means_is_told_as_of_now() {
        let held = |lost| Held::Kept {
            last: Arc::new(()),
            lost,
        };
        let stale = Stale {
            what: "x".to_owned(),
            meaning: Meaning::of_keys(&held(100), Duration::from_secs(20)),
        };
        let at = |second| stale.sentence(jiff::Timestamp::from_second(second).unwrap());
        let until = "x; the last good keys are accepted until 1970-01-01T00:02:00Z (`max_stale`)";
        let since =
            "x; the last good keys are no longer accepted since 1970-01-01T00:02:00Z (`max_stale`)";
        assert_eq!((at(100).as_str(), at(119).as_str()), (until, until));
        assert_eq!((at(120).as_str(), at(9_999).as_str()), (since, since));
        let forever = Meaning::of_keys(&held(u64::MAX), Duration::MAX);
        assert!(
            forever
                .words(jiff::Timestamp::now())
                .ends_with("are accepted")
        );
    }
}
