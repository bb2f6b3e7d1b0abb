//! Traced requests and tries as examples of durations: the latest one of each bucket of a series. A
//! scrape in OpenMetrics has them, so that a slow bucket leads to a trace.

use super::histogram::{HTTP_BOUNDS, conventional_bucket};
use crate::telemetry::trace::{Id, TraceId};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::fmt::Write;
use std::time::Duration;

/// Buckets of a scrape, `+Inf` included.
const BUCKETS: usize = HTTP_BOUNDS.len() + 1;

/// One traced request or try.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar {
    trace: TraceId,
    took: Duration,
    at: Timestamp,
}

/// The latest traced one of each bucket.
#[derive(Debug, Default)]
pub struct Exemplars([Mutex<Option<Exemplar>>; BUCKETS]);

impl Exemplars {
    /// Notes a traced one. Never waits: a bucket in use keeps what it has.
    pub fn note(&self, trace: TraceId, took: Duration) {
        let slot = self.0.get(conventional_bucket(took));
        if let Some(mut slot) = slot.and_then(Mutex::try_lock) {
            let at = Timestamp::now();
            *slot = Some(Exemplar { trace, took, at });
        }
    }

    /// Returns the latest exemplar of each bucket among several series.
    pub(super) fn latest(of: &[&Self]) -> [Option<Exemplar>; BUCKETS] {
        let mut latest: [Option<Exemplar>; BUCKETS] = [None; BUCKETS];
        for one in of {
            for (known, slot) in latest.iter_mut().zip(&one.0) {
                let newer = slot
                    .lock()
                    .filter(|new| known.is_none_or(|known| known.at < new.at));
                *known = newer.or(*known);
            }
        }
        latest
    }
}

impl Exemplar {
    /// Writes it as OpenMetrics has it behind the value of a bucket.
    pub(super) fn write(&self, text: &mut String) {
        let seconds = self.took.as_secs_f64();
        let at = self.at.as_millisecond() as f64 / 1e3;
        let trace = self.trace.hex();
        let _ = write!(
            text,
            " # {{trace_id=\"{}\"}} {seconds} {at}",
            trace.as_str()
        );
    }
}
