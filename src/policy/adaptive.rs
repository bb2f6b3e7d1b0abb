//! Finds out by latency how many requests a service can take at once: while answers are as fast as
//! they ever are the limit grows, and when they queue up somewhere it shrinks.

use super::in_flight::{Cap, Place};
use crate::config::limit::InFlightCap;
use crate::config::policy::Mode;
use crate::config::upkeep::Adaptive as Config;
use crate::telemetry::metrics::Family;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Shortest time over which latency is averaged before the limit moves.
const STEP: Duration = Duration::from_millis(100);
/// Fewest answers in a step.
const SAMPLES_MIN: u32 = 10;
/// Weight of a step in the long average: minutes of busy traffic, so that queueing is not taken for
/// the new normal before the limit has ended it.
const LONG: f64 = 0.0005;

/// The limit of one service. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct Adaptive {
    config: Config,
    cap: Arc<Cap>,
    state: Mutex<State>,
    /// Would have been refused; the limit only reports.
    pub reported: AtomicU64,
}

/// Latencies in seconds.
#[derive(Debug)]
struct State {
    limit: f64,
    long: f64,
    sum: f64,
    samples: u32,
    since: Instant,
}

impl State {
    fn new(limit: f64, now: Instant) -> Self {
        Self {
            limit,
            long: 0.0,
            sum: 0.0,
            samples: 0,
            since: now,
        }
    }

    /// Takes one answer into account; `Some`: the limit has moved.
    fn observe(&mut self, took: f64, in_flight: u32, config: &Config, now: Instant) -> Option<u32> {
        self.sum += took;
        self.samples += 1;
        if self.samples < SAMPLES_MIN || now.saturating_duration_since(self.since) < STEP {
            return None;
        }
        let short = self.sum / f64::from(self.samples);
        (self.sum, self.samples, self.since) = (0.0, 0, now);
        // The long average follows improvements at once, and deterioration slowly.
        self.long = if self.long == 0.0 || short < self.long {
            short
        } else {
            self.long + (short - self.long) * LONG
        };
        let tolerance = 1.0 + f64::from(config.tolerance.0) / 10_000.0;
        let gradient = (tolerance * self.long / short.max(f64::MIN_POSITIVE)).clamp(0.5, 1.0);
        // Where the limit is not reached, latency says nothing about it.
        if gradient >= 1.0 && f64::from(in_flight) < self.limit / 2.0 {
            return None;
        }
        let wanted = self.limit * gradient + self.limit.sqrt();
        let (min, max) = (
            f64::from(config.min.max(1)),
            f64::from(config.max.max(config.min)),
        );
        self.limit = (self.limit * 0.8 + wanted * 0.2).clamp(min, max);
        Some(self.limit as u32)
    }
}

impl Adaptive {
    /// Its metrics, by service.
    pub const METRICS: &[Family<Self>] = &[Family::gauge(
        "tyrian_adaptive_limit",
        "Requests that a service can take at once, as found out",
        |adaptive, points| points.add(adaptive.state().0),
    )];

    pub fn build(config: &Config, previous: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            return previous.clone();
        }
        let start = config.max.min(config.min.saturating_mul(4)).max(1);
        let cap = InFlightCap {
            max: start,
            queue: 0,
            wait: Duration::ZERO,
        };
        Arc::new(Self {
            config: config.clone(),
            cap: Cap::build(cap, previous.map(|previous| &previous.cap)),
            state: Mutex::new(State::new(f64::from(start), Instant::now())),
            reported: AtomicU64::new(0),
        })
    }

    /// Takes a place. `Err`: there is none.
    pub async fn take(&self) -> Result<Option<Place>, ()> {
        match (self.cap.take().await, self.config.mode) {
            (_, Mode::Off) => Ok(None),
            (Some(place), _) => Ok(Some(place)),
            (None, Mode::Report) => {
                self.reported.fetch_add(1, Relaxed);
                Ok(None)
            }
            (None, Mode::Enforce) => Err(()),
        }
    }

    /// Takes an answer's latency into account. Whoever finds the state in use skips his turn.
    pub fn observe(&self, took: Duration) {
        let Some(mut state) = self.state.try_lock() else {
            return;
        };
        let (_, in_flight, _, _) = self.cap.state();
        if let Some(limit) =
            state.observe(took.as_secs_f64(), in_flight, &self.config, Instant::now())
        {
            self.cap.resize(limit);
        }
    }

    /// The limit, and how many are in flight.
    pub fn state(&self) -> (u32, u32, u64) {
        let (limit, in_flight, _, refused) = self.cap.state();
        (limit, in_flight, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, State};
    use crate::config::policy::Mode;
    use crate::config::units::Percent;
    use std::time::{Duration, Instant};

    /// The limit after ten seconds in which `latency` of the limit is what answers take.
    fn settled(latency: impl Fn(f64) -> f64) -> f64 {
        let config = Config {
            min: 4,
            max: 1000,
            tolerance: Percent(5000),
            mode: Mode::Enforce,
        };
        let mut now = Instant::now();
        let mut state = State::new(16.0, now);
        for _ in 0..10_000 {
            now += Duration::from_millis(10);
            let took = latency(state.limit);
            state.observe(took, state.limit as u32, &config, now);
        }
        state.limit
    }

    #[test]
    fn it_grows_while_answers_stay_fast() {
        assert!(settled(|_| 0.01) > 900.0);
    }

    #[test]
    fn it_settles_where_answers_begin_to_queue() {
        // A server with 50 workers: beyond them, requests wait for each other.
        let limit = settled(|limit| 0.01 * (limit / 50.0).max(1.0));
        assert!((50.0..250.0).contains(&limit), "{limit}");
    }
}
