//! What both versions did in a window, as numbers to show beside the limits of a guard.

use super::{Moment, Sides};
use crate::telemetry::watch::{BUCKETS, Reading};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Both sides over all routes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Numbers {
    pub color_requests: u64,
    pub color_failures: u64,
    pub color_p50_ms: Option<f64>,
    pub color_p99_ms: Option<f64>,
    pub default_requests: u64,
    pub default_failures: u64,
    pub default_p50_ms: Option<f64>,
    pub default_p99_ms: Option<f64>,
    /// When the window began; `None`: none was open.
    pub began: Option<Moment>,
    /// When it ended; `None`: it is still open.
    pub ended: Option<Moment>,
}

impl Numbers {
    /// Adds up the routes of a window that began then.
    pub fn of(routes: &[Sides], began: Moment) -> Self {
        let (mut color, mut default) = (Side::default(), Side::default());
        for sides in routes {
            color.add(&sides.color);
            default.add(&sides.default);
        }
        Self {
            color_requests: color.requests,
            color_failures: color.failures,
            color_p50_ms: color.quantile(0.5),
            color_p99_ms: color.quantile(0.99),
            default_requests: default.requests,
            default_failures: default.failures,
            default_p50_ms: default.quantile(0.5),
            default_p99_ms: default.quantile(0.99),
            began: Some(began),
            ended: None,
        }
    }
}

/// One version. Counts of one route have 32 bits; their sum may need more.
#[derive(Default)]
struct Side {
    requests: u64,
    failures: u64,
    latency: Vec<u64>,
}

impl Side {
    fn add(&mut self, more: &Reading) {
        self.requests += u64::from(more.requests);
        self.failures += u64::from(more.failures);
        self.latency.resize(BUCKETS, 0);
        for (slot, count) in self.latency.iter_mut().zip(more.latency) {
            *slot += u64::from(count);
        }
    }

    /// A quantile in milliseconds, as the upper bound of its bucket.
    fn quantile(&self, q: f64) -> Option<f64> {
        let timed: u64 = self.latency.iter().sum();
        let rank = ((timed as f64) * q).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = self.latency.iter().position(|count| {
            below += count;
            below >= rank
        });
        bucket.map(|bucket| millis(crate::telemetry::watch::upper_bound(bucket)))
    }
}

/// Milliseconds with three decimals.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use crate::rollout::{Moment, Sides};
    use crate::telemetry::watch::{Reading, bucket_of};
    use std::time::Duration;

    fn reading(requests: u32, failures: u32, ms: u64) -> Reading {
        let mut reading = Reading {
            requests,
            failures,
            ..Reading::default()
        };
        reading.latency[bucket_of(Duration::from_millis(ms))] = requests;
        reading
    }

    #[test]
    fn routes_add_up_and_quantiles_go_over_all_of_them() {
        let routes = [
            Sides {
                color: reading(98, 3, 10),
                default: reading(u32::MAX, 1, 10),
            },
            Sides {
                color: reading(2, 1, 900),
                default: reading(u32::MAX, 1, 10),
            },
        ];
        let numbers = Numbers::of(&routes, Moment(7));
        assert_eq!((numbers.color_requests, numbers.color_failures), (100, 4));
        assert_eq!(numbers.default_requests, 2 * u64::from(u32::MAX));
        let (p50, p99) = (numbers.color_p50_ms.unwrap(), numbers.color_p99_ms.unwrap());
        assert!((10.0..12.0).contains(&p50), "{p50}");
        assert!((900.0..1100.0).contains(&p99), "{p99}");
        assert_eq!(numbers.began, Some(Moment(7)));
    }

    #[test]
    fn a_window_without_requests_has_no_quantiles() {
        let numbers = Numbers::of(&[], Moment(7));
        assert_eq!((numbers.color_requests, numbers.color_p99_ms), (0, None));
        let numbers = Numbers::of(&[Sides::default()], Moment(7));
        assert_eq!(numbers.default_p50_ms, None);
    }
}
