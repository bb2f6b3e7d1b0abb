//! Shares that move by themselves: the statistics that tell worse from unlucky (`judge`), the
//! steps (`machine`), and what is remembered over restarts (`book`). Pure, time is an argument;
//! `live/rollouts.rs` drives it.

pub mod book;
pub mod judge;
pub mod machine;
pub mod numbers;
#[cfg(test)]
mod simulation;

pub use book::{Book, By, Override};
pub use judge::{Finding, Sides, Verdict, judge, tail as chance};
pub use machine::{Command, Event, Kind, Phase, State};
pub use numbers::Numbers;

use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// A moment, in milliseconds since the epoch: it must mean the same after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_millis() as u64)
    }

    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_millis() as u64))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0 as i64) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let moment: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(moment.as_millisecond().max(0) as u64))
    }
}
