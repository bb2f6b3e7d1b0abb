//! Rate limits: a bucket per key that refills steadily (GCRA).
//!
//! **Invariants:** at most `max_keys` buckets are remembered. A flood of new keys never costs a
//! known key its bucket: newcomers that find no room share one of a few buckets.

mod buckets;
mod headers;
mod key;
#[cfg(test)]
mod tests;

pub use headers::{Fields, seconds};
pub use key::key_of;

use crate::config::limit::Limit;
use crate::config::policy::Mode;
use crate::config::{Name, limit::Missing};
use crate::routing::selector::Selectable;
use crate::telemetry::metrics::Family;
use buckets::{Buckets, Shared};
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A limit, ready to decide. Survives reloads that leave its table unchanged.
pub struct Limiter<C: Clock = DefaultClock> {
    pub name: Name,
    pub config: Limit,
    pub series: LimitSeries,
    fields: Fields,
    /// How long an empty bucket takes to fill.
    refill: Duration,
    /// How long one request's worth takes to come back.
    period: Duration,
    buckets: Arc<Buckets<C>>,
    gate: Gate<C>,
}

type Gate<C> = RateLimiter<u64, Shared<C>, C, StateInformationMiddleware>;

impl<C: Clock> std::fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    /// Its metrics, by limit.
    pub const METRICS: &[Family<Self>] = &[
        Family::counter(
            "tyrian_limit_decisions_total",
            "What limits have decided",
            |limiter, points| {
                let LimitSeries {
                    allowed,
                    limited,
                    reported,
                } = &limiter.series;
                let results = [
                    ("allowed", allowed),
                    ("limited", limited),
                    ("reported", reported),
                ];
                points.each("result", results);
            },
        ),
        Family::gauge(
            "tyrian_limit_keys",
            "Buckets that are remembered",
            |limiter, points| points.add(limiter.sizes().0),
        ),
        Family::counter(
            "tyrian_limit_evictions_total",
            "Full buckets that were forgotten",
            |limiter, points| points.add(limiter.sizes().1),
        ),
        Family::counter(
            "tyrian_limit_crowded_total",
            "Decisions on a shared bucket, because there was no room for a new one",
            |limiter, points| points.add(limiter.sizes().2),
        ),
    ];
}

/// What is counted per limit.
#[derive(Debug, Default)]
pub struct LimitSeries {
    pub allowed: AtomicU64,
    pub limited: AtomicU64,
    /// Would have been refused; the limit only reports.
    pub reported: AtomicU64,
}

/// What a limit says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes; the reading is for the headers.
    Pass(Option<Reading>),
    /// It is over the limit, for this long.
    Over(Reading),
    /// A part of the key is missing, and the limit wants it there.
    NoKey,
}

/// The state of a bucket after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Requests that would pass now.
    pub remaining: u32,
    /// Until the bucket is full; of a refusal, until it would pass.
    pub reset: Duration,
}

impl Limiter<DefaultClock> {
    /// Builds a limit. `previous` goes on when its table is the same; when only its key is, its
    /// buckets are continued at the same share of fill.
    pub fn build(name: &Name, config: &Limit, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(previous) if previous.config == *config => previous.clone(),
            Some(previous) if previous.config.key == config.key => {
                let limiter = Self::with_clock(name, config, DefaultClock::default());
                limiter.take_over(previous);
                Arc::new(limiter)
            }
            _ => Arc::new(Self::with_clock(name, config, DefaultClock::default())),
        }
    }
}

