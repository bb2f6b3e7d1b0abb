//! Counts by bucket, of one second and of a window that moves in steps.

use crate::telemetry::metrics::histogram::{HTTP_BOUNDS_US, quantile};
use crate::telemetry::metrics::series::Series;
use serde::Serialize;
use std::time::Duration;

const BUCKETS: usize = HTTP_BOUNDS_US.len() + 1;
/// Steps of the window.
pub const STEPS: usize = 6;
/// Seconds (ticks) in one step.
pub const STEP_S: u64 = 10;

/// How many, how they ended, how long they took.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    buckets: [u64; BUCKETS],
    /// Answers of 500 and above.
    errors: u64,
    /// Answers from 400 to 499.
    refused: u64,
}

impl Counts {
    pub fn of(series: &Series) -> Self {
        let (buckets, _) = series.duration.read();
        let count = buckets.iter().sum();
        let class = series.key.code.class();
        Self {
            buckets,
            errors: if class == 5 { count } else { 0 },
            refused: if class == 4 { count } else { 0 },
        }
    }

    pub fn add(&mut self, more: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(more.buckets) {
            *bucket += more;
        }
        self.errors += more.errors;
        self.refused += more.refused;
    }

    /// What came after `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (bucket, before) in since.buckets.iter_mut().zip(before.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        since.errors = since.errors.saturating_sub(before.errors);
        since.refused = since.refused.saturating_sub(before.refused);
        since
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn reading(&self, seconds: f64) -> Reading {
        let ms = |share| {
            let us = quantile(&HTTP_BOUNDS_US, &self.buckets, share);
            us.map(|us| us.round() / 1e3)
        };
        Reading {
            rps: rate(self.count(), seconds),
            errors: rate(self.errors, seconds),
            refused: rate(self.refused, seconds),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    }
}

/// Plain counters: what they have added within the last second, and within the window.
#[derive(Debug, Clone)]
pub struct Added<const N: usize> {
    before: [u64; N],
    pub second: [u64; N],
    steps: [[u64; N]; STEPS],
}

impl<const N: usize> Default for Added<N> {
    fn default() -> Self {
        Self {
            before: [0; N],
            second: [0; N],
            steps: [[0; N]; STEPS],
        }
    }
}

impl<const N: usize> Added<N> {
    /// Takes the counters as they are now; with `turn` a step ends, and the oldest is forgotten.
    pub fn push(&mut self, now: [u64; N], turn: bool) {
        if turn {
            self.steps.rotate_right(1);
            self.steps[0] = [0; N];
        }
        let since = now.iter().zip(self.before);
        for (second, (now, before)) in self.second.iter_mut().zip(since) {
            *second = now.saturating_sub(before);
        }
        add(&mut self.steps[0], &self.second);
        self.before = now;
    }

    /// What has been added within the window.
    pub fn window(&self) -> [u64; N] {
        let mut window = [0; N];
        self.steps.iter().for_each(|step| add(&mut window, step));
        window
    }
}

fn add<const N: usize>(to: &mut [u64; N], more: &[u64; N]) {
    for (slot, more) in to.iter_mut().zip(more) {
        *slot += more;
    }
}

/// Seconds that the window covers after so many ticks; that of a young process is short.
pub fn window_s(ticks: u64) -> f64 {
    let full = STEP_S * (STEPS as u64 - 1) + ticks % STEP_S + 1;
    full.min(ticks).max(1) as f64
}

/// A second with two decimals: nobody reads more, and frames stay small.
pub fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds.max(0.001) * 100.0).round() / 100.0
}

/// Rates a second and quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reading {
    pub rps: f64,
    /// Answers of 500 and above.
    pub errors: f64,
    /// Answers from 400 to 499.
    pub refused: f64,
    /// `None`: nothing was served.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// Rates and quantiles of one second, and of the window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub now: Reading,
    pub window: Reading,
}

/// The last second, and the steps of the window.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    second: Counts,
    steps: [Counts; STEPS],
}

impl Recent {
    /// Adds one second; with `turn` a step ends, and the oldest is forgotten.
    pub fn push(&mut self, second: &Counts, turn: bool) {
        if turn {
            self.steps.rotate_right(1);
            self.steps[0] = Counts::default();
        }
        self.steps[0].add(second);
        self.second = second.clone();
    }

    pub fn merge(&mut self, other: &Self) {
        self.second.add(&other.second);
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            step.add(other);
        }
    }

    /// Nothing within the window.
    pub fn is_quiet(&self) -> bool {
        self.steps.iter().all(|step| step.count() == 0)
    }

    /// After so many ticks of the process; a young process has a short window.
    pub fn measured(&self, passed: Duration, ticks: u64) -> Measured {
        let mut window = Counts::default();
        self.steps.iter().for_each(|step| window.add(step));
        Measured {
            now: self.second.reading(passed.as_secs_f64()),
            window: window.reading(window_s(ticks)),
        }
    }
}
