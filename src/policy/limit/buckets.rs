//! The buckets of one limit by key: bounded, swept when idle, shared by newcomers when full.

use super::nanos_since;
use dashmap::DashMap;
use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::StateStore;
use rustc_hash::FxBuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Buckets that newcomers share while there is no room.
const SHARED: usize = 64;

/// When each bucket will be full, in nanoseconds since the limit's start (GCRA's "theoretical
/// arrival time"). Keys are keyed hashes already, so the map does not hash them again in earnest.
#[derive(Debug)]
pub struct Buckets<C: Clock> {
    cells: DashMap<u64, AtomicU64, FxBuildHasher>,
    shared: Box<[AtomicU64]>,
    max: usize,
    count: AtomicUsize,
    evicted: AtomicU64,
    crowded: AtomicU64,
    clock: C,
    start: C::Instant,
}

impl<C: Clock> Buckets<C> {
    pub fn new(max: usize, clock: C) -> Self {
        let start = clock.now();
        Self {
            cells: DashMap::with_hasher(FxBuildHasher),
            shared: (0..SHARED).map(|_| AtomicU64::new(0)).collect(),
            max,
            count: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            crowded: AtomicU64::new(0),
            clock,
            start,
        }
    }

    fn now(&self) -> u64 {
        nanos_since(&self.clock, self.start)
    }

    /// How long the bucket of a key takes to be full; `None`: it has no bucket of its own.
    pub fn missing(&self, key: u64) -> Option<Duration> {
        let full_at = self.cells.get(&key)?.load(Relaxed);
        Some(Duration::from_nanos(full_at.saturating_sub(self.now())))
    }

    /// Forgets buckets that are full.
    pub fn sweep(&self) {
        let now = self.now();
        let mut evicted = 0;
        self.cells.retain(|_, cell| {
            let idle = cell.load(Relaxed) <= now;
            evicted += u64::from(idle);
            !idle
        });
        self.count.fetch_sub(evicted as usize, Relaxed);
        self.evicted.fetch_add(evicted, Relaxed);
    }

    pub fn sizes(&self) -> (usize, u64, u64) {
        (
            self.count.load(Relaxed),
            self.evicted.load(Relaxed),
            self.crowded.load(Relaxed),
        )
    }

    /// Continues another limit's buckets; what is missing from them is stretched by `ratio`.
    pub fn take_over(&self, other: &Self, ratio: f64) {
        let (then, now) = (other.now(), self.now());
        let moved = |cell: &AtomicU64| {
            let missing = cell.load(Relaxed).saturating_sub(then) as f64 * ratio;
            now + missing as u64
        };
        for cell in &other.cells {
            let full_at = moved(cell.value());
            if full_at > now && self.count.load(Relaxed) < self.max {
                self.cells.insert(*cell.key(), AtomicU64::new(full_at));
                self.count.fetch_add(1, Relaxed);
            }
        }
        for (ours, theirs) in self.shared.iter().zip(&other.shared) {
            ours.store(moved(theirs), Relaxed);
        }
        self.evicted.store(other.evicted.load(Relaxed), Relaxed);
        self.crowded.store(other.crowded.load(Relaxed), Relaxed);
    }

    fn newcomer<T, E>(
        &self,
        key: u64,
        f: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        // Counted first, so that a race of newcomers cannot overshoot the bound.
        if self.count.fetch_add(1, Relaxed) >= self.max {
            self.count.fetch_sub(1, Relaxed);
            self.crowded.fetch_add(1, Relaxed);
            return match self.shared.get(key as usize % SHARED) {
                Some(cell) => measure(cell, f),
                None => f(None).map(|(result, _)| result),
            };
        }
        match self.cells.entry(key) {
            dashmap::Entry::Occupied(known) => {
                self.count.fetch_sub(1, Relaxed);
                measure(known.get(), f)
            }
            dashmap::Entry::Vacant(vacant) => {
                let (result, full_at) = f(None).inspect_err(|_| {
                    self.count.fetch_sub(1, Relaxed);
                })?;
                vacant.insert(AtomicU64::new(full_at.into()));
                Ok(result)
            }
        }
    }
}

/// Decides on one bucket; whoever comes in between makes this try again.
fn measure<T, E>(
    cell: &AtomicU64,
    f: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
) -> Result<T, E> {
    let mut known = cell.load(Relaxed);
    loop {
        let (result, next) = f((known != 0).then(|| known.into()))?;
        match cell.compare_exchange_weak(known, next.into(), Relaxed, Relaxed) {
            Ok(_) => return Ok(result),
            Err(changed) => known = changed,
        }
    }
}

/// The buckets as the limiter uses them.
#[derive(Debug)]
pub struct Shared<C: Clock>(pub Arc<Buckets<C>>);

impl<C: Clock> StateStore for Shared<C> {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if let Some(cell) = self.0.cells.get(key) {
            return measure(cell.value(), f);
        }
        self.0.newcomer(*key, f)
    }
}