impl<C: Clock + Clone> Limiter<C> {
    pub fn with_clock(name: &Name, config: &Limit, clock: C) -> Self {
        let count = u64::from(config.rate.count.max(1));
        let period = Duration::from_nanos((config.rate.per.as_nanos() as u64 / count).max(1));
        let burst = NonZeroU32::new(config.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period)
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst);
        let buckets = Arc::new(Buckets::new(config.max_keys as usize, clock.clone()));
        Self {
            name: name.clone(),
            config: config.clone(),
            series: LimitSeries::default(),
            refill: config
                .rate
                .per
                .mul_f64(f64::from(config.burst) / count as f64),
            period,
            fields: Fields::new(name, config.burst, period * config.burst),
            gate: Gate::new(quota, Shared(buckets.clone()), clock),
            buckets,
        }
    }

    /// Continues the buckets of `previous`: a bucket that was half full is half full again.
    fn take_over(&self, previous: &Self) {
        let ratio = self.refill.as_secs_f64() / previous.refill.as_secs_f64();
        self.buckets.take_over(&previous.buckets, ratio);
        for (ours, theirs) in [
            (&self.series.allowed, &previous.series.allowed),
            (&self.series.limited, &previous.series.limited),
            (&self.series.reported, &previous.series.reported),
        ] {
            ours.store(theirs.load(Relaxed), Relaxed);
        }
    }

    /// Takes `cost` from the bucket of a key and counts the result.
    pub fn check(&self, request: &Selectable, cost: u32) -> Verdict {
        if self.config.mode == Mode::Off {
            return Verdict::Pass(None);
        }
        let verdict = match key_of(&self.config.key, request) {
            (key, true) => self.take(key, cost),
            (key, false) => match self.config.missing {
                Missing::Share => self.take(key, cost),
                Missing::Pass => Verdict::Pass(None),
                Missing::Refuse => Verdict::NoKey,
            },
        };
        let counter = match (verdict, self.config.mode) {
            (Verdict::Pass(_), _) => &self.series.allowed,
            (_, Mode::Report) => &self.series.reported,
            _ => &self.series.limited,
        };
        counter.fetch_add(1, Relaxed);
        verdict
    }

    /// How long a request would have to wait; `None`: it would pass now. Nothing is taken or counted.
    pub fn wait(&self, request: &Selectable, cost: u32) -> Option<Duration> {
        let (key, whole) = key_of(&self.config.key, request);
        let judged = match self.config.mode {
            Mode::Off => false,
            Mode::Enforce | Mode::Report => whole || self.config.missing == Missing::Share,
        };
        judged.then_some(())?;
        if cost > self.config.burst {
            return Some(self.refill);
        }
        let missing = self.buckets.missing(key)?;
        let room = self.period * self.config.burst.saturating_sub(cost);
        let wait = missing.saturating_sub(room);
        (!wait.is_zero()).then_some(wait)
    }

    fn take(&self, key: u64, cost: u32) -> Verdict {
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        match self.gate.check_key_n(&key, cost) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity().min(self.config.burst);
                let used = self.config.burst - remaining;
                let reset = self
                    .refill
                    .mul_f64(f64::from(used) / f64::from(self.config.burst));
                Verdict::Pass(Some(Reading { remaining, reset }))
            }
            Ok(Err(until)) => {
                let reset = until.wait_time_from(self.gate.clock().now());
                // What it still lacks; the rest is there, for whoever costs less.
                let lacks = reset.as_nanos().div_ceil(self.period.as_nanos());
                let lacks = u32::try_from(lacks).unwrap_or(u32::MAX);
                let remaining = cost.get().saturating_sub(lacks);
                Verdict::Over(Reading { remaining, reset })
            }
            // Dearer than the whole bucket: it could wait for ever.
            Err(_) => Verdict::Over(Reading {
                remaining: 0,
                reset: self.refill,
            }),
        }
    }

    /// The words of `RateLimit` and `RateLimit-Policy`.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Buckets that are remembered, evicted so far, and times a newcomer found no room.
    pub fn sizes(&self) -> (usize, u64, u64) {
        self.buckets.sizes()
    }

    /// Forgets full buckets: they are as good as new ones.
    pub fn sweep(&self) {
        self.buckets.sweep();
    }
}

/// Nanoseconds of a clock since some start.
fn nanos_since<C: Clock>(clock: &C, start: C::Instant) -> u64 {
    clock.now().duration_since(start).into()
}
