//! Copies of requests for another service or version. They are sent beside the original, which
//! waits for nothing; what comes back is counted, compared with the original's answer where the
//! route wants that, and thrown away.

mod answer;
mod tally;

pub use answer::{Answer, Reading};
pub use tally::{Asked, Counts, Example, Report, Side, StatusPair, Tally};

use crate::config::mirror::Mirror as Config;
use crate::telemetry::metrics::{Family, Points};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The mirror of one route. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct Mirror {
    pub config: Config,
    in_flight: AtomicU32,
    pub sent: AtomicU64,
    pub failed: AtomicU64,
    /// Not sent, because too many were in flight or the body was too large.
    pub dropped: AtomicU64,
    /// What has been compared.
    pub tally: Option<Tally>,
}

impl Mirror {
    /// Its metrics, by route.
    pub const METRICS: &[Family<Self>] = &[
        Family::counter(
            "tyrian_mirrored_total",
            "Copies for mirrors by what came of them",
            |mirror, points| {
                let results = [
                    ("sent", &mirror.sent),
                    ("failed", &mirror.failed),
                    ("dropped", &mirror.dropped),
                ];
                points.each("result", results);
            },
        ),
        Family::counter(
            "tyrian_mirror_compared_total",
            "Answers compared with the original's: copies, and second askings of its version",
            |mirror, points| mirror.compared(points, |counts| counts.compared),
        ),
        Family::counter(
            "tyrian_mirror_differed_total",
            "Compared answers that differed in anything",
            |mirror, points| mirror.compared(points, |counts| counts.any),
        ),
    ];

    fn compared(&self, points: &mut Points<'_>, of: fn(&Counts) -> u64) {
        if let Some(tally) = &self.tally {
            let (copy, noise) = tally.counts();
            points.each("of", [("copy", of(&copy)), ("noise", of(&noise))]);
        }
    }

    pub fn build(config: &Config, previous: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            return previous.clone();
        }
        Arc::new(Self {
            config: config.clone(),
            in_flight: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            tally: config.compare.as_ref().map(Tally::new),
        })
    }

    /// Whether this request is one of those that are copied.
    pub fn wants(&self) -> bool {
        falls_in(self.config.percent.0)
    }

    /// Whether what the original's version answers a second time is compared too.
    pub fn wants_noise(&self) -> bool {
        let compare = self.config.compare.as_ref();
        compare.is_some_and(|compare| falls_in(compare.noise.0))
    }

    /// A place for one more copy in flight, if there is room.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let most = self.config.max_in_flight;
        let more = |count: u32| (count < most).then(|| count + 1);
        if self.in_flight.fetch_update(Relaxed, Relaxed, more).is_err() {
            self.dropped.fetch_add(1, Relaxed);
            return None;
        }
        Some(Place(self.clone()))
    }
}

/// Whether a random request is in a share (in hundredths of a percent).
fn falls_in(share: u16) -> bool {
    share >= 10_000 || fastrand::u16(..10_000) < share
}

/// A copy in flight.
#[derive(Debug)]
pub struct Place(pub Arc<Mirror>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
