//! Counts by bucket, of one second and of a window that moves in steps.

use super::Measured;
use crate::telemetry::histogram::{HTTP_BOUNDS_US, quantile};
use crate::telemetry::series::Series;
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
        let full = STEP_S * (STEPS as u64 - 1) + ticks % STEP_S + 1;
        Measured {
            now: self.second.reading(passed.as_secs_f64()),
            window: window.reading(full.min(ticks).max(1) as f64),
        }
    }
}
